"""Small copies of the published collections, written by hand in their exact formats, with invented content."""

from __future__ import annotations

import bz2
import json
import random
import zipfile
from pathlib import Path

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def track_id(number: int) -> str:
    """A Spotify id: 22 characters, in no order that the numbers have."""
    return "".join(random.Random(number).choices(LETTERS, k=22))


def artist_of(number: int) -> int:
    """Eight tracks an artist."""
    return number // 8


def mpd_entry(number: int, pos: int) -> dict[str, object]:
    """One entry of a playlist, with all that the original has."""
    return {
        "pos": pos,
        "artist_name": f"Artíst {artist_of(number)}",
        "track_uri": f"spotify:track:{track_id(number)}",
        "artist_uri": f"spotify:artist:{track_id(10_000 + artist_of(number))}",
        "track_name": f'Song "{number}"',
        "album_uri": f"spotify:album:{track_id(20_000 + number // 4)}",
        "duration_ms": 200_000 + number,
        "album_name": f"Album {number // 4}",
    }


def mpd_playlist(pid: int, numbers: list[int], **other: object) -> dict[str, object]:
    """A playlist, with all that the original has."""
    return {
        "name": f"list {pid}",
        "collaborative": "false",
        "pid": pid,
        "modified_at": 1_493_424_000,
        "num_tracks": len(numbers),
        "num_albums": len({number // 4 for number in numbers}),
        "num_followers": 1,
        "tracks": [mpd_entry(number, pos) for pos, number in enumerate(numbers)],
        "num_edits": 6,
        "duration_ms": 200_000 * len(numbers),
        "num_artists": len({artist_of(number) for number in numbers}),
        **other,
    }


def draw_tracks(seed: int, tracks: int, least: int = 8, most: int = 30) -> list[int]:
    """Track numbers of a playlist: mostly of few artists, no number twice."""
    drawn = random.Random(f"tracks {seed}")
    artists = drawn.sample(range(tracks // 8), 4)
    near = [8 * artist + song for artist in artists for song in range(8)]
    wanted = drawn.randint(least, most)
    chosen = drawn.sample(near, min(wanted, len(near)) * 3 // 4) + drawn.sample(range(tracks), wanted)
    return list(dict.fromkeys(chosen))[:wanted]


def mpd_slices(tracks: int = 400, per_slice: int = 60) -> dict[str, dict[str, object]]:
    """Three slices by name; they hold fewer playlists than their names say."""
    return {
        f"mpd.slice.{first}-{first + 999}.json": {
            "info": {
                "generated_on": "2017-12-03 08:41:42.057563",
                "slice": f"{first}-{first + 999}",
                "version": "v1",
            },
            "playlists": [mpd_playlist(pid, draw_tracks(pid, tracks)) for pid in range(first, first + per_slice)],
        }
        for first in (0, 1_000, 2_000)
    }


def write_zip(path: Path, slices: dict[str, dict[str, object]]) -> Path:
    """Write slices as the published zip has them: below data/, in lexicographic order, beside other files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", "the Million Playlist Dataset")
        for name in sorted(slices):
            archive.writestr(f"data/{name}", json.dumps(slices[name], indent=4))
        archive.writestr("__MACOSX/data/._mpd.slice.0-999.json", "x")
    return path


def write_challenge(path: Path, tracks: int = 400, playlists: int = 8) -> Path:
    """Write a challenge set: every second playlist has 100 visible tracks, the others have 5."""
    listed = []
    for number in range(playlists):
        numbers = random.Random(number).sample(range(tracks), 100 if number % 2 == 0 else 5)
        listed.append(
            {
                "name": f"challenge {number}",
                "num_holdouts": 40,
                "pid": 1_000_000 + number,
                "num_tracks": len(numbers) + 40,
                "tracks": [mpd_entry(track, pos) for pos, track in enumerate(numbers)],
                "num_samples": len(numbers),
            }
        )
    whole = {"date": "2018-01-16 08:47:28.198015", "version": "v1", "name": "challenge", "playlists": listed}
    path.write_text(json.dumps(whole))
    return path


def tsv(*rows: tuple[object, ...]) -> str:
    """Rows as tab-separated lines."""
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def lfm_events(users: int = 24, tracks: int = 320, days: int = 30) -> list[tuple[int, int, int, str]]:
    """Events in the order of users and time; tracks come again."""
    rows = []
    for user in range(1, users + 1):
        drawn = random.Random(user)
        known = draw_tracks(1_000 + user, tracks, 45, 70)
        for day in range(days):
            for song in range(4):
                at = f"2020-02-{day % 28 + 1:02d} {8 + day // 28:02d}:{song * 10:02d}:00"
                rows.append((user, drawn.choice(known), drawn.randint(1, 99), at))
        rows.sort(key=lambda row: (row[0], row[3]))
    return rows


def lfm_tables(tracks: int = 320) -> dict[str, str]:
    """The five files of LFM-2b, by name, as text. Track 5 has no Spotify id, track 7 has that of track 6."""
    events = lfm_events(tracks=tracks)
    counts: dict[tuple[int, int], int] = {}
    for user, track, _, _ in events:
        counts[user, track] = counts.get((user, track), 0) + 1
    uris = [
        (number, f"spotify:track:{track_id(6 if number == 7 else number)}") for number in range(tracks) if number != 5
    ]
    names = [(number, f"Artist {artist_of(number)}", f'Song "{number}') for number in range(tracks)]
    return {
        "listening-events.tsv": tsv(("user_id", "track_id", "album_id", "timestamp"), *events),
        "listening-counts.tsv": tsv(("user_id", "track_id", "count"), *((*key, n) for key, n in counts.items())),
        "spotify-uris.tsv": tsv(("track_id", "uri"), *uris),
        "tracks.tsv": tsv(("track_id", "artist", "track"), *names),
        "users.tsv": tsv(
            ("user_id", "country", "age", "gender", "creation_time"),
            *((user, "US", 30, "n", "2010-01-01 00:00:00") for user in range(1, 25)),
        ),
    }


def write_lfm(folder: Path, tables: dict[str, str]) -> Path:
    """Write tables as bz2."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.bz2").write_bytes(bz2.compress(text.encode()))
    return folder
