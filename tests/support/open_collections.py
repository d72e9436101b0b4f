"""Small copies of collections that anyone can get, written by hand in their exact formats, with invented content."""

from __future__ import annotations

import bz2
import datetime
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import polars as pl

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ONION_USERS, ONION_TRACKS, ONION_COLD = 40, 60, 12
FIRST_DAY, TEST_DAY = (datetime.datetime.fromisoformat(day) for day in ("2018-02-01", "2019-02-01"))
Play = tuple[str, str, datetime.datetime]


def onion_id(number: int) -> str:
    """A track id of Music4All: 16 characters, in no order that the numbers have."""
    return "".join(random.Random(f"onion {number}").choices(LETTERS, k=16))


def onion_artist(number: int) -> str:
    """Five tracks an artist; cold tracks have the artists of warm ones, the last two have one of their own."""
    return f"Artíst {number % 12}" if number < ONION_TRACKS - 2 else "Newcomer"


def onion_plays() -> list[Play]:
    """All plays of a small log: newest first within a user, replays kept; the last tracks begin in February 2019."""
    plays: list[Play] = []
    for user in range(ONION_USERS):
        draw = random.Random(f"user {user}")
        own: list[Play] = []
        for track in draw.sample(range(ONION_TRACKS - ONION_COLD), 14):
            for _ in range(draw.choice((1, 1, 2, 5))):  # replays
                day = FIRST_DAY + datetime.timedelta(seconds=draw.randrange(360 * 86_400))
                own.append((f"user_{user:04d}", onion_id(track), day))
        for track in draw.sample(range(ONION_TRACKS - ONION_COLD, ONION_TRACKS), 4 if user % 4 else 0):
            day = TEST_DAY + datetime.timedelta(seconds=draw.randrange(27 * 86_400))
            own.append((f"user_{user:04d}", onion_id(track), day))
        own.append((f"user_{user:04d}", onion_id(draw.randrange(10)), FIRST_DAY - datetime.timedelta(days=1_800)))
        plays += sorted(own, key=lambda play: play[2], reverse=True)
    plays.append(
        ("user_late", onion_id(0), TEST_DAY + datetime.timedelta(days=2))
    )  # a listener of the test month alone
    return plays


def onion_vector(number: int, dim: int, name: str) -> list[float]:
    """The vector of a track in a set."""
    draw = random.Random(f"{name} {number}")
    return [round(draw.gauss(0, 1), 4) for _ in range(dim)]


def write_bz2(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    """Write rows, separated by tabs, packed."""
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(bz2.compress(text.encode()))
    return path


def write_onion(
    folder: Path,
    plays: Sequence[Play] | None = None,
    *,
    sets: Mapping[str, int] = MappingProxyType({"musicnn": 5, "mfcc_stats": 7}),
    base: bool = False,
    without: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Path:
    """Write a copy: the log, the counts, feature files, and maybe the base collection.

    Args:
        folder: Where.
        plays: Who played what when; default: `onion_plays`.
        sets: Feature file -> length of its vectors.
        base: Whether titles and artists are there.
        without: Feature file -> numbers of tracks that it lacks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plays = onion_plays() if plays is None else plays
    rows = [("user_id", "track_id", "timestamp"), *((user, track, str(time)) for user, track, time in plays)]
    write_bz2(folder / "userid_trackid_timestamp.tsv.bz2", rows)
    counts: dict[tuple[str, str], int] = {}
    for user, track, _ in plays:
        counts[user, track] = counts.get((user, track), 0) + 1
    counted = [("user_id", "track_id", "count"), *((*pair, count) for pair, count in counts.items())]
    write_bz2(folder / "userid_trackid_count.tsv.bz2", counted)
    for name, dim in sets.items():
        header = ("id", *(f"{name}_{number}" for number in range(dim)))
        numbers = [number for number in range(ONION_TRACKS + 20) if number not in without.get(name, ())]
        vectors = [(onion_id(number), *onion_vector(number, dim, name)) for number in numbers]
        write_bz2(folder / f"id_{name}.tsv.bz2", [header, *vectors])
    write_bz2(folder / "id_tags_dict.tsv.bz2", [("id", "(tag, weight)"), (onion_id(0), "{'rock': 100}")])
    if base:
        information = ["id\tartist\tsong\talbum_name"] + [
            f'{onion_id(n)}\t{onion_artist(n)}\tSong, "{n}"\tAlbum {n // 3}' for n in range(ONION_TRACKS)
        ]
        (folder / "id_information.csv").write_text("\n".join(information) + "\n", encoding="utf-8")
        metadata = [METADATA] + [
            f"{onion_id(n)}\tx\t{n % 100}.0\t{2000 + n % 19}\t0.5\t0.5\t5\t1\t0.5\t120.0\t{200_000 + n}"
            for n in range(ONION_TRACKS)
        ]
        (folder / "id_metadata.csv").write_text("\n".join(metadata) + "\n", encoding="utf-8")
        genres = ["id\tgenres"] + [f"{onion_id(n)}\trock,indie {n % 3}" for n in range(ONION_TRACKS)]
        (folder / "id_genres.csv").write_text("\n".join(genres) + "\n", encoding="utf-8")
    return folder


METADATA = "id\tspotify_id\tpopularity\trelease\tdanceability\tenergy\tkey\tmode\tvalence\ttempo\tduration_ms"
YAMBDA_LAST = 26_000_000
YAMBDA_WEEKS = 28 * 86_400


def yambda_likes() -> list[tuple[int, int, int]]:
    """Rows of (uid, timestamp, item_id), sorted by uid and timestamp; items from 200 on begin in the last weeks."""
    rows = []
    for uid in range(100, 140):
        draw = random.Random(f"yambda {uid}")
        mine = [(uid, 5 * draw.randrange(20_000_000 // 5), item) for item in draw.sample(range(1, 41), 12)]
        mine += [
            (uid, YAMBDA_LAST - 2 * YAMBDA_WEEKS + 5 * draw.randrange(1, 400_000), item)
            for item in draw.sample(range(100, 106), 2)
        ]
        mine += [
            (uid, YAMBDA_LAST - YAMBDA_WEEKS + 5 * draw.randrange(1, 480_000), item)
            for item in draw.sample(range(200, 210), 3)
        ]
        rows += sorted(mine, key=lambda row: row[1])
    rows[-1] = (rows[-1][0], YAMBDA_LAST, rows[-1][2])
    return rows


def write_yambda(folder: Path) -> Path:
    """Write likes, listens (some short, some over 100 %), vectors, and artists of which an item may have several."""
    flat = folder / "flat" / "50m"
    flat.mkdir(parents=True, exist_ok=True)
    likes = yambda_likes()
    schema = {"uid": pl.UInt32, "timestamp": pl.UInt32, "item_id": pl.UInt32}
    frame = pl.DataFrame(likes, schema=schema, orient="row").with_columns(is_organic=pl.lit(1, dtype=pl.UInt8))
    frame.write_parquet(flat / "likes.parquet")
    draw = random.Random("listens")
    ratios = pl.Series("played_ratio_pct", [draw.choice((3, 50, 51, 100, 250)) for _ in likes], dtype=pl.UInt16)
    listens = frame.with_columns(ratios, track_length_seconds=pl.lit(200, dtype=pl.UInt32))
    listens.write_parquet(flat / "listens.parquet")
    items = [*range(1, 41), *range(100, 106), *range(200, 210), *range(1_000, 1_200)]
    vectors = [[random.Random(f"item {item} {n}").gauss(0, 1) for n in range(4)] for item in items]
    pl.DataFrame(
        {
            "item_id": pl.Series(items, dtype=pl.UInt32),
            "embed": pl.Series(vectors, dtype=pl.List(pl.Float32)),
            "normalized_embed": pl.Series(vectors, dtype=pl.List(pl.Float32)),
        }
    ).filter(pl.col("item_id") != 3).write_parquet(folder / "embeddings.parquet", row_group_size=64)
    artists = [(item % 7, item) for item in items] + [(20, item) for item in items[::5]]
    for name, rows in (("artist", artists), ("album", [(item % 11, item) for item in items])):
        columns = {f"{name}_id": pl.UInt32, "item_id": pl.UInt32}
        pl.DataFrame(rows, schema=columns, orient="row").write_parquet(folder / f"{name}_item_mapping.parquet")
    return folder


TALKPLAY_SETS = {
    "audio-laion_clap": 6,
    "image-siglip2": 5,
    "cf-bpr": 4,
    "attributes-qwen3_embedding_0.6b": 3,
    "lyrics-qwen3_embedding_0.6b": 3,
    "metadata-qwen3_embedding_0.6b": 3,
}


def talkplay_id(number: int) -> str:
    """A uuid."""
    digits = f"{random.Random(f'talkplay {number}').getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def talkplay_sessions() -> dict[str, list[tuple[str, str, list[int]]]]:
    """Split -> (session, user, tracks in the order of the turns): 60 sessions of 15 users."""
    found: dict[str, list[tuple[str, str, list[int]]]] = {"train": [], "test": []}
    for session in range(60):
        draw = random.Random(f"session {session}")
        tracks = draw.sample(range(50), 8)
        found["train" if session < 50 else "test"].append((f"session-{session}", f"user-{session % 15}", tracks))
    return found


def write_talkplay(folder: Path) -> Path:
    """Write the three parts: turns in no order, lists of different lengths, empty lists, missing vectors."""
    sessions = folder / "TalkPlayData-Challenge-Dataset" / "data"
    sessions.mkdir(parents=True, exist_ok=True)
    for split, rows in talkplay_sessions().items():
        conversations = []
        for session, user, tracks in rows:
            turns = []
            for number, track in enumerate(tracks, start=1):
                turns += [
                    {"turn_number": number, "role": "user", "content": "something slower, please"},
                    {"turn_number": number, "role": "music", "content": talkplay_id(track)},
                    {"turn_number": number, "role": "assistant", "content": "here it is"},
                ]
            random.Random(session).shuffle(turns)
            conversations.append({"session_id": session, "user_id": user, "conversations": turns})
        pl.DataFrame(conversations).write_parquet(sessions / f"{split}-00000-of-00001.parquet")
    tracks = []
    for number in range(55):
        tracks.append(
            {
                "track_id": talkplay_id(number),
                "ISRC": [f"X{number}"] * (number % 3),
                "track_name": [f"Song {number}", f"Song {number} (live)"][: 1 + number % 2] if number != 7 else [],
                "artist_name": [f"Artist {number % 9}", "Guest"][: 1 + number % 2],
                "album_name": [f"Album {number // 4}"] if number % 5 else [],
                "tag_list": ["rock", "slow", "1999"][: number % 4],
                "artist_id": [talkplay_id(1_000 + number % 9)],
                "album_id": [],
                "popularity": float(number),
                "release_date": f"20{number % 20:02d}-05-31" if number % 6 else "",
                "duration": 200_000 + number,
            }
        )
    schema = {"album_id": pl.List(pl.String), "tag_list": pl.List(pl.String), "ISRC": pl.List(pl.String)}
    metadata = folder / "TalkPlayData-Challenge-Track-Metadata" / "data"
    metadata.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(tracks, schema_overrides=schema).write_parquet(metadata / "all_tracks-00000-of-00001.parquet")
    vectors = folder / "TalkPlayData-Challenge-Track-Embeddings" / "data"
    vectors.mkdir(parents=True, exist_ok=True)
    columns: dict[str, pl.Series] = {"track_id": pl.Series([talkplay_id(number) for number in range(55)])}
    for place, (name, dim) in enumerate(TALKPLAY_SETS.items()):
        rows = [
            [random.Random(f"{name} {track} {n}").gauss(0, 1) for n in range(dim)] if track != 10 + place else []
            for track in range(55)
        ]
        columns[name] = pl.Series(rows, dtype=pl.List(pl.Float64))
    pl.DataFrame(columns).write_parquet(vectors / "all_tracks-00000-of-00001.parquet", row_group_size=16)
    return folder


def write_melon(folder: Path) -> Path:
    """Write train.json, song_meta.json, and the masked val.json and test.json."""
    folder.mkdir(parents=True, exist_ok=True)
    songs = [
        {
            "song_gn_dtl_gnr_basket": ["GN0901"],
            "issue_date": f"20{number % 20:02d}0514" if number % 7 else "00000000",
            "album_name": f"앨범 {number // 3}",
            "album_id": 2_255_639 + number // 3,
            "artist_id_basket": [2_727 + number % 8],
            "song_name": f"노래 {number}",
            "song_gn_gnr_basket": ["GN0900"] if number % 4 else [],
            "artist_name_basket": [f"가수 {number % 8}", "친구"][: 1 + number % 2],
            "id": number,
        }
        for number in range(60)
    ]
    playlists = []
    for number in range(40):
        draw = random.Random(f"melon {number}")
        chosen = draw.sample(range(60), draw.randrange(8, 20)) if number else []
        playlists.append(
            {
                "tags": ["락", "밤"][: number % 3],
                "id": 100_000 + number,
                "plylst_title": "여행같은 음악" if number % 2 else "",
                "songs": [*chosen, *chosen[:1]] if number == 1 else chosen,  # a song twice
                "like_cnt": number,
                "updt_date": "2013-12-19 18:36:19.000",
            }
        )
    masked = [{**playlists[5], "id": 5_000, "songs": playlists[5]["songs"][:2]}]
    contents = {"song_meta": songs, "train": playlists, "val": masked, "test": masked}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def write_aotm(folder: Path) -> Path:
    """Write the mixes as the hub has them: ids of songs alone, mixes of one song, a mix without songs."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    songs = [f"SO{onion_id(5_000 + number).upper()}" for number in range(50)]
    rows = []
    for number in range(45):
        draw = random.Random(f"aotm {number}")
        chosen = draw.sample(songs, 1 if number == 3 else draw.randrange(7, 16)) if number != 4 else []
        rows.append(
            {
                "mix_id": 60_000 + number,
                "category": draw.choice(("Mixed Genre", "Theme", "Indie Rock")),
                "track_seq": chosen,
                "track_len": len(chosen),
                "timestamp": f"200{number % 10}-12-17T14:11:00",
                "user_id": f"Someone_{number % 9}_2003-02-09",
            }
        )
    pl.DataFrame(rows, schema_overrides={"track_seq": pl.List(pl.String)}).write_parquet(
        data / "train-00000-of-00001.parquet"
    )
    return folder
