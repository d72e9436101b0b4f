"""Files in the shapes of the published collections, with invented content: MPD slices and LFM logs of any size."""

from __future__ import annotations

import bz2
import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl

MPD_TRACKS = 2_262_292
MPD_PLAYLISTS = 1_000_000
MPD_LENGTH = 66.35
_DEEP = 20 * " "  # the indentation of an entry's fields
_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def track_ids(count: int) -> np.ndarray:
    """Return (count,) distinct ids of 22 characters that do not compress."""
    generator = np.random.default_rng(7)
    letters = _ALPHABET[generator.integers(62, size=(count, 22))]
    return np.ascontiguousarray(letters).view("S22").ravel().astype("U22")


def write_slices(
    path: Path, playlists: int, *, tracks: int, length: float = MPD_LENGTH, skew: float = 12.0, compressed: bool = True
) -> int:
    """Write a zip of slices of 1,000 playlists each, and return how many bytes of JSON it holds.

    Args:
        path: The zip.
        playlists: How many.
        tracks: How many different ones there are; each occurs at least once if there are entries enough.
        length: Mean length of a playlist.
        skew: How uneven their popularity is: the share of the first tracks below quantile q is q ** (1 / skew).
        compressed: Whether to deflate, as the published zip is.
    """
    generator = np.random.default_rng(0)
    ids = track_ids(tracks)
    total = written = 0
    entries: dict[int, str] = {}
    unseen = generator.permutation(tracks)
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind, compresslevel=1) as archive:
        for start in range(0, playlists, 1_000):
            lengths = 5 + generator.exponential(length - 5, 1_000).astype(int)
            drawn = (tracks * generator.random(lengths.sum()) ** skew).astype(int)
            fresh = -(-tracks // -(-playlists // 1_000))  # every track is somewhere
            places = generator.choice(len(drawn), min(fresh, len(drawn)), replace=False)
            chosen = unseen[written : written + len(places)]
            drawn[places[: len(chosen)]] = chosen
            written += len(chosen)
            text = _slice(start, np.split(drawn, np.cumsum(lengths)[:-1]), ids, entries)
            archive.writestr(f"data/mpd.slice.{start}-{start + 999}.json", text)
            total += len(text)
    return total


def _slice(first: int, playlists: list[np.ndarray], ids: np.ndarray, entries: dict[int, str]) -> str:
    """Return the JSON of a slice, indented as published; the text of a track's entries is kept in `entries`."""
    texts = []
    for number, tracks in enumerate(playlists):
        listed = []
        for place, track in enumerate(tracks.tolist()):
            if track not in entries:
                entries[track] = _entry(track, ids)
            listed.append(f'{{\n{_DEEP}"pos": {place},\n{entries[track]}')
        fields = {
            "name": f"playlist {first + number}",
            "collaborative": "false",
            "pid": first + number,
            "modified_at": 1_493_424_000,
            "num_tracks": len(tracks),
            "num_albums": len(tracks),
            "num_followers": 1,
            "tracks": [],
            "num_edits": 6,
            "duration_ms": 11_532_414,
            "num_artists": 37,
        }
        text = json.dumps(fields, indent=4).replace("\n", "\n        ")
        texts.append(text.replace('"tracks": []', f'"tracks": [{", ".join(listed)}]'))
    info = {"generated_on": "2017-12-03 08:41:42.057563", "slice": f"{first}-{first + 999}", "version": "v1"}
    return f'{{\n    "info": {json.dumps(info)},\n    "playlists": [{", ".join(texts)}]\n}}'


def _entry(track: int, ids: np.ndarray) -> str:
    fields = {
        "artist_name": f"Artist of number {track // 8}",
        "track_uri": f"spotify:track:{ids[track]}",
        "artist_uri": f"spotify:artist:{ids[track // 8]}",
        "track_name": f"A song of number {track}",
        "album_uri": f"spotify:album:{ids[track // 3]}",
        "duration_ms": 180_000 + track % 90_000,
        "album_name": f"The album of number {track // 3}",
    }
    lines = ",\n".join(f"{_DEEP}{json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
    return lines + "\n" + _DEEP[4:] + "}"


def write_lfm(folder: Path, events: int, *, users: int, tracks: int) -> int:
    """Write the files of LFM-2b with so many events, and return how many bytes the log has when it is unpacked."""
    generator = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    with bz2.open(folder / "listening-events.tsv.bz2", "wb") as stream:
        stream.write(b"user_id\ttrack_id\talbum_id\ttimestamp\n")
        done = 0
        while done < events:
            count = min(1_000_000, events - done)
            track = (tracks * generator.random(count) ** 6).astype(np.int64)
            frame = pl.DataFrame(
                {
                    "user": (done + np.arange(count)) * users // events,  # in the order of the users, as published
                    "track": track,
                    "album": track // 3,
                    "time": 1_100_000_000 + np.sort(generator.integers(0, 480_000_000, count)),
                }
            )
            text = frame.with_columns(pl.from_epoch("time").dt.strftime("%Y-%m-%d %H:%M:%S"))
            size += stream.write(text.write_csv(separator="\t", include_header=False).encode())
            done += count
    ids = track_ids(tracks)
    with bz2.open(folder / "spotify-uris.tsv.bz2", "wt", encoding="utf-8") as stream:
        stream.write("track_id\turi\n")
        stream.writelines(f"{number}\tspotify:track:{name}\n" for number, name in enumerate(ids.tolist()))
    with bz2.open(folder / "tracks.tsv.bz2", "wt", encoding="utf-8") as stream:
        stream.write("track_id\tartist\ttrack\n")
        stream.writelines(f"{number}\tArtist {number // 8}\tA song of number {number}\n" for number in range(tracks))
    return size
