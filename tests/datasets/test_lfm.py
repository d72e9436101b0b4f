"""LFM-2b and LFM-1b, from files written by hand in their exact formats."""

from __future__ import annotations

import bz2
import datetime
import json
import random
import signal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import forked
from support.published_data import artist_of, lfm_events, lfm_tables, track_id, tsv, write_lfm
from support.sounds import write_tone

from larpbench.datasets.reading.log_times import Clock
from larpbench.datasets.sources.lfm import log as lfm_log
from larpbench.datasets.sources.lfm.history import KnownTracks
from larpbench.datasets.sources.lfm.log import UserSample
from larpbench.datasets.splits.builder import contiguous

SIZES = ("--train-tracks", 120, "--valid-playlists", 4, "--test-playlists", 8, "--min-length", 6, "--max-length", 20)


@pytest.fixture
def copy(tmp_path):
    return write_lfm(tmp_path / "LFM-2b", lfm_tables())


def build(cli, source, output, *more, sizes=SIZES):
    return cli("dataset", "build", "lfm", "--source", source, "--output", output, *sizes, *more)


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


def entries(folder, split):
    frame = pl.read_parquet(folder / "playlists.parquet").filter(pl.col("split") == split)
    return {name: set(rows["track_id"]) for (name,), rows in frame.group_by("playlist_id")}


def heard_by_user():
    """User -> Spotify ids in the order of time; tracks 6 and 7 are one, and 5 has none."""
    found: dict[str, list[str]] = {}
    for user, track, _, _ in lfm_events():
        if track != 5:
            found.setdefault(str(user), []).append(track_id(6 if track == 7 else track))
    return found


def test_built_checked_and_run_under_its_name(cli, copy, home):
    refused = cli("run", "--dataset", "lfm", "--encoders", "tfidf", "--output", home / "r")
    assert refused.code == 3
    assert "next: larpbench dataset build lfm --source" in refused.err
    built = cli("dataset", "build", "lfm", "--source", copy, *SIZES)
    assert built.code == 0, built.err
    assert "licence: LFM" in built.out
    assert cli("dataset", "check", "lfm").code == 0
    run = cli("run", "--dataset", "lfm", "--encoders", "tfidf", "--output", home / "r")
    assert run.code == 0, run.err
    assert "8 playlists counted" in run.out
    assert "Users of LFM count as playlists" in run.out
    assert "listening-counts do not say" not in run.out


@pytest.mark.parametrize("preset", [(), ("--preset", "paper")])
def test_test_playlists_are_contiguous_runs_of_what_users_heard(cli, tmp_path, copy, preset):
    built = build(cli, copy, tmp_path / "lfm", *preset)
    assert built.code == 0, built.err
    tracks = pl.read_parquet(tmp_path / "lfm" / "tracks.parquet")
    of = dict(tracks.select("track_id", "split").iter_rows())
    assert track_id(7) not in of
    order = ["train", "valid", "test"] if preset else ["test", "valid", "train"]
    heard = heard_by_user()
    for split in ("valid", "test"):
        earlier = order[: order.index(split)]
        for user, found in entries(tmp_path / "lfm", split).items():
            left = [track for track in heard[user] if of.get(track) not in earlier]
            runs = [set(left[a:b]) for a in range(len(left)) for b in range(a, len(left) + 1) if b - a >= len(found)]
            assert found in runs
            assert 6 <= len(found) <= 20
    for user, found in entries(tmp_path / "lfm", "train").items():
        assert found == {track for track in heard[user] if of.get(track) == "train"}
    made = manifest(tmp_path / "lfm")
    assert made["counts"]["train.tracks"] >= (120 if preset else 1)
    assert (made["counts"]["valid.playlists"], made["counts"]["test.playlists"]) == (4, 8)
    assert cli("dataset", "check", tmp_path / "lfm").code == 0


def test_counts_alone_give_drawn_subsets_and_every_table_says_so(cli, tmp_path):
    tables = {name: text for name, text in lfm_tables().items() if name != "listening-events.tsv"}
    built = build(cli, write_lfm(tmp_path / "counts", tables), tmp_path / "lfm")
    assert built.code == 0, built.err
    run = cli("run", "--dataset", tmp_path / "lfm", "--encoders", "tfidf", "--output", tmp_path / "r")
    assert run.code == 0, run.err
    assert "listening-counts do not say when a track was heard" in run.out
    heard = heard_by_user()
    assert all(found <= set(heard[user]) for user, found in entries(tmp_path / "lfm", "test").items())
    assert {len(found) for found in entries(tmp_path / "lfm", "test").values()} == {20}


@pytest.mark.parametrize("without", [None, "listening-events.tsv"])
@pytest.mark.parametrize("preset", [(), ("--preset", "paper")])
def test_entries_that_left_are_counted_once_however_often_they_were_heard(cli, tmp_path, preset, without):
    tables = {name: text for name, text in lfm_tables().items() if name != without}
    built = build(cli, write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "lfm", *preset)
    assert built.code == 0, built.err
    made = manifest(tmp_path / "lfm")
    heard = heard_by_user()
    users = {name for split in ("train", "valid", "test") for name in entries(tmp_path / "lfm", split)}
    kept = sum(made["counts"][f"{split}.entries"] for split in ("train", "valid", "test"))
    lost = made["left_out_entries"]
    assert "entries of playlists with too few tracks of their split" not in lost
    assert kept + sum(lost.values()) == sum(len(set(heard[user])) for user in users)
    assert lost["entries beyond 20 of a valid or test playlist"] > 0


def test_files_without_header_in_another_order_or_unpacked_give_the_same(cli, tmp_path, copy):
    assert build(cli, copy, tmp_path / "plain").code == 0
    tables = lfm_tables()
    bare = {name: text.partition("\n")[2] for name, text in tables.items()}
    built = build(cli, write_lfm(tmp_path / "bare", bare), tmp_path / "a")
    assert built.code == 0, built.err
    assert "listening-events.tsv.bz2: no header row; the columns are taken to be user_id, track_id" in built.err
    turned = {
        name: tsv(*(tuple(reversed(line.split("\t"))) for line in text.splitlines())) for name, text in tables.items()
    }
    turned["tracks.tsv"] = turned["tracks.tsv"].replace("track\tartist\t", "track_name\tartist_name\t", 1)
    built = build(cli, write_lfm(tmp_path / "turned", turned), tmp_path / "b")
    assert built.code == 0, built.err
    assert "the columns are in another order than documented: timestamp, album_id, track_id, user_id" in built.err
    (tmp_path / "unpacked").mkdir()
    for name, text in tables.items():
        (tmp_path / "unpacked" / name).write_text(text)
    built = build(cli, tmp_path / "unpacked", tmp_path / "c")
    assert built.code == 0, built.err
    assert len({manifest(tmp_path / name)["fingerprint"] for name in ("plain", "a", "b", "c")}) == 1


def test_lfm_1b(cli, tmp_path):
    source = tmp_path / "LFM-1b"
    source.mkdir()
    start = 1_380_000_000
    events = [(user, artist_of(track), 3, track, start + n) for n, (user, track, _, _) in enumerate(lfm_events())]
    random.Random(0).shuffle(events)
    (source / "LFM-1b_LEs.txt").write_text(tsv(*events))
    (source / "LFM-1b_tracks.txt").write_text(tsv(*((n, f"Song {n}", artist_of(n)) for n in range(320))))
    (source / "LFM-1b_artists.txt").write_text(tsv(*((n, f"Artist {n}") for n in range(40))))
    built = build(cli, source, tmp_path / "lfm")
    assert built.code == 0, built.err
    assert "their ids are LFM's numbers" in built.err
    tracks = pl.read_parquet(tmp_path / "lfm" / "tracks.parquet")
    assert all(f"Artist {artist_of(int(n))}" == name for n, name in tracks.select("track_id", "artist").iter_rows())
    assert cli("dataset", "check", tmp_path / "lfm").code == 0
    (source / "LFM-1b_artists.txt").unlink()
    refused = build(cli, source, tmp_path / "never")
    assert refused.code == 2
    assert "there is no LFM-1b_artists.txt" in refused.err


def test_rows_that_make_no_sense_are_counted(cli, tmp_path):
    tables = lfm_tables()
    lines = tables["listening-events.tsv"].splitlines(keepends=True)
    lines[5:5] = [
        "x\t1\t2\t2020-02-01 08:00:00\n",
        "1\t2\n",
        "\n",
        "1\t3\t4\tyesterday\n",
        "1\t-3\t4\t2020-02-01 08:00:00\n",
    ]
    tables["listening-events.tsv"] = "".join(lines)
    tables["tracks.tsv"] = tables["tracks.tsv"].replace('Song "8\n', "\n").replace('Song "9\n', "a\tb\n")
    built = build(cli, write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "lfm")
    assert built.code == 0, built.err
    left_out = manifest(tmp_path / "lfm")["left_out"]
    assert 4 <= left_out["rows of the log that cannot be read"] <= 5
    assert left_out["tracks without a title"] == 1


def test_a_row_with_a_number_far_from_all_others_takes_no_memory_for_those_between(cli, tmp_path):
    tables = {name: text for name, text in lfm_tables().items() if name != "spotify-uris.tsv"}
    built = build(cli, write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "a")
    assert built.code == 0, built.err
    tables["listening-events.tsv"] += f"1\t{2**32 - 1}\t2\t2020-02-01 08:00:00\n"
    built = build(cli, write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "b")
    assert built.code == 0, built.err
    assert manifest(tmp_path / "b")["left_out"]["tracks without a title"] == 1
    assert manifest(tmp_path / "a")["fingerprint"] == manifest(tmp_path / "b")["fingerprint"]


def test_files_that_are_missing_damaged_or_of_another_kind(cli, tmp_path):
    tables = lfm_tables()
    cases = {
        "no log": ({n: t for n, t in tables.items() if "listening" not in n}, "there is no listening-events.tsv.bz2"),
        "no tracks": ({n: t for n, t in tables.items() if n != "tracks.tsv"}, "there is no tracks.tsv.bz2"),
        "columns": (tables | {"listening-events.tsv": "user_id\tsong\n1\t2\n"}, "it lacks track_id, timestamp"),
        "kinds": (tables | {"listening-events.tsv": "a\tb\tc\td\n"}, "it has no header row, and begins with"),
        "empty": (tables | {"spotify-uris.tsv": ""}, "it is empty"),
        "rows": (tables | {"listening-events.tsv": "user_id\ttrack_id\talbum_id\ttimestamp\n" + "a\tb\tc\td\n" * 9},
                 "none of 9 rows can be used: 9 cannot be read"),
        "tracks": (tables | {"spotify-uris.tsv": tsv(("track_id", "uri"), (9_999, f"spotify:track:{track_id(1)}"))},
                   "rest name tracks that are not known"),
        "titles": (tables | {"tracks.tsv": tsv(("track_id", "artist", "track"), (9_999, "A", "B"))}, "has a title"),
    }  # fmt: skip
    for name, (content, message) in cases.items():
        refused = build(cli, write_lfm(tmp_path / name, content), tmp_path / "never")
        assert (refused.code, "Traceback" in refused.err) == (2, False), name
        assert message in refused.err, name
    cut = write_lfm(tmp_path / "cut", tables)
    for name in ("tracks.tsv.bz2", "listening-events.tsv.bz2"):
        whole = (cut / name).read_bytes()
        for content in (whole[: len(whole) // 2], whole[:400] + bytes(90) + whole[490:]):
            (cut / name).write_bytes(content)
            refused = build(cli, cut, tmp_path / "never")
            assert refused.code == 2, refused.err
            assert "damaged or cut off" in refused.err
            assert name in refused.err
        (cut / name).write_bytes(whole)
    assert "there is no folder" in build(cli, tmp_path / "nothing", tmp_path / "never").err
    assert not (tmp_path / "never").exists()


def test_users_with_no_tracks_left_are_passed_over_and_too_few_users_are_an_error(cli, tmp_path):
    tables = lfm_tables()
    lines = tables["listening-events.tsv"].splitlines(keepends=True)
    short = {str(user) for user in range(1, 25, 3)}
    seen: dict[str, int] = {}
    kept = []
    for line in lines:
        user = line.split("\t")[0]
        seen[user] = seen.get(user, 0) + 1
        if user not in short or seen[user] <= 2:
            kept.append(line)
    tables["listening-events.tsv"] = "".join(kept)
    built = build(cli, write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "lfm")
    assert built.code == 0, built.err
    assert not short & (set(entries(tmp_path / "lfm", "test")) | set(entries(tmp_path / "lfm", "valid")))
    assert any("playlists with fewer than 6 tracks" in reason for reason in manifest(tmp_path / "lfm")["left_out"])
    refused = build(cli, tmp_path / "LFM-2b", tmp_path / "never", sizes=())
    assert refused.code == 2
    assert "1000 test and 500 valid playlists of 24 users leave none for train" in refused.err
    refused = build(
        cli, tmp_path / "LFM-2b", tmp_path / "never", "--min-length", 19, "--train-tracks", 5_000, "--preset", "paper"
    )
    assert refused.code == 2
    assert "no playlist has 19 tracks left for valid" in refused.err
    assert not (tmp_path / "never").exists()


def test_audio_and_artists(cli, tmp_path, copy):
    for number in range(0, 320, 2):
        write_tone(tmp_path / "clips" / f"{track_id(number)}.ogg", 200 + number, seconds=2)
    built = build(cli, copy, tmp_path / "lfm", "--audio", tmp_path / "clips", "--artist-disjoint", "--min-length", 3)
    assert built.code == 0, built.err
    tracks = pl.read_parquet(tmp_path / "lfm" / "tracks.parquet")
    assert set(tracks["track_id"]) <= {track_id(number) for number in range(0, 320, 2)}
    assert tracks.group_by("artist").agg(pl.col("split").n_unique())["split"].max() == 1
    assert cli("dataset", "check", tmp_path / "lfm").code == 0
    (tmp_path / "other").mkdir()
    write_tone(tmp_path / "other" / "my song.ogg", 300)
    refused = build(cli, copy, tmp_path / "never", "--audio", tmp_path / "other")
    assert refused.code == 2
    assert "no track has both a Spotify id and an audio file" in refused.err


@pytest.mark.parametrize("far", [0, 2**32 - 1])
def test_known_tracks_are_found_by_any_of_their_numbers(far):
    """Whether the numbers are close together, or one of them is far from the others."""
    numbers = pl.Series([2, 3, 5, 8, *([far] if far else [])], dtype=pl.Int64)
    known = KnownTracks(numbers, pl.Series(["a", "b", "a", "c", *(["d"] if far else [])]))
    is_known, rows = known.rows(np.array([8, 5, 4, 3, 2, 0, 9, 2**32 - 1], dtype=np.uint32))
    assert is_known.tolist() == [True, True, False, True, True, False, False, bool(far)]
    assert rows.tolist() == [3, 0, 1, 0, *([4] if far else [])]


def test_a_user_that_was_dropped_early_is_never_needed(monkeypatch):
    """Whatever is dropped on the way, the users in the end are those of one sort at the end."""
    generator = np.random.default_rng(0)
    users, tracks = generator.integers(400, size=60_000), generator.integers(3_000, size=60_000).astype(np.uint32)
    for order in (np.argsort(users, kind="stable"), generator.permutation(60_000)):
        logs = []
        for rows in (10**9, 300):
            monkeypatch.setattr(lfm_log, "_ROWS_BEFORE_PRUNING", rows)
            drawn = UserSample(3, 30, 900, timed=False)
            for start in range(0, 60_000, 1_500):
                part = order[start : start + 1_500]
                wanted = np.isin(users[part], drawn.wanted(pl.Series(users[part])))
                part = part[wanted]
                drawn.add(users[part], tracks[part], np.zeros(len(part), np.uint32))
            logs.append(drawn.playlists())
        assert logs[0].ids.to_list() == logs[1].ids.to_list()
        assert logs[0].tracks.tolist() == logs[1].tracks.tolist()
        assert len(logs[0]) < 100


def test_a_run_has_no_gap_and_as_many_tracks_as_asked_for():
    generator = np.random.default_rng(1)
    for _ in range(300):
        heard = generator.integers(9, size=generator.integers(0, 40))
        most = int(generator.integers(1, 12))
        found = contiguous(heard, most, generator.random())
        assert len(found) == len(set(found.tolist())) == min(most, len(set(heard.tolist())))
        runs = [set(heard[a:b].tolist()) for a in range(len(heard) + 1) for b in range(a, len(heard) + 1)]
        assert set(found.tolist()) in runs
    starts = {contiguous(np.arange(10), 4, place / 100)[0] for place in range(100)}
    assert starts == set(range(7))


def test_after_kills_the_same_command_gives_what_an_uninterrupted_one_does(tmp_path, copy):
    place = tmp_path / "place"
    place.mkdir()
    command = ("dataset", "build", "lfm", "--source", copy, *SIZES, "--output")
    assert forked.run(*command, place / "whole", watched=place).code == 0
    changes = int((tmp_path / "place.changes").read_text())
    for moment in (2, *range(changes // 4, changes, 3)):
        cut = forked.run(*command, place / "killed", watched=place, kill_at=moment)
        assert cut.code == -signal.SIGKILL
        assert not (place / "killed").exists()
        if list(place.glob(".larpbench-work-killed-*/history.json")):
            break
    done = forked.run(*command, place / "killed")
    assert done.code == 0, done.err
    assert "read listening-events" not in done.err
    names = {"name": "", "recipe": ""}
    assert manifest(place / "killed") | names == manifest(place / "whole") | names
    assert not list(place.glob(".larpbench-work-*"))


def test_bz2_of_several_streams_is_read_to_its_end(cli, tmp_path, copy):
    assert build(cli, copy, tmp_path / "a").code == 0
    path = copy / "listening-events.tsv.bz2"
    text = bz2.decompress(path.read_bytes())
    path.write_bytes(bz2.compress(text[:7_001]) + bz2.compress(text[7_001:]))
    assert build(cli, copy, tmp_path / "b").code == 0
    assert manifest(tmp_path / "a")["fingerprint"] == manifest(tmp_path / "b")["fingerprint"]


MOMENTS = st.lists(st.integers(10**8, 4_102_444_799), min_size=1, max_size=20)


@given(MOMENTS, st.sampled_from([1, 10**3, 10**6, 10**9]), st.booleans())
def test_a_moment_in_any_unit_is_the_same_second(moments, factor, is_float):
    ending = ".0" if is_float else ""
    clock = Clock("log")
    assert clock.seconds(pl.Series([f"{moment * factor}{ending}" for moment in moments])).to_list() == moments
    other = 10**3 if factor == 1 else 1  # decided: a later piece of another unit is not of this log
    assert clock.seconds(pl.Series([str(moments[0] * other)])).to_list() == [None]
    assert (clock.unreadable, clock.outside) == (0, 1)


@given(MOMENTS, st.integers(-14 * 60, 14 * 60), st.sampled_from([" ", "T"]), st.sampled_from(["", ".5", ".123456"]))
def test_a_date_in_any_zone_is_the_same_second(moments, minutes, between, fraction):
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    written = []
    for moment in moments:
        text = datetime.datetime.fromtimestamp(moment, zone).strftime(f"%Y-%m-%d{between}%H:%M:%S{fraction}%z")
        written.append(text if minutes % 2 else text[:-2] + ":" + text[-2:])
    clock = Clock("log")
    assert clock.seconds(pl.Series(written)).to_list() == moments
    assert clock.seconds(pl.Series([str(moments[0]), "2013-01-27", "1/2/2013 10:00", ""])).null_count() == 4
    assert (clock.unreadable, clock.outside) == (4, 0)
