"""Keys of embeddings and checkpoints: digests of all that they depend on, known before anything is computed.

An encoder's vectors depend on its card, the digest of its weights or files, the seed if it uses one, the train split if
it learns from it, and of the tracks on just the modalities that it reads. A new playlist, or for an audio encoder an
edited caption, therefore re-encodes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.spec import CENTRED, SHUFFLED, EncoderSpec, Training
from larpbench.errors import DataError, MissingPartError
from larpbench.fingerprint import digest

T = TypeVar("T")
_CHECKPOINT_KEY_LENGTH = 32
_BEST = "best layer 1"
_WITHOUT_EFFECT_ON_VECTORS = {
    *("tracks_per_second", "summary", "overlaps", "original", "verification"),
    *("revision", "parameters", "citation", "sources"),
    "max_tokens",  # the pooling says it where it is not as it always was
}


class Keys:
    """Keys, each worked out once for an encoder, a split and a seed.

    A file that changes while this object lives keeps the key of what it was.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[Any, object]] = {}

    def embedding(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> str:
        """Return the key of an encoder's vectors for a split.

        Raises:
            MissingPartError: If the encoder needs audio and the data set has none.
        """
        return self._once(
            (id(spec), id(split), seed), (spec, split), lambda: self._embedding(spec, dataset, split, seed)
        )

    def weights(self, spec: EncoderSpec, dataset: Dataset, seed: int) -> str | None:
        """Return the digest of the weights or files that an encoder's vectors depend on, None if there are none."""
        context = EncodeContext(seed, dataset.folder)
        return self._once((id(spec), id(dataset), seed), (spec, dataset), lambda: spec.weights_digest(context))

    def scaled(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> str:
        """Return the digest of a split's vectors as they are used: scaled, centred on the train split, or permuted."""
        if spec.shuffled:
            return digest([SHUFFLED, self.scaled(spec.inputs[0], dataset, split, spec.seed_of_inputs(seed)), seed])
        reference = scaled_on(spec, dataset, split)
        parts = [self.embedding(spec, *each, seed) for each in [(dataset, split), *([reference] if reference else [])]]
        parts += [CENTRED] if spec.centred else []
        return digest(parts) if len(parts) > 1 else parts[0]

    def choice(self, spec: EncoderSpec, dataset: Dataset, seed: int) -> str:
        """Return the key of the choice of a model's best layer: vectors and playlists of the splits that decide it."""
        splits = selection_splits(dataset)
        vectors = [[self.scaled(each, dataset, split, seed) for split in splits] for each in spec.inputs]
        return digest([_BEST, vectors, [split.playlists_digest for split in splits]])

    def checkpoint(self, spec: EncoderSpec, seed: int) -> str:
        """Return the key of a trained encoder's weights: all that its training reads, known before it is trained.

        Raises:
            DataError: If the data set that it learns from has no train or no valid playlists.
            MissingPartError: If it needs audio and that data set has none.
        """
        return self._once((id(spec), seed), spec, lambda: self._checkpoint(spec, seed))

    def _once(self, where: tuple[int, ...], what: object, compute: Callable[[], T]) -> T:
        if where not in self._known:
            self._known[where] = compute(), what  # kept alive, since an id may be used again
        known: T = self._known[where][0]
        return known

    def _embedding(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> str:
        if spec.choice:
            layers = [self.embedding(each, dataset, split, seed) for each in spec.inputs]
            return digest([self.choice(spec, dataset, seed), layers])
        learns = spec.card.learns == "statistics"
        return digest(
            {
                "card": spec.card.model_dump(mode="json", exclude=_WITHOUT_EFFECT_ON_VECTORS, exclude_defaults=True),
                "plugin": spec.plugin,
                "argument_digest": spec.given(split.name, seed) if spec.given else self.weights(spec, dataset, seed),
                "seed": seed if spec.card.stochastic else None,
                "train": _fitted_on(spec, (spec.source or dataset).split("train")) if learns else None,
                "tracks": _read_digests(spec, dataset, split),
                "inputs": [self.scaled(each, dataset, split, seed) for each in spec.inputs],
                "checkpoint": self.checkpoint(spec, seed) if spec.training else None,
            }
        )

    def _checkpoint(self, spec: EncoderSpec, seed: int) -> str:
        training, source = spec.training, spec.source
        if training is None or source is None:
            raise ValueError(f"{spec.identity} is not bound to a data set to learn from")
        splits: list[SplitName] = ["train", "valid"]
        for name in splits:
            if not source.split(name).entries.height:
                raise DataError(
                    f"encoder {spec.identity!r} learns from playlists, and the {name} split of {source.name!r} has "
                    "none",
                    next_step="build it with playlists in both (--train-fraction above 0, or a smaller --min-length)",
                )
        return digest(
            {
                "method": training.method,
                "settings": dict(training.settings),
                "plugin": spec.plugin,
                "seed": seed,
                "start": self.checkpoint(training.start, seed) if training.start else training.weights_digest(),
                "playlists": [source.split(name).playlists_digest for name in splits],
                "tracks": [self._trained_on(training, source, source.split(name), seed) for name in splits],
            }
        )[:_CHECKPOINT_KEY_LENGTH]

    def _trained_on(self, training: Training, source: Dataset, split: Split, seed: int) -> list[str]:
        digests = [self.scaled(each, source, split, seed) for each in training.inputs]
        return [*digests, split.text_digest if training.reads_captions else split.ids_digest]


def selection_splits(dataset: Dataset) -> tuple[Split, ...]:
    """Return the splits by which the best layer is chosen: valid, and train too where it holds what is known."""
    names: tuple[SplitName, ...] = ("train", "valid") if dataset.manifest.kind == LISTENERS else ("valid",)
    return tuple(dataset.split(name) for name in names)


def scaled_on(spec: EncoderSpec, dataset: Dataset, split: Split) -> tuple[Dataset, Split] | None:
    """Return the split whose vectors give the scale; None where there is no scaling, or only the split's own."""
    source = spec.source or dataset
    train = source.split("train")
    own = source.manifest.fingerprint == dataset.manifest.fingerprint and split.name == "train"
    return (source, train) if spec.scales_on_train and not own and train.tracks.height else None


def _fitted_on(spec: EncoderSpec, train: Split) -> str:
    """Return the digest of what statistics are taken of: built-in encoders read captions, all others may read more."""
    if spec.plugin is None and spec.origin is None:
        return train.text_digest
    return digest([train.text_digest, train.playlists_digest, train.audio and train.audio.digest])


def _read_digests(spec: EncoderSpec, dataset: Dataset, split: Split) -> list[str]:
    digests = [split.ids_digest]
    if spec.inputs:
        return digests
    if "text" in spec.card.modalities:
        digests.append(split.text_digest)
    if "audio" in spec.card.modalities:
        if split.audio is None:
            raise MissingPartError(
                f"encoder {spec.identity!r} needs audio, and the data set {dataset.name!r} has none",
                next_step="build the data set with audio (larpbench dataset build folder, or csv --audio DIR)",
            )
        digests.append(split.audio.digest)
    return digests
