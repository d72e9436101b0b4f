"""Small things to build, test and train on: tables, sounds, playlist files and slices of playlists."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

TRACKS = "tracks.csv"
PLAYLISTS = "playlists.csv"
AUDIO = "audio"
LISTS = "lists"
SLICES = "slices"
_SPLITS = ("train", "valid", "test")
_TRACKS_A_SPLIT, _PLAYLISTS_A_SPLIT, _LENGTHS = 30, 16, (4, 8)
_RATE, _SECONDS = 16_000, 3.2
_SLICES, _PLAYLISTS_A_SLICE, _MPD_TRACKS, _MPD_LENGTHS = 6, 60, 400, (8, 30)


def make_inputs(folder: Path) -> None:
    """Write all inputs, the same for every call."""
    draw = np.random.default_rng(0)
    ids = {split: [f"{split}-{number:03d}" for number in range(_TRACKS_A_SPLIT)] for split in _SPLITS}
    tracks = [
        (name, f"Song {number}", f"Artist {number % 7} {split}", f"Album {number // 4}", split, f"{name}.wav")
        for split in _SPLITS
        for number, name in enumerate(ids[split])
    ]
    playlists = {
        f"{split}-p{number}": _drawn(draw, ids[split], *_LENGTHS)
        for split in _SPLITS
        for number in range(_PLAYLISTS_A_SPLIT)
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(folder / TRACKS, ("track_id", "title", "artist", "album", "split", "audio"), tracks)
    entries = [(name, track, name.partition("-")[0]) for name, listed in playlists.items() for track in listed]
    _write_table(folder / PLAYLISTS, ("playlist_id", "track_id", "split"), entries)
    _write_sounds(folder / AUDIO, [track[-1] for track in tracks])
    (folder / LISTS).mkdir()
    for name, listed in playlists.items():
        lines = "".join(f"../{AUDIO}/{track}.wav\n" for track in listed)
        (folder / LISTS / f"{name}.m3u8").write_text(lines, encoding="utf-8")
    _write_slices(folder / SLICES, draw)


def _drawn(draw: np.random.Generator, ids: Sequence[str], shortest: int, longest: int) -> list[str]:
    return [ids[place] for place in draw.permutation(len(ids))[: draw.integers(shortest, longest + 1)]]


def _write_table(path: Path, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([heads, *rows])


def _write_sounds(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir()
    time = np.arange(round(_SECONDS * _RATE)) / _RATE
    for number, name in enumerate(names):
        tone = 0.3 * np.sin(2 * np.pi * (150 + 12 * number) * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
        soundfile.write(folder / name, tone.astype(np.float32), _RATE, subtype="PCM_16")


def _write_slices(folder: Path, draw: np.random.Generator) -> None:
    """Write slices in the format of the Million Playlist Dataset."""
    folder.mkdir()
    known = [f"spotify:track:{number:022d}" for number in range(_MPD_TRACKS)]
    for first in range(0, 1_000 * _SLICES, 1_000):
        playlists = []
        for pid in range(first, first + _PLAYLISTS_A_SLICE):
            listed = _drawn(draw, known, *_MPD_LENGTHS)
            entries = [_entry(uri, pos) for pos, uri in enumerate(listed)]
            playlists.append({"name": f"mix {pid}", "pid": pid, "num_tracks": len(entries), "tracks": entries})
        text = json.dumps({"info": {"slice": f"{first}-{first + 999}"}, "playlists": playlists})
        (folder / f"mpd.slice.{first}-{first + 999}.json").write_text(text, encoding="utf-8")


def _entry(uri: str, pos: int) -> dict[str, object]:
    number = int(uri[-22:])
    return {
        "pos": pos,
        "track_uri": uri,
        "track_name": f"Song {number}",
        "artist_uri": f"spotify:artist:{number % 90:022d}",
        "artist_name": f"Artist {number % 90}",
        "album_uri": f"spotify:album:{number // 5:022d}",
        "album_name": f"Album {number // 5}",
        "duration_ms": 180_000 + number,
    }
