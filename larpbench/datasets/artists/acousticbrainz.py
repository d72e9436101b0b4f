"""AcousticBrainz low-level documents as vectors: every number that all documents have, in one fixed order.

A document that is none (an error page that was saved), or that lacks a whole group of what most documents have, is an
error that names it: it would take its columns away from all. Single columns that some documents lack, such as the last
places of longer lists, are dropped; a line says which, and which document lacks them.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from larpbench import progress
from larpbench.errors import DataError, clipped, named, printable
from larpbench.storage import storage_errors

_PLACES = re.compile(r"\.\d+")


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
    elif isinstance(document, bool | int | float):
        try:
            number = float(document)
        except OverflowError:  # a whole number of hundreds of digits
            return
        if math.isfinite(number):
            yield prefix, number


def song_vectors(folder: Path, song_ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Read the documents of songs.

    Args:
        folder: Holds ``<song id>.json`` or ``<song id>-0.json``, as AcousticBrainz's dumps name them, at any depth.
        song_ids: Which songs.

    Returns:
        The paths of the attributes that all documents have, sorted, and (songs, attributes) float32.

    Raises:
        DataError: If a song has no document, one is no document of the kind, or they have no number in common.
    """
    files = {path.stem.removesuffix("-0"): path for path in sorted(folder.rglob("*.json"), reverse=True)}
    absent = [each for each in song_ids if each not in files]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(song_ids)} songs have no low-level document: {named(absent)}",
            where=str(folder),
            allowed="<song id>.json, or <song id>-0.json, for every song",
        )
    layouts: dict[tuple[str, ...], list[Path]] = {}  # most documents have the same keys: keep those once
    found: list[tuple[tuple[str, ...], np.ndarray]] = []
    broken: dict[Path, str] = {}
    with progress.stage("read low-level documents", len(song_ids), "songs") as advance:
        for each in song_ids:
            advance(1)
            try:
                values = _read(files[each])
            except DataError as error:
                broken[files[each]] = error.what
                continue
            keys = tuple(sorted(values))
            layouts.setdefault(keys, []).append(files[each])
            found.append((keys, np.array([values[key] for key in keys], dtype=np.float32)))
    _require_documents(broken, folder)
    _require_documents(_without_groups(layouts), folder)
    common = _common(layouts, folder)
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


def _require_documents(wrong: Mapping[Path, str], folder: Path) -> None:
    if wrong:
        reasons = [f"{_below(folder, path)}: {reason}" for path, reason in itertools.islice(wrong.items(), 5)]
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DataError(
            f"{len(wrong)} files are no whole low-level documents: {'; '.join(reasons)}{more}",
            where=str(folder),
            allowed="AcousticBrainz documents that have what most of them have",
            next_step="get these documents anew, or leave their artists out",
        )


def _without_groups(layouts: Mapping[tuple[str, ...], Sequence[Path]]) -> dict[Path, str]:
    """Return which documents lack a group (``lowlevel``, ``rhythm``, ..) that more than half of them have."""
    groups = {keys: {_group(key) for key in keys} for keys in layouts}
    counts = Counter[str]()
    for keys, paths in layouts.items():
        counts.update(dict.fromkeys(groups[keys], len(paths)))
    usual = {name for name, count in counts.items() if 2 * count > sum(map(len, layouts.values()))}
    return {
        path: f"it has no numbers in {', '.join(sorted(usual - groups[keys]))}"
        for keys, paths in layouts.items()
        for path in paths
        if usual - groups[keys]
    }


def _common(layouts: Mapping[tuple[str, ...], Sequence[Path]], folder: Path) -> list[str]:
    """Return the columns that all documents have, sorted, and report which others are dropped."""
    everywhere = set.intersection(*map(set, layouts)) if layouts else set()
    if not everywhere:
        least = sorted(layouts, key=len)[:3]
        files = ", ".join(f"{_below(folder, layouts[keys][0])} has {len(keys)} numbers" for keys in least)
        raise DataError(
            f"the low-level documents have no number in common: {files or 'there are none'}",
            where=str(folder),
            allowed="AcousticBrainz documents",
        )
    lacking: dict[str, Path] = {}
    columns = Counter[str]()
    for key in set().union(*layouts) - everywhere:
        field = _PLACES.sub("", key)
        columns[field] += 1
        if field not in lacking:
            lacking[field] = next(paths[0] for keys, paths in layouts.items() if key not in keys)
    if columns:
        shown = ", ".join(
            f"{clipped(field, 80)} ({count}; not in {_below(folder, lacking[field])})"
            for field, count in sorted(columns.items(), key=lambda each: (-each[1], each[0]))[:5]
        )
        more = f" and {len(columns) - 5} more attributes" if len(columns) > 5 else ""
        progress.say(
            f"low-level documents: {len(everywhere)} columns stay, {columns.total()} leave, which not all documents "
            f"have: {printable(shown)}{more}"
        )
    return sorted(everywhere)


def _group(key: str) -> str:
    return key.partition(".")[0]


def _below(folder: Path, path: Path) -> str:
    return repr(path.relative_to(folder).as_posix())


def _places(keys: tuple[str, ...], wanted: list[str]) -> np.ndarray:
    place = {key: number for number, key in enumerate(keys)}
    return np.array([place[key] for key in wanted])


def _read(path: Path) -> dict[str, float]:
    with storage_errors(path, "read"):
        try:
            document = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(document, dict):
                raise DataError("it is no JSON object")
            values = dict(flattened(document))
        except (ValueError, RecursionError) as error:
            raise DataError(f"it is no JSON: {clipped(str(error), 80)}") from error
    if not values:
        raise DataError("it has no number in common with an AcousticBrainz document")
    return values
