"""The spec of an encoder: everything about it that can be read before it is built."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from larpbench import packages
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.availability import DatasetReference as DatasetReference
from larpbench.encoders.availability import Status as Status
from larpbench.encoders.card import VIEWS, EncoderCard, View
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.reference import Reference
from larpbench.encoders.weights.finder import Weights
from larpbench.errors import DataError, MissingPartError, UsageError, shell_word
from larpbench.fingerprint import digest
from larpbench.paths import without_folders
from larpbench.registry import Origin, resolve

CENTRED = "centred"
"""What stands before the name of an encoder whose vectors are centred on the train tracks."""
SHUFFLED = "shuffled"
"""What stands before the name of an encoder whose vectors are permuted within each split."""
PERMUTATIONS = 20
"""So many seeds such an encoder runs over at least."""

LayerChoice = Literal["all", "best"]
"""Which of a model's layers, if it is no certain one."""
FolderFacts = tuple[dict[str, Any], tuple["EncoderSpec", ...]]
"""Of a model in a folder: fields of its card, with ``modalities``; under ``sides``, if these are others, for each side
what its card says; and the encoders whose vectors it reads."""


@dataclass(frozen=True)
class Training:
    """How an encoder comes by its weights. All of it is known before training, and is part of the checkpoint's key.

    Attributes:
        method: Name and version of the method, such as ``larp 1``.
        settings: All hyper-parameters, as JSON.
        start: The encoder whose training this one goes on from.
        inputs: Encoders whose vectors of the train and valid tracks it learns from.
        reads_captions: Whether it reads the tracks' captions itself.
        weights_digest: Returns the digest of the files of initial weights; None if there are none.
        seconds: Given the number of train tracks, returns a rough time on one core, for the plan's estimate.
        one_thread: Whether it computes with one thread, as small models do: the weights are then the same to the bit on
            any number of cores, and seeds are trained side by side.
        several_processes: Whether several processes can train it together, on a device each.
        sides: Whether one side of a model can be asked for, as in ``checkpoint:FOLDER:audio``.
        earlier: Encoders that are trained by other methods of the same name, for folders that these wrote.
        read_folder: A function ``(folder, its card, training data) -> FolderFacts`` that describes a model of this
            method in a folder, for ``checkpoint:FOLDER``; None where there is no such thing.
    """

    method: str
    settings: Mapping[str, Any]
    start: EncoderSpec | None = None
    inputs: tuple[EncoderSpec, ...] = ()
    reads_captions: bool = False
    weights_digest: Callable[[], str | None] = lambda: None
    seconds: Callable[[int], float] = lambda tracks: 0.0
    one_thread: bool = False
    several_processes: bool = False
    sides: bool = True
    earlier: tuple[EncoderSpec, ...] = ()
    read_folder: Callable[[Path, Mapping[str, Any], DatasetReference | None], FolderFacts] | None = None


@dataclass(frozen=True)
class EncoderSpec:
    """What the registry holds: readable without importing anything heavy.

    Attributes:
        card: What it is.
        factory: A function ``(context, argument) -> Encoder`` that imports what is heavy only when it is called.
        requires: Modules that must be importable.
        extra: Extra of larpbench that brings them.
        versions: Requirements that their versions must meet, as pip knows them, such as ``numpy<2``.
        incompatible: Returns why it cannot run on this machine, None if it can; imports nothing.
        weights: The pretrained weights that it needs.
        takes: What follows the colon in its name, such as ``FILE``, in brackets if it may be left out; None if nothing
            does. ``[@LAYER]`` follows the name without a colon.
        argument: What followed it.
        label: What its user calls it, as in ``LABEL=ENCODER``; None: nothing but its name.
        digest: Given the argument, the digest of the weights or files that the vectors depend on.
        given: Of an encoder whose vectors were computed beforehand, returns their digest, given a split and a seed.
        check: Given the argument, a data set and splits, raises where it can be known beforehand that there are no
            vectors for them.
        plugin: Distribution and version that brought it, if it is no built-in. Part of the key of its embeddings.
        inputs: Encoders whose vectors it reads of each track.
        training: How it is trained; None if it is not.
        trained_on: The data set whose train split it, and its inputs, learn from; None: the one that is tested.
        combined: Whether it is nothing but its inputs side by side.
        weights_of_inputs: Of a combination, one number an input; None: all the same.
        centred: Whether the mean of the train tracks is subtracted from its vectors, which then have length 1.
        shuffled: Whether the vectors of its only input are permuted within each split, by another permutation for each
            seed.
        joins_views: Given what follows its colon, whether a plus sign after that joins the encoders that it builds
            upon; None: it never does.
        in_place: Whether its vectors lie in a file already: they are looked up there, and not copied into the store.
        only_by_name: Whether ``all`` leaves it out.
        origin: Where it comes from, if no package brings it.
        place: The file or folder of its vectors, of an encoder that is `in_place` and bound to a data set.
        of_dataset: Binds it to the data set that is tested, for encoders whose vectors and card the data set brings.
        registered: Whether it came out of the registry by its name, which then tells it apart from all others.
        unkeyed: Whether nothing that is known beforehand tells its vectors apart from those of another encoder of the
            same card: it is encoded when a run is planned, and its key is the digest of what it gave.
        reference: The stored reference that it is compared with.
        choice: ``best`` if it is the one of its inputs, layers of a model, that is best on the valid split of the data
            set that is tested; ``all`` if it stands for all of them, and is no encoder itself.
        model: What tells its model apart, of encoders that share one: at several layers, say; None if it shares none.
        binder: A function ``(spec, argument) -> EncoderSpec``, for encoders whose card depends on the argument.
    """

    card: EncoderCard
    factory: Callable[[EncodeContext, str | None], Encoder]
    requires: tuple[str, ...] = ()
    extra: str | None = None
    versions: tuple[str, ...] = ()
    incompatible: Callable[[], str | None] | None = None
    weights: Weights | None = None
    takes: str | None = None
    argument: str | None = None
    label: str | None = None
    digest: Callable[[EncodeContext, str | None], str] | None = None
    given: Callable[[SplitName, int], str] | None = None
    check: Callable[[str | None, Dataset, Sequence[SplitName]], None] | None = None
    plugin: str | None = None
    inputs: tuple[EncoderSpec, ...] = ()
    training: Training | None = None
    trained_on: DatasetReference | None = None
    combined: bool = False
    weights_of_inputs: tuple[float, ...] | None = None
    centred: bool = False
    shuffled: bool = False
    joins_views: Callable[[str], bool] | None = None
    in_place: bool = False
    only_by_name: bool = False
    origin: Origin | None = None
    place: str | None = None
    of_dataset: Callable[[EncoderSpec, Dataset], EncoderSpec] | None = None
    registered: bool = False
    unkeyed: bool = False
    reference: Reference | None = None
    choice: LayerChoice | None = None
    model: str | None = None
    binder: Callable[[EncoderSpec, str], EncoderSpec] | None = None

    def __post_init__(self) -> None:
        """Accept ``module:attribute`` as factory, as earlier versions did; kept for one version."""
        if isinstance(self.factory, str):
            warnings.warn(f"factory={self.factory!r}: give the function itself", DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "factory", partial(_build_at, self.factory))

    @property
    def identity(self) -> str:
        """Its name in results: the label, or else the name."""
        return self.label or self.name

    @property
    def name(self) -> str:
        """Full name, such as ``precomputed:vectors.npz``, ``larp-ttc:audio@demo`` or ``bert+tfidf``.

        Of a file or folder it holds the name alone: results say nothing of the machine that they were made on.
        """
        if self.combined:
            joined = sum_of([each.identity for each in self.inputs], self.weights_of_inputs)
            if self.shuffled:
                return f"{SHUFFLED}:{self.inputs[0].grouped}"
            return f"{CENTRED}:({joined})" if self.centred else joined
        base = f"{CENTRED}:{self.card.name}" if self.centred else self.card.name
        apart = "" if (self.takes or "").startswith("[@") else ":"
        name = base if self.argument is None else f"{base}{apart}{self._shown_argument}"
        return f"{name}@{self.trained_on.name}" if self.training and self.trained_on else name

    @property
    def grouped(self) -> str:
        """Its name as it stands after ``shuffled:``: a combination is in parentheses."""
        plain = self.combined and not (self.label or self.centred or self.shuffled)
        return f"({self.identity})" if plain else self.identity

    @cached_property
    def _shown_argument(self) -> str:
        return without_folders(self.argument or "")

    @property
    def revision(self) -> str | None:
        """Commit or version of its weights; None: not pinned, or there are none."""
        return self.card.revision or (self.weights.pinned if self.weights else None)

    @property
    def reads_audio(self) -> bool:
        """Whether it reads audio itself, not through the encoders that it builds upon."""
        return "audio" in self.card.modalities and not self.inputs

    @property
    def least_seeds(self) -> int:
        """How many seeds it runs over at least, if it uses one."""
        if self.shuffled:
            return PERMUTATIONS
        return max((each.least_seeds for each in self.inputs), default=1) if self.combined else 1

    def seed_of_inputs(self, seed: int) -> int:
        """Return the seed that its inputs run with: one of them alone is permuted in many ways."""
        return 0 if self.shuffled else seed

    @property
    def scales_on_train(self) -> bool:
        """Whether its vectors, once encoded, are scaled or centred on those of the train tracks."""
        return self.card.standardised or self.centred

    def bind(self, argument: str) -> EncoderSpec:
        """Return the spec with what followed the colon."""
        bound = replace(self, argument=argument)
        return self.binder(bound, argument) if self.binder else bound

    def viewed(self, view: View | None, **fields: Any) -> EncoderSpec:  # noqa: ANN401 - of the card
        """Return one side of a two-tower encoder: it reads that side only, and keeps the weights.

        Args:
            view: Which side; None for all.
            fields: What its card says beside that.
        """
        if view is None:
            return self
        inputs = (self.inputs[VIEWS.index(view)],) if self.inputs else ()
        read = tuple(each for side in inputs for each in side.card.modalities) or (view,)
        update = {"modalities": read, "pooling": f"the {view} vector alone, of length 1", **fields}
        return replace(self, card=self.card.model_copy(update=update), inputs=inputs)

    def learning_from(self, source: Dataset | DatasetReference) -> EncoderSpec:
        """Return the spec with what it and its inputs learn being learnt from a data set's train split."""
        source = DatasetReference.of(source) if isinstance(source, Dataset) else source
        training = self.training
        if training:
            training = replace(
                training,
                start=training.start and training.start.learning_from(source),
                inputs=tuple(each.learning_from(source) for each in training.inputs),
            )
        inputs = tuple(each.learning_from(source) for each in self.inputs)
        return replace(self, trained_on=source, training=training, inputs=inputs)

    def tested_on(self, dataset: Dataset) -> EncoderSpec:
        """Return the spec with all of it that is trained, and not yet bound to a data set, learning from this one."""
        if self.combined:
            return replace(self, inputs=tuple(each.tested_on(dataset) for each in self.inputs))
        if self.of_dataset:
            return self.of_dataset(self, dataset)
        return self.learning_from(dataset) if self.training and not self.trained_on else self

    @property
    def source(self) -> Dataset | None:
        """The data set whose train split it learns from, loaded; None: the one that is tested."""
        return self.trained_on.dataset if self.trained_on else None

    @property
    def sources(self) -> tuple[Dataset, ...]:
        """The data sets whose train split it, or a part of it, has learnt from."""
        if self.combined:
            return tuple(source for each in self.inputs for source in each.sources)
        return (self.source,) if self.source else ()

    def status(self) -> Status:
        """Return whether packages and weights are there, without importing or fetching them."""
        absent = [name for name in self.requires if not packages.importable(name)]
        if absent:
            command = f"pip install 'larpbench[{self.extra}]'" if self.extra else f"pip install {' '.join(absent)}"
            return Status("missing-package", command, ", ".join(absent))
        reasons = [reason for each in self.versions if (reason := packages.unmet(each))]
        if not reasons and self.incompatible and (reason := self.incompatible()):
            reasons = [reason]
        if reasons:
            alone = f"pip install 'larpbench[{self.extra}]' in an environment of its own" if self.extra else None
            return Status("incompatible", alone, "; ".join(reasons))
        if self.weights and not self.weights.found():
            facts = f"{self.weights.name}, {self.weights.size_text}, {self.weights.licence}"
            return Status("missing-weights", f"larpbench fetch {shell_word(self.name)}", facts)
        needed = [*self.inputs, *(self.training.inputs if self.training else ())]
        unready = (each.status() for each in needed)
        return next((status for status in unready if status.state != "ready"), Status("ready"))

    def require_possible(self, dataset: Dataset, splits: Sequence[SplitName]) -> None:
        """Raise what `check` raises where it is known beforehand that it, or an input, cannot encode some splits.

        Raises:
            DataError: If it, or an input, is centred on train tracks and there are none, or would be trained on
                listeners, whose valid split has no seeds, or is the best layer on valid and there is nothing to choose
                by.
            UsageError: If it stands for several encoders.
        """
        if self.training and (self.source or dataset).manifest.kind == LISTENERS:
            raise DataError(
                f"encoder {self.identity!r} is trained on playlists with seeds, which listeners do not have",
                where=f"the data set {(self.source or dataset).name!r}",
                allowed="a data set of kind playlists",
                next_step="the collections, and csv: larpbench dataset build NAME --task continuation",
            )
        if self.centred:
            self.require_train_tracks(dataset)
        if self.check:
            self.check(self.argument, dataset, splits)
        self._require_choice(dataset)
        for each in self.inputs:
            each.require_possible(dataset, splits)
        for each in self.training.inputs if self.training and self.trained_on else ():
            each.require_possible(self.source or dataset, ("train", "valid"))

    def _require_choice(self, dataset: Dataset) -> None:
        """Raise if it stands for all layers, or is the best of them and nothing can tell which.

        Raises:
            UsageError: If it stands for all layers.
            DataError: If there are no valid playlists.
        """
        if self.choice == "all":
            raise UsageError(
                f"{self.identity!r} stands for several encoders, one a layer", allowed="one layer, or @best"
            )
        if self.choice == "best" and not dataset.split("valid").entries.height:
            raise DataError(
                f"encoder {self.identity!r} is the layer that is best on valid, and the valid split of "
                f"{dataset.name!r} has no playlists",
                allowed="a data set with valid playlists (a smaller --min-length, or --valid-playlists)",
                next_step=f"build it with one, or name a layer: {self.name.replace('@best', '@LAYER')}",
            )

    def require_train_tracks(self, dataset: Dataset) -> None:
        """Raise if there are no train tracks to centre on.

        Raises:
            DataError: If there are none.
        """
        source = self.source or dataset
        if not source.split("train").tracks.height:
            raise DataError(
                f"encoder {self.identity!r} is centred on the train tracks, and the data set {source.name!r} has none",
                allowed="a data set with a train split (--train-fraction above 0)",
                next_step=f"build it with one, or run {self.name.removeprefix(f'{CENTRED}:')} as it is",
            )

    def weights_digest(self, context: EncodeContext) -> str | None:
        """Return the digest of the files that the vectors depend on, None if they depend on none.

        Of an encoder whose vectors were computed beforehand it is that of the tested ones.
        """
        found = self.digest(context, self.argument) if self.digest else None
        found = self.given("test", context.seed) if self.given else found
        if self.weights:
            found = digest([self.weights.digest(), found]) if found else self.weights.digest()
        return found

    def build(self, context: EncodeContext) -> Encoder:
        """Import and make the encoder.

        Raises:
            MissingPartError: If a package or the weights are missing, or a broken package is in the way.
        """
        status = self.status()
        if status.state != "ready":
            raise MissingPartError(f"encoder {self.identity!r} cannot run: {status.text}", next_step=status.next_step)
        if self.weights:
            context = replace(context, weights=self.weights.require())
        try:
            return self.factory(context, self.argument)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            if not (broken := packages.broken()):
                raise
            faults = "; ".join(f"{name}: {message}" for name, message in broken.items())
            raise MissingPartError(
                f"encoder {self.identity!r} cannot be made, since a package in its way is broken: {faults}",
                next_step=packages.how_to_repair(tuple(broken)),
            ) from error


def sum_of(names: Sequence[str], weights: Sequence[float] | None) -> str:
    """Return the name of a combination, such as ``A+0.5*B``."""
    numbers = weights or [1.0] * len(names)
    parts = (name if each == 1 else f"{each:.12g}*{name}" for name, each in zip(names, numbers, strict=True))
    return "+".join(parts)


def _build_at(address: str, context: EncodeContext, argument: str | None) -> Encoder:
    """Build what a plug-in's ``module:attribute`` names."""
    encoder: Encoder = resolve(address)(context, argument)
    return encoder
