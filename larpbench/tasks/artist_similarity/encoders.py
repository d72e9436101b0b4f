"""Encoders of artist graphs only: ready-made features of the data set, concatenations ``A+B``, and none at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from larpbench.datasets.artists.graph import FEATURES, SONGS
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.combined import combine
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.names import ENCODERS, get_encoder, labelled, parse_name, split_label
from larpbench.encoders.precomputed import VectorTable
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UnknownNameError, UsageError
from larpbench.fingerprint import digest, digest_file_once
from larpbench.table_files import read_parquet

JOIN = "+"


@dataclass(frozen=True)
class ArtistFeatures:
    """Gives each song the ready-made vector of its artist; a song of several artists has their mean."""

    table: VectorTable
    artists_of: dict[str, list[str]]

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32."""
        owners = [self.artists_of[name] for name in batch.track_ids.tolist()]
        flat = np.array([artist for each in owners for artist in each])
        vectors = self.table.encode(TrackBatch(flat, flat))
        starts = np.concatenate([[0], np.cumsum([len(each) for each in owners])[:-1]])
        sums = np.add.reduceat(vectors, starts, axis=0)
        return (sums / np.array([[len(each)] for each in owners])).astype(np.float32)


class Concatenation:
    """Puts the vectors of several encoders side by side, as they are."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, sum of dims) float32."""
        return np.concatenate(batch.inputs, axis=1)


class UniformEncoder:
    """Uniform numbers in [0, 1) keyed by (seed, track id)."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 2613) float32."""
        keys = (hashlib.sha256(f"{self._seed}\x1f{name}".encode()).digest() for name in batch.track_ids.tolist())
        generators = (np.random.default_rng(int.from_bytes(key, "little")) for key in keys)
        return np.stack([each.random(PAPER_RANDOM.card.dim, dtype=np.float32) for each in generators])


def _build_paper_random(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the paper's random features for the run's seed."""
    return UniformEncoder(context.seed)


def _build_none(context: EncodeContext, argument: str | None) -> Encoder:
    """Refuse: nothing reads vectors of no encoder.

    Raises:
        UsageError: Always.
    """
    raise UsageError("no encoder has no vectors")


NO_ENCODER = EncoderSpec(
    EncoderCard(
        name="none",
        version=1,
        summary="no features at all: for methods that see the graph only",
        modalities=(),
        dim=0,
        weights="none",
        licence="Apache-2.0",
        tracks_per_second=1e9,
    ),
    factory=_build_none,
)
PAPER_RANDOM = EncoderSpec(
    EncoderCard(
        name="random",
        version=1,
        summary="uniform numbers, as many as OLGA's AcousticBrainz features have: the paper's random features",
        modalities=(),
        dim=2_613,
        weights="none",
        licence="Apache-2.0",
        paper="Groetschla et al. 2024, arXiv 2409.09026",
        citation=("groetschla2024clap",),
        stochastic=True,
        control=True,
        tracks_per_second=20_000,
    ),
    factory=_build_paper_random,
)


def artist_encoder(name: str, dataset: Dataset, paper: bool = False) -> EncoderSpec:
    """Return an encoder by name: ready-made features of the data set, a registered encoder, or several: ``A+B``.

    A label may stand before it: ``LABEL=ENCODER``.

    Args:
        name: Its name.
        dataset: The artists.
        paper: Whether ``random`` is the paper's.

    Raises:
        UnknownNameError: If there is no such encoder and no such features.
        MissingPartError: If it is a plug-in that cannot be loaded.
        UsageError: If a part of a concatenation is there twice.
    """
    label, name = split_label(name)
    if label is not None:
        return labelled(artist_encoder(name, dataset, paper), label)
    features = dataset.graph.features if dataset.graph else {}
    if name in features:
        return _features_spec(name)
    if paper and name == PAPER_RANDOM.card.name:
        return PAPER_RANDOM
    parts = name.split(JOIN)
    if len(parts) > 1 and all(part in features or parse_name(part)[0].base in ENCODERS.names() for part in parts):
        if len(set(parts)) < len(parts):
            raise UsageError(f"an encoder is joined with itself: {name}")
        return _concatenated(
            [artist_encoder(part, dataset, paper) for part in sorted(parts)]
        )  # one name whatever the order
    try:
        return get_encoder(name)
    except UnknownNameError as error:
        raise UnknownNameError("encoder", name, [*features, *ENCODERS.names()]) from error


def _features_spec(name: str) -> EncoderSpec:
    card = EncoderCard(
        name=name,
        version=1,
        summary="ready-made features of the artists, part of the data set",
        modalities=(),
        dim=None,
        weights="ready-made features of the data set",
        licence="that of the data set",
        training_data="unknown",
        tracks_per_second=100_000,
    )
    return EncoderSpec(card, partial(_build_features, name), digest=partial(_features_digest, name))


def _build_features(name: str, context: EncodeContext, argument: str | None) -> Encoder:
    songs = read_parquet(context.dataset_folder / SONGS)
    grouped = songs.group_by("track_id").agg("artist_id")
    owners = dict(zip(grouped["track_id"].to_list(), grouped["artist_id"].to_list(), strict=True))
    return ArtistFeatures(VectorTable.of_file(_path(context.dataset_folder, name)), owners)


def _features_digest(name: str, context: EncodeContext, argument: str | None) -> str:
    """Return the digest of ready-made features and of which songs are by which artists."""
    folder = context.dataset_folder
    return digest([digest_file_once(_path(folder, name)), digest_file_once(folder / SONGS)])


def _path(folder: Path, name: str) -> Path:
    path = folder / FEATURES / f"{name}.npz"
    if not path.is_file():
        raise MissingPartError(f"the data set has no features {name!r}", where=str(path))
    return path


def _concatenated(parts: list[EncoderSpec]) -> EncoderSpec:
    combined = combine(parts)
    card = combined.card.model_copy(update={"pooling": "side by side, as they are: columns are scaled for all artists"})
    return replace(combined, card=card, factory=_build_concatenation)


def _build_concatenation(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder that puts its inputs side by side."""
    return Concatenation()
