"""Which encoders of a run share a pass: each file of a split is then decoded once for all that read its audio.

An encoder shares a pass with others that read the same tracks at the same sample rate, and are all run in processes or
all not; encoders that share a model do so too, whatever they read. What fails in a pass fails again in its own cells.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.run.keys import scaled_on, selection_splits
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.training import untrained
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import StorageError

logger = logging.getLogger(__name__)
_MOST_BYTES = 4_000_000_000
"""Of weights that are in memory at once, as far as encoders say how large theirs are."""
_TRAINED_ON: tuple[SplitName, ...] = ("train", "valid")


@dataclass(frozen=True)
class Need:
    """Vectors that somebody will ask the store for.

    Attributes:
        spec: The encoder.
        dataset: The data set.
        split_name: Its split.
        seed: The seed.
    """

    spec: EncoderSpec
    dataset: Dataset
    split_name: SplitName
    seed: int


def encode_together(store: EmbeddingStore, needs: Iterable[Need], numbers: Container[int] | None = None) -> None:
    """Encode ahead what several encoders lack and can share a pass for; the store then has it.

    Nothing is raised for an encoder that fails, or a file that cannot be read: whoever asks the store for these vectors
    meets the error.

    Args:
        store: Where embeddings are kept.
        needs: What will be asked for.
        numbers: Which shards, from 0; None: all.

    Raises:
        StorageError: If the store cannot be written or read.
    """
    for members in passes(store, needs):
        if len(members) == 1:  # it is encoded when it is asked for
            continue
        encoders = [(each.spec, each.seed) for each in members]
        dataset, split = members[0].dataset, members[0].dataset.split(members[0].split_name)
        try:
            failed = store.encode_together(encoders, dataset, split, numbers)
        except (StorageError, KeyboardInterrupt):
            raise
        except Exception:  # such as a file that is gone
            logger.debug("a pass over %s failed", split.name, exc_info=True)
            continue
        for name, error in failed.items():
            logger.debug("%s failed in a pass over %s: %s", name, split.name, error)


def passes(store: EmbeddingStore, needs: Iterable[Need]) -> Iterator[list[Need]]:
    """Yield the encoders of each pass that has something to encode, with as much weight as memory should hold.

    What is not stored, or made of other vectors, is in none of them. What fails here does so again in its own cells.

    Args:
        store: Where embeddings are kept.
        needs: What will be asked for.

    Raises:
        StorageError: If the store cannot be read.
    """
    groups: dict[object, dict[str, Need]] = {}
    for need in needs:
        try:
            for each in encoded_for(store, need):
                split = each.dataset.split(each.split_name)
                if _is_stored(each.spec) and store.missing_tracks_of(*_place(each)):
                    key = store.keys.embedding(each.spec, each.dataset, split, each.seed)
                    groups.setdefault(_shared(each.spec, split) or key, {}).setdefault(key, each)
        except StorageError:
            raise
        except Exception:  # it fails in its own cell
            logger.debug("%s cannot be encoded ahead", need.spec.identity, exc_info=True)
    for group in groups.values():
        yield from _within_memory(list(group.values()))


def _place(need: Need) -> tuple[EncoderSpec, Dataset, Split, int]:
    return need.spec, need.dataset, need.dataset.split(need.split_name), need.seed


def _is_stored(spec: EncoderSpec) -> bool:
    return not (spec.inputs or spec.in_place or spec.unkeyed)


def _shared(spec: EncoderSpec, split: Split) -> object:
    """Return what encoders that can share a pass over a split have in common; None if it shares none."""
    tracks = (split.name, split.ids_digest, split.text_digest, split.audio.digest if split.audio else None)
    if spec.reads_audio and split.audio:
        return (tracks, spec.card.sample_rate, spec.card.process_per_core)
    return (tracks, spec.model) if spec.model else None


def encoded_for(store: EmbeddingStore, need: Need) -> Iterator[Need]:
    """Yield what is encoded to have what is needed: itself, what it is made of, and what it is trained on."""
    spec, seed = need.spec, need.seed
    if spec.choice:
        dataset, known = need.dataset, store.best_layers.get(store.keys.choice(spec, need.dataset, seed))
        for layer in spec.inputs:
            yield from (Need(layer, dataset, split.name, seed) for split in selection_splits(dataset))
        if known is not None:
            yield Need(spec.inputs[known], dataset, need.split_name, seed)
        return
    for part in spec.inputs:
        yield from encoded_for(store, Need(part, need.dataset, need.split_name, spec.seed_of_inputs(seed)))
    missing = untrained(store, spec, seed)
    for training, source in ((each.training, each.source) for each in missing):
        for part in training.inputs if training and source else ():
            for name in _TRAINED_ON:
                yield from encoded_for(store, Need(part, source or need.dataset, name, seed))
    if not spec.inputs and not missing:
        yield need
        if scale := scaled_on(spec, need.dataset, need.dataset.split(need.split_name)):
            yield Need(spec, scale[0], scale[1].name, seed)


def _within_memory(members: Sequence[Need]) -> Iterator[list[Need]]:
    """Yield the members in groups whose weights together are not too large; those of one model count once."""
    group: list[Need] = []
    sizes: dict[object, int] = {}
    for each in sorted(members, key=lambda need: need.spec.model or ""):
        model: object = each.spec.model or id(each)
        size = {model: each.spec.weights.size if each.spec.weights else 0}
        if group and sum((sizes | size).values()) > _MOST_BYTES:
            yield group
            group, sizes = [], {}
        group.append(each)
        sizes |= size
    yield group
