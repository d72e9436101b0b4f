"""The proof that a data set is what its manifest says, and how cold its cold start is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsInt

import polars as pl

from larpbench.audio.clips import clip_digest
from larpbench.audio.errors import UnusableAudio
from larpbench.datasets.files import fingerprint_of, read_dataset, table_digests
from larpbench.datasets.schema import PLAYLIST_COLUMNS, ROLES, SPLITS, Dataset, DatasetAudio
from larpbench.errors import printable
from larpbench.fingerprint import digest_file

_PAIRS = (("train", "valid"), ("train", "test"), ("valid", "test"))
_KINDS = {
    "track_id": ["track_id"],
    "playlist_id": ["playlist_id"],
    "artist": ["artist"],
    "artist and album": ["artist", "album"],
    "artist and title": ["artist", "title"],
    "title": ["title"],
}


@dataclass(frozen=True)
class Finding:
    """One line of the proof.

    Attributes:
        what: What was looked at.
        ok: Whether it is as it must be.
        detail: What was found.
    """

    what: str
    ok: bool
    detail: str


def check_dataset(folder: Path) -> list[Finding]:
    """Prove a data set folder anew: rules 1 and 3, references, digests, audio files.

    Raises:
        DataError: If the folder cannot be read at all.
    """
    dataset = read_dataset(folder, as_built=False)
    if dataset.graph is not None:
        from larpbench.datasets.graph_check import check_graph  # builds on this module

        audio = [_check_audio(dataset, dataset.audio)] if dataset.audio is not None else []
        return [*check_graph(dataset, dataset.graph), *audio]
    return [*check_rules(dataset), *_check_digests(dataset)]


def check_rules(dataset: Dataset) -> list[Finding]:
    """Prove what the protocol asks of playlists: rules 1 and 3, and references."""
    tracks, playlists = dataset.tracks, dataset.playlists
    findings = [
        _none("track ids more than once", tracks["track_id"].is_duplicated().sum()),
        _none("playlist entries more than once", playlists.select("playlist_id", "track_id").is_duplicated().sum()),
        _none("tracks in no split", (~tracks["split"].is_in(SPLITS)).sum()),
        _none("playlist entries without a role", (~playlists["role"].is_in(ROLES)).sum()),
        _none(
            "train entries that are no members, or others that are",
            ((playlists["role"] == "member") != (playlists["split"] == "train")).sum(),
        ),
        _none(
            "entries whose track is not in the split of its playlist",
            playlists.join(tracks.select("track_id", "split"), on=["track_id", "split"], how="anti").height,
        ),
    ]
    for row in split_overlaps(dataset).filter(pl.col("of").is_in(["track_id", "playlist_id"])).iter_rows(named=True):
        findings.append(_none(f"{row['of']}s shared by {row['first']} and {row['second']}", row["shared"]))
    return findings


def split_overlaps(dataset: Dataset) -> pl.DataFrame:
    """Count what two splits share: ids (must be none), and artists, albums and titles (how cold the start is).

    Returns:
        Columns ``first``, ``second`` (splits), ``of``, ``shared`` (distinct values in both) and ``share`` (of the
        second split's tracks or playlists, the part that carries a value that occurs in the first).
    """
    rows = []
    for of, columns in _KINDS.items():
        table = dataset.playlists if of == "playlist_id" else dataset.tracks
        named = table.select(*columns, "split").filter(pl.all_horizontal(pl.col(columns[0]) != ""))
        if of == "playlist_id":
            named = named.unique()
        keyed = named.with_columns(pl.col(columns).str.to_lowercase())
        for first, second in _PAIRS:
            ours = keyed.filter(pl.col("split") == first).select(columns).unique()
            theirs = keyed.filter(pl.col("split") == second)
            found = theirs.join(ours, on=columns, how="semi")
            share = found.height / theirs.height if theirs.height else 0.0
            shared = found.select(columns).n_unique() if found.height else 0
            rows.append({"first": first, "second": second, "of": of, "shared": shared, "share": share})
    return pl.DataFrame(rows)


def _check_digests(dataset: Dataset) -> list[Finding]:
    playlists = {column: dataset.playlists[column] for column in PLAYLIST_COLUMNS}
    actual = table_digests(dataset.tracks, playlists, dataset.audio)
    stated = dataset.manifest.digests
    findings = [
        Finding(f"digest of {name}", actual[name] == stated.get(name), actual[name][:12]) for name in sorted(actual)
    ]
    whole = fingerprint_of(actual)
    findings.append(Finding("fingerprint", whole == dataset.manifest.fingerprint, whole[:12]))
    if dataset.audio is not None:
        findings.append(_check_audio(dataset, dataset.audio))
    return findings


def _check_audio(dataset: Dataset, audio: DatasetAudio) -> Finding:
    """Hash every audio file again: sizes and times can lie."""
    root = dataset.folder / audio.root
    stated = dataset.tracks.filter(pl.col("audio").is_not_null()).join(audio.files, on="track_id", how="left")
    wrong = []
    for row in stated.iter_rows(named=True):
        path = root / row["audio"]
        if not path.is_file() or digest_file(path) != row["sha256"]:
            state = _how_changed(path, row, audio.policy.clip_seconds) if path.is_file() else "missing"
            wrong.append(printable(f"{row['track_id']} ({row['audio']}: {state})"))
    detail = f"{stated.height} hashed" if not wrong else f"{len(wrong)} differ: {', '.join(wrong[:5])}"
    return Finding("audio files", not wrong, detail)


def _how_changed(path: Path, row: Mapping[str, Any], clip_seconds: float) -> str:
    try:
        same_clip = clip_digest(path, row["clip_start_s"], clip_seconds) == row["samples_sha256"]
    except UnusableAudio:
        same_clip = False
    return "changed, the clip sounds the same: build the data set again" if same_clip else "changed"


def _none(what: str, count: SupportsInt) -> Finding:
    return Finding(what, int(count) == 0, str(int(count)))
