"""Training of encoders: once for each key, resumable, the same way for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path

from larpbench import storage
from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.centred import centre
from larpbench.encoders.checkpoint_folder import CARD, write_card
from larpbench.encoders.combined import side_by_side
from larpbench.encoders.encoder import FitContext, Rows, TrainableEncoder, ValidationScore
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec, Training
from larpbench.errors import EmbeddingError, LarpbenchError, StorageError, UsageError
from larpbench.runtime import measured, one_thread, torch_device

ScoreOn = Callable[[Split], ValidationScore]
"""Given the valid split, what scores vectors of its tracks."""


def untrained(store: EmbeddingStore, spec: EncoderSpec, seed: int) -> list[EncoderSpec]:
    """Return the trainings that are missing before an encoder can run, first to last."""
    if spec.training is None:
        inputs = spec.inputs if spec.combined else ()
        return [each for part in inputs for each in untrained(store, part, spec.seed_of_inputs(seed))]
    before = untrained(store, spec.training.start, seed) if spec.training.start else []
    return before if (store.checkpoint(spec, seed) / CARD).is_file() else [*before, spec]


def ensure_trained(store: EmbeddingStore, spec: EncoderSpec, seed: int, score_on: ScoreOn) -> Path | None:
    """Train an encoder, and what it goes on from, unless that has been done; return its checkpoint.

    Several processes train together where `larpbench.training.launch.joined` says so; the leading one writes.

    Args:
        store: Where embeddings and checkpoints are kept.
        spec: The encoder, bound to the data set that it learns from.
        seed: Drives everything random.
        score_on: What training is selected by.

    Returns:
        The folder of the weights; None if the encoder is not trained, or a combination, whose parts are trained.

    Raises:
        DataError: If the data set has no train or valid playlists.
        StorageError: If the checkpoint cannot be written, or not all processes see its folder.
        TrainingError: If training breaks down, or another process that trains with this one has ended.
        UsageError: If several processes cannot train it.
    """
    training, source = spec.training, spec.source
    for part in spec.inputs if spec.combined else ():
        ensure_trained(store, part, spec.seed_of_inputs(seed) if part.card.stochastic else 0, score_on)
    if training is None or source is None:
        return None
    from larpbench.training.ranks import current

    ranks = current()
    folder = store.checkpoint(spec, seed)
    workdir = folder.parent / f".{folder.name}.work"
    if ranks.agreed(ranks.leads and (folder / CARD).is_file()):
        if ranks.leads:
            storage.sweep(folder.parent)  # what a process has left that was killed when it had just saved
            shutil.rmtree(workdir, ignore_errors=True)
        return folder
    if ranks.count > 1 and not training.several_processes:
        raise UsageError(
            f"{spec.identity} is trained by one process, and this is one of {ranks.count}",
            allowed="towers: larp in the sizes paper, tiny and heads-plain, and clap-ft",
            next_step="run the command without accelerate launch or torchrun",
        )
    spec.require_possible(source, ())  # before hours of other towers
    start = ensure_trained(store, training.start, seed, score_on) if training.start else None
    with storage.locked(folder) if ranks.leads else nullcontext():
        if ranks.agreed(ranks.leads and (folder / CARD).is_file()):  # another process was faster
            return folder
        if ranks.leads:
            storage.make_folder(workdir)
        ranks.agreed(None)
        if not workdir.is_dir():
            raise StorageError(
                "this process does not see the folder that the leading one has made",
                where=str(workdir),
                next_step="let all processes have one $LARPBENCH_HOME, on a disk that their machines share",
            )
        encoder = spec.build(store.context(spec, source, seed))
        if not isinstance(encoder, TrainableEncoder):
            raise EmbeddingError(f"the spec of {spec.identity!r} says that it is trained, but it cannot be")
        card = {
            "encoder": spec.identity,
            "method": training.method,
            "settings": dict(training.settings),
            "seed": seed,
            "trained_on": source.name,
            "trained_on_folder": str(source.folder),
            "trained_on_fingerprint": source.manifest.fingerprint,
            "train_tracks": source.split("train").ids_digest,
            "start": start.name if start else None,
        }
        context = FitContext(
            settings=training.settings,
            seed=seed,
            device=torch_device(),
            workdir=workdir,
            start=start,
            inputs=_inputs(store, training, source, seed),
            score=score_on(source.split("valid")),
            card=card,
        )
        with one_thread() if training.one_thread else nullcontext(), measured() as cost:
            summary = encoder.fit(source.split("train"), source.split("valid"), context)
        card = {**card, "wall_s": cost.wall_s, "cpu_s": cost.cpu_s, **summary}
        if ranks.count > 1:
            card["processes"] = ranks.count
        ranks.agreed(None)  # all have read what they need of the working folder, which goes
        if ranks.leads:
            if isinstance(found := summary.get("valid", {}), Mapping) and "frozen" not in found:
                card["valid"] = {**_compared_with(store, spec, source, seed, context.score), **found}
            with storage.atomic_folder(folder) as temporary:
                encoder.save(temporary)
                write_card(temporary, card)
            shutil.rmtree(workdir, ignore_errors=True)
        ranks.agreed(None)  # what goes on from it reads it
    return folder


def _compared_with(
    store: EmbeddingStore, spec: EncoderSpec, source: Dataset, seed: int, score: ValidationScore
) -> dict[str, float]:
    """Return the recall on valid that a training is to be compared with: of chance, and of what it is built upon."""
    found = {"chance": score.chance}
    if spec.training and spec.inputs:
        views = (each if each.centred else centre(each) for each in spec.training.inputs)
        with suppress(LarpbenchError):  # such as vectors that are all the same: nothing is left of them
            found["frozen"] = score(side_by_side([store.embed(each, source, "valid", seed).vectors for each in views]))
    return found


def _inputs(store: EmbeddingStore, training: Training, source: Dataset, seed: int) -> dict[SplitName, tuple[Rows, ...]]:
    splits: tuple[SplitName, ...] = ("train", "valid")
    return {name: tuple(store.rows(each, source, name, seed) for each in training.inputs) for name in splits}
