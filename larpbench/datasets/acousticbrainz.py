"""AcousticBrainz low-level documents as vectors: every number that all documents have, in one fixed order."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from larpbench import progress
from larpbench.errors import DataError, named
from larpbench.storage import storage_errors


def flattened(document: object, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield (path, number) of every finite number and truth value in a JSON document; lists count their places.

    Such as ``("lowlevel.mfcc.mean.3", 12.5)``. Text and nulls are left out.
    """
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from flattened(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from flattened(value, f"{prefix}.{place}")
    elif isinstance(document, bool | int | float) and math.isfinite(document):
        yield prefix, float(document)


def song_vectors(folder: Path, song_ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Read the documents of songs.

    Args:
        folder: Holds ``<song id>.json`` or ``<song id>-0.json``, as AcousticBrainz's dumps name them, at any depth.
        song_ids: Which songs.

    Returns:
        The paths of the attributes that all documents have, sorted, and (songs, attributes) float32.

    Raises:
        DataError: If a song has no document, one is no JSON object, or they have no number in common.
    """
    files = {path.stem.removesuffix("-0"): path for path in sorted(folder.rglob("*.json"), reverse=True)}
    absent = [each for each in song_ids if each not in files]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(song_ids)} songs have no low-level document: {named(absent)}",
            where=str(folder),
            allowed="<song id>.json, or <song id>-0.json, for every song",
        )
    layouts: dict[tuple[str, ...], tuple[str, ...]] = {}  # most documents have the same keys: keep those once
    found: list[tuple[tuple[str, ...], np.ndarray]] = []
    with progress.stage("read low-level documents", len(song_ids), "songs") as advance:
        for each in song_ids:
            values = dict(flattened(_read(files[each])))
            keys = tuple(sorted(values))
            keys = layouts.setdefault(keys, keys)
            found.append((keys, np.array([values[key] for key in keys], dtype=np.float32)))
            advance(1)
    common = sorted(set.intersection(*(set(keys) for keys in layouts))) if layouts else []
    if not common:
        raise DataError("the low-level documents have no number in common", where=str(folder))
    columns = {keys: _places(keys, common) for keys in layouts}
    return common, np.stack([values[columns[keys]] for keys, values in found])


def artist_vectors(folder: Path, songs_of: Sequence[Sequence[str]], most: int = 1) -> tuple[list[str], np.ndarray]:
    """Return one vector an artist: the mean over the first `most` songs of each.

    Args:
        folder: See `song_vectors`.
        songs_of: The songs of each artist, in order; one or more.
        most: 1 as in Groetschla et al. 2024; 25 as in Korzeniowski et al. 2021.

    Returns:
        The attributes, and (artists, attributes) float32.
    """
    chosen = [list(songs)[:most] for songs in songs_of]
    names, values = song_vectors(folder, [song for songs in chosen for song in songs])
    starts = np.concatenate([[0], np.cumsum([len(songs) for songs in chosen])[:-1]])
    sums = np.add.reduceat(values.astype(np.float64), starts, axis=0)
    return names, (sums / np.array([[len(songs)] for songs in chosen])).astype(np.float32)


def _places(keys: tuple[str, ...], wanted: list[str]) -> np.ndarray:
    place = {key: number for number, key in enumerate(keys)}
    return np.array([place[key] for key in wanted])


def _read(path: Path) -> Mapping[str, object]:
    with storage_errors(path, "read"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"the document is no JSON: {error}", where=str(path)) from error
    if not isinstance(document, dict):
        raise DataError("the document is no JSON object", where=str(path), allowed="an AcousticBrainz document")
    return document
