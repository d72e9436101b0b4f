"""The verification that a data set is what its manifest says and keeps the rules of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsInt

import polars as pl

from larpbench.audio.clips import clip_digest
from larpbench.audio.errors import UnusableAudio
from larpbench.datasets.artists.check import graph_conditions
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.columns import beside
from larpbench.datasets.files import fingerprint_of, read_dataset, table_digests, uncounted_playlists
from larpbench.datasets.listeners.check import counted_listeners, listener_faults
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.raw_dataset import unprintable
from larpbench.datasets.schema import PLAYLIST_COLUMNS, ROLES, SPLITS, TRACK_COLUMNS, Dataset
from larpbench.datasets.splits.overlaps import split_overlaps
from larpbench.errors import DataError, named, printable
from larpbench.fingerprint import digest_file


@dataclass(frozen=True)
class Finding:
    """One line of the verification.

    Attributes:
        what: What was looked at.
        ok: Whether it is as it must be.
        detail: What was found.
    """

    what: str
    ok: bool
    detail: str


def check_dataset(folder: Path) -> list[Finding]:
    """Verify a data set folder: rules 1, 3 and 8, references, counts, digests, audio files.

    Raises:
        DataError: If the folder cannot be read at all.
    """
    dataset = read_dataset(folder, as_built=False)
    if dataset.graph is not None:
        rules = [_verified(what, holds) for what, holds in graph_conditions(dataset, dataset.graph).items()]
    else:
        rules = [*check_rules(dataset), *_check_counted(dataset), *_check_ids(dataset), _check_counts(dataset)]
    return [*rules, *_own_columns(dataset), *_check_digests(dataset), *_check_files(dataset), *_check_audio(dataset)]


def _own_columns(dataset: Dataset) -> list[Finding]:
    """Name the columns that the tables bring beside the known ones; they are no part of any digest."""
    own = {
        "tracks": beside(dataset.tracks, TRACK_COLUMNS),
        "playlists": beside(dataset.playlists, PLAYLIST_COLUMNS),
    }
    return [Finding(f"columns of the {table}' own", True, ", ".join(names)) for table, names in own.items() if names]


def _verified(what: str, holds: Callable[[], bool]) -> Finding:
    try:
        ok = holds()
    except DataError as error:
        return Finding(what, False, error.what)
    return Finding(what, ok, "as it must be" if ok else "not so")


def check_rules(dataset: Dataset) -> list[Finding]:
    """Verify what the protocols ask of playlists and listeners: rules 1 and 3, and references."""
    tracks, playlists = dataset.tracks, dataset.playlists
    if dataset.manifest.kind == LISTENERS:
        return [_none(what, count) for what, count in listener_faults(dataset).items()]
    findings = [
        _none("track ids more than once", tracks["track_id"].is_duplicated().sum()),
        _none("playlist entries more than once", playlists.select("playlist_id", "track_id").is_duplicated().sum()),
        _none("tracks in no split", (~tracks["split"].is_in(SPLITS).fill_null(False)).sum()),
        _none("playlist entries without a role", (~playlists["role"].is_in(ROLES).fill_null(False)).sum()),
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


def _check_digests(dataset: Dataset) -> list[Finding]:
    """Compare the digests of the tables with those that the manifest states, and the fingerprint with both."""
    actual = table_digests(dataset.tracks, dataset.playlists.lazy(), dataset.audio, dataset.graph, dataset.listens)
    stated = dataset.manifest.digests
    findings = [
        Finding(
            f"digest of {name}", actual.get(name) == stated.get(name), actual.get(name, "there is no such table")[:12]
        )
        for name in sorted({*actual, *stated})
    ]
    whole = fingerprint_of(actual)
    return [*findings, Finding("fingerprint", whole == dataset.manifest.fingerprint, whole[:12])]


def _check_counted(dataset: Dataset) -> list[Finding]:
    """Find valid and test playlists that no score can count (rule 8).

    A playlist of one track has no seed (rule 3), which is no fault; a split of nothing else is one.
    """
    if dataset.manifest.kind == LISTENERS:
        return [Finding(what, ok, detail) for what, ok, detail in counted_listeners(dataset)]
    without = uncounted_playlists(dataset.playlists)
    findings = []
    for name in SPLITS[1:]:
        mine = without.filter(pl.col("split") == name)
        faulty = mine.filter(~pl.col("heldout") | (pl.col("tracks") > 1))["playlist_id"].sort()
        detail = f"{len(faulty)}" + (f": {named(faulty, 3)}" if len(faulty) else "")
        what = f"{name} playlists without a seed or without a held-out track"
        findings.append(Finding(what, not len(faulty), detail))
        playlists = dataset.playlists.filter(pl.col("split") == name)["playlist_id"].n_unique()
        counted, alone = playlists - mine.height, mine.height - len(faulty)
        detail = f"{counted} of {playlists}" + (f"; {alone} have one track" if alone else "")
        findings.append(Finding(f"{name} playlists that scores count", bool(counted or not playlists), detail))
    return findings


def _check_ids(dataset: Dataset) -> list[Finding]:
    return [
        _none("track ids that are empty or have control characters", unprintable(dataset.tracks, "track_id").height),
        _none(
            "playlist ids that are empty or have control characters",
            unprintable(dataset.playlists.select("playlist_id").unique(), "playlist_id").height,
        ),
    ]


def _check_counts(dataset: Dataset) -> Finding:
    """Compare the numbers of the manifest with the tables."""
    stated, actual = dataset.manifest.counts, {}
    for name in SPLITS:
        entries = dataset.playlists.filter(pl.col("split") == name)
        actual[f"{name}.tracks"] = dataset.tracks.filter(pl.col("split") == name).height
        actual[f"{name}.playlists"] = entries["playlist_id"].n_unique()
        actual[f"{name}.entries"] = entries.height
    wrong = [
        f"{name} {stated.get(name)}, there are {count}" for name, count in actual.items() if stated.get(name) != count
    ]
    return Finding("counts of the manifest", not wrong, ", ".join(wrong) or f"{len(actual)} compared")


def _check_files(dataset: Dataset) -> list[Finding]:
    """Hash the tables again; data sets of earlier versions may not say what they were."""
    stated = dataset.manifest.files
    paths = {name: dataset.folder / name for name in stated}
    wrong = [name for name, path in paths.items() if not path.is_file() or digest_file(path) != stated[name]]
    detail = f"{len(stated)} hashed" if not wrong else f"changed or gone: {named(wrong)}"
    return [Finding("table files", not wrong, detail)] if stated else []


def _check_audio(dataset: Dataset) -> list[Finding]:
    """Hash every audio file again: sizes and times can lie."""
    if dataset.audio is None:
        return []
    files = dataset.audio.files
    strangers = files.join(dataset.tracks.select("track_id"), on="track_id", how="anti").height
    return [
        _none("tracks without audio, in a data set that has it", dataset.tracks["audio"].null_count()),
        _none(
            "rows of audio files that are there twice or of no track",
            files["track_id"].is_duplicated().sum() + strangers,
        ),
        _check_audio_files(dataset, dataset.audio),
    ]


def _check_audio_files(dataset: Dataset, audio: DatasetAudio) -> Finding:
    root = dataset.folder / audio.root
    with_audio = dataset.tracks.select("track_id", "audio", "clip_start_s").drop_nulls("audio")
    stated = with_audio.join(audio.files, on="track_id", how="left")
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
