"""Music4All-Onion, from files written by hand in its exact formats."""

from __future__ import annotations

import bz2
import datetime
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.open_collections import (
    ONION_TRACKS,
    TEST_DAY,
    onion_artist,
    onion_id,
    onion_plays,
    onion_vector,
    write_bz2,
    write_onion,
)

from larpbench.datasets import pairs as pairs_module
from larpbench.datasets.pairs import PairCollector, core
from larpbench.datasets.sources.onion.presets import PRESETS

WINDOW = (datetime.datetime.fromisoformat("2018-02-01"), datetime.datetime.fromisoformat("2019-03-01"))


@pytest.fixture
def copy(tmp_path):
    return write_onion(tmp_path / "onion")


def build(cli, source, output, *more):
    return cli("dataset", "build", "onion", "--source", source, "--output", output, *more)


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


def entries(folder, split):
    frame = pl.read_parquet(folder / "playlists.parquet").filter(pl.col("split") == split)
    return set(frame.select("playlist_id", "track_id").iter_rows())


def first_plays(start, end):
    """Pair -> its first time in a window."""
    found = {}
    for user, track, time in onion_plays():
        if start <= time < end:
            found[user, track] = min(time, found.get((user, track), time))
    return found


def test_the_published_split_and_its_sizes(cli, tmp_path, copy):
    built = build(cli, copy, tmp_path / "tamm", "--preset", "tamm-2026")
    assert built.code == 0, built.err
    first = first_plays(*WINDOW)
    train = {pair for pair, time in first.items() if time < TEST_DAY}
    warm = {track for _, track in train}
    listeners = {user for user, _ in train}
    cold = {pair for pair, time in first.items() if time >= TEST_DAY and pair[0] in listeners and pair[1] not in warm}
    ours = tmp_path / "tamm"
    assert entries(ours, "test") == cold
    assert entries(ours, "train") | entries(ours, "valid") == train
    assert "user_late" not in {user for user, _ in train | cold}
    valid = {track for _, track in entries(ours, "valid")}
    assert valid
    assert valid.isdisjoint({track for _, track in entries(ours, "train")})
    listens = pl.read_parquet(ours / "listens.parquet")
    plays = {}
    for user, track, time in onion_plays():
        if WINDOW[0] <= time < (TEST_DAY if (user, track) in train else WINDOW[1]):
            plays[user, track] = plays.get((user, track), 0) + 1
    counted = {(user, track): count for user, track, count, _ in listens.iter_rows()}
    assert counted == {pair: plays[pair] for pair in train | cold}, "nothing of the test month counts in train"
    (note, *others) = manifest(ours)["notes"]
    assert note.startswith("This is NOT the published split of arXiv 2604.23077: train has ")
    assert f"train has {len(train):,} pairs" in note
    assert "published 5,371,381 pairs, 21,018 listeners, 55,262 tracks" in note
    assert f"cold test has {len(cold):,} pairs" in note
    assert any("Titles and artists are not known" in each for each in others)
    assert cli("dataset", "check", ours).code == 0


def test_the_right_sizes_are_recognised():
    preset = PRESETS["tamm-2026"]
    split = type("Split", (), {"found": {what: (a, b, c or 7) for what, (a, b, c) in preset.published.items()}})()
    assert preset.verification(split).startswith(
        "The split has the published sizes of arXiv 2604.23077: train 5,371,381"
    )


def test_the_other_preset_splits_by_debut(cli, tmp_path):
    early = [(user, track, time - datetime.timedelta(days=153)) for user, track, time in onion_plays()]
    days = [datetime.datetime.fromisoformat(day) for day in ("2017-09-01", "2018-08-01", "2018-09-01", "2018-12-01")]
    new, users = early[0][1], sorted({user for user, *_ in early})
    early = [play for play in early if play[1] != new]
    for number, user in enumerate(users):  # a track that begins in the month of valid, and goes on in those of test
        early.append((user, new, days[1 + number % 2] + datetime.timedelta(days=4)))
    copy = write_onion(tmp_path / "onion", early, base=True)
    built = build(cli, copy, tmp_path / "acarec", "--preset", "acarec-2026")
    assert built.code == 0, built.err
    debut, first = {}, {}
    for user, track, time in early:
        if days[0] <= time < days[3]:
            debut[track] = min(time, debut.get(track, time))
            first[user, track] = min(time, first.get((user, track), time))
    train = {(u, t) for (u, t), time in first.items() if debut[t] < days[1] and time < days[2]}
    while True:  # the 5-core
        users, tracks = [u for u, _ in train], [t for _, t in train]
        kept = {(u, t) for u, t in train if users.count(u) >= 5 and tracks.count(t) >= 5}
        if kept == train:
            break
        train = kept
    known = {user for user, _ in train}
    artist = {onion_id(number): onion_artist(number) for number in range(ONION_TRACKS)}
    hot = {artist[track] for _, track in train}
    test = {(u, t) for u, t in first if debut[t] >= days[2] and u in known and artist[t] in hot}
    assert entries(tmp_path / "acarec", "train") == train
    assert entries(tmp_path / "acarec", "test") == test
    valid = {(u, t) for u, t in first if days[1] <= debut[t] < days[2] and u in known}
    assert any(first[pair] >= days[2] for pair in valid), "entries of the months of test among them"
    assert entries(tmp_path / "acarec", "valid") == valid
    assert "Newcomer" not in set(pl.read_parquet(tmp_path / "acarec" / "tracks.parquet")["artist"])
    assert manifest(tmp_path / "acarec")["left_out"]["entries of test tracks whose artist is not in train"] > 0


def test_vectors_of_all_feature_files_are_brought_along(cli, tmp_path, copy):
    built = build(cli, copy, tmp_path / "onion-2", "--preset", "tamm-2026")
    assert built.code == 0, built.err
    assert "vectors: mfcc_stats, musicnn (encoders provided:NAME)" in built.err
    rows = {r["name"]: r for r in json.loads(cli("list", "encoders", "--dataset", tmp_path / "onion-2", "--json").out)}
    assert {name: (row["dim"], row["status"]) for name, row in rows.items()} == {
        "provided:mfcc_stats": ("7", "ready"), "provided:musicnn": ("5", "ready"),
    }  # fmt: skip
    ids = pl.read_parquet(tmp_path / "onion-2" / "vectors" / "musicnn.ids.parquet")["track_id"].to_list()
    vectors = np.load(tmp_path / "onion-2" / "vectors" / "musicnn.npy", mmap_mode="r")
    wanted = {onion_id(number): onion_vector(number, 5, "musicnn") for number in range(ONION_TRACKS)}
    np.testing.assert_allclose(vectors, [wanted[each] for each in ids], rtol=1e-6)
    chosen = build(cli, copy, tmp_path / "one", "--preset", "tamm-2026", "--vectors", "musicnn")
    assert chosen.code == 0, chosen.err
    assert [path.name for path in (tmp_path / "one" / "vectors").glob("*.npy")] == ["musicnn.npy"]
    assert build(cli, copy, tmp_path / "none", "--preset", "tamm-2026", "--vectors", "none").code == 0
    assert not (tmp_path / "none" / "vectors").exists()
    assert manifest(tmp_path / "none")["fingerprint"] == manifest(tmp_path / "one")["fingerprint"]
    refused = build(cli, copy, tmp_path / "x", "--vectors", "musicn")
    assert refused.code == 2
    assert "mfcc_stats, musicnn" in refused.err


def test_tracks_without_a_vector_leave_unless_the_split_is_published(cli, tmp_path):
    lacking = [1, 2, ONION_TRACKS - 5]
    copy = write_onion(tmp_path / "onion", without={"musicnn": lacking})
    kept = build(cli, copy, tmp_path / "tamm", "--preset", "tamm-2026")
    assert "vectors musicnn: left out, since 3 of" in kept.err
    assert not (tmp_path / "tamm" / "vectors" / "musicnn.npy").exists()
    assert (tmp_path / "tamm" / "vectors" / "mfcc_stats.npy").exists()
    drawn = build(cli, copy, tmp_path / "drawn")
    assert "left out: 3 tracks without a vector in musicnn" in drawn.out
    ids = set(pl.read_parquet(tmp_path / "drawn" / "tracks.parquet")["track_id"])
    assert ids.isdisjoint({onion_id(number) for number in lacking})


def test_windows_boundaries_listeners_and_core(cli, tmp_path, copy):
    first = first_plays(*WINDOW)
    built = build(
        cli, copy, tmp_path / "by-time", "--window", "2018-02-01,2019-03-01", "--split-at", "2019-01-01,2019-02-01"
    )
    assert built.code == 0, built.err
    debut = {}
    for (_, track), time in first.items():
        debut[track] = min(time, debut.get(track, time))
    cold = {track for track, time in debut.items() if time >= TEST_DAY}
    assert {track for _, track in entries(tmp_path / "by-time", "test")} == cold
    assert all(first[pair] < TEST_DAY for pair in entries(tmp_path / "by-time", "train"))
    made = manifest(tmp_path / "by-time")
    assert made["left_out"]["rows of the log outside the window"] == sum(
        not WINDOW[0] <= time < WINDOW[1] for _, _, time in onion_plays()
    )
    few = build(cli, copy, tmp_path / "few", "--listeners", "20", "--core", "2")
    assert few.code == 0, few.err
    listeners = pl.read_parquet(tmp_path / "few" / "playlists.parquet")["playlist_id"].unique()
    assert 10 < len(listeners) <= 20
    assert manifest(tmp_path / "few")["source"] == "Music4All-Onion, 20 listeners drawn by hash, 2-core"
    both = build(cli, copy, tmp_path / "both", "--task", "continuation", "--min-length", "2")
    assert both.code == 0, both.err
    assert manifest(tmp_path / "both")["kind"] == "playlists"
    assert cli("dataset", "check", tmp_path / "both").code == 0


def test_counts_alone_split_by_hash_only(cli, tmp_path, copy):
    (copy / "userid_trackid_timestamp.tsv.bz2").unlink()
    refused = build(cli, copy, tmp_path / "x", "--preset", "tamm-2026")
    assert refused.code == 2
    assert "userid_trackid_count.tsv.bz2 does not say when a track was played" in refused.err
    assert "fetch onion" in refused.err
    built = build(cli, copy, tmp_path / "counts", "--cold-fraction", "0.3")
    assert built.code == 0, built.err
    listens = pl.read_parquet(tmp_path / "counts" / "listens.parquet")
    plays = {}
    for user, track, _ in onion_plays():
        plays[user, track] = plays.get((user, track), 0) + 1
    assert {(user, track): count for user, track, count, _ in listens.iter_rows()} == plays


def test_titles_and_more_come_with_the_base_collection(cli, tmp_path):
    copy = write_onion(tmp_path / "onion", base=True)
    assert build(cli, copy, tmp_path / "titled", "--preset", "tamm-2026").code == 0
    tracks = {row["track_id"]: row for row in pl.read_parquet(tmp_path / "titled" / "tracks.parquet").to_dicts()}
    row = tracks[onion_id(4)]
    assert (row["title"], row["artist"], row["album"]) == ('Song, "4"', "Artíst 4", "Album 1")
    assert (row["release"], row["genres"], row["duration_s"]) == (2004, ["rock", "indie 1"], 200.004)
    (copy / "id_information.csv").write_text("id,artist,song,album_name\n1,a,b,c\n")
    refused = build(cli, copy, tmp_path / "x", "--preset", "tamm-2026")
    assert refused.code == 2
    assert "separated by tabs, in spite of its name" in refused.err


def test_wrong_input_is_named(cli, tmp_path, copy):
    for arguments, what in (
        (("--preset", "tamm-2026", "--window", "2018-01-01,2019-01-01"), "--window would change it"),
        (("--window", "2019-01-01"), "two values"),
        (("--window", "2019-13-01,2019-14-01"), "is no day"),
        (("--window", "2019-02-01,2019-01-01"), "ends before it begins"),
        (("--window", "1999-01-01,1999-02-01"), "are outside the window"),
        (("--min-length", "3"), "would change nothing for the task cold-tracks"),
        (("--task", "continuation", "--cold-fraction", "0.2"), "would change nothing for the task continuation"),
        (("--cold-fraction", "0.2", "--split-at", "2019-01-01,2019-02-01"), "different ways to split"),
        (("--core", "400"), "a lower --core"),
        *((("--cold-fraction", share), "the cold fraction is") for share in ("0", "1", "-1", "nan")),
    ):
        refused = build(cli, copy, tmp_path / "x", *arguments)
        assert refused.code == 2, (arguments, refused.err)
        assert what in refused.err
    nowhere = build(cli, tmp_path / "nowhere", tmp_path / "x")
    assert "there is no folder" in nowhere.err
    (tmp_path / "empty").mkdir()
    assert "there is no userid_trackid_timestamp.tsv.bz2" in build(cli, tmp_path / "empty", tmp_path / "x").err
    cut = (copy / "id_musicnn.tsv.bz2").read_bytes()[:-20]
    (copy / "id_musicnn.tsv.bz2").write_bytes(cut)
    assert "damaged or cut off" in build(cli, copy, tmp_path / "x").err
    write_bz2(copy / "id_musicnn.tsv.bz2", [("id", "a", "b"), (onion_id(0), "0.5", "half"), (onion_id(1), "1", "2")])
    assert "cells that are no numbers" in build(cli, copy, tmp_path / "x").err
    right, wide_row, of_another = (onion_id(1), "1", "2"), (onion_id(0), "0.5", "1", "2"), ("x", "1", "2", "3")
    for rows in ((wide_row, right, of_another), (of_another, right, wide_row), ((onion_id(0), "1"), right)):
        write_bz2(copy / "id_musicnn.tsv.bz2", [("id", "a", "b"), *rows])
        wide = build(cli, copy, tmp_path / "x").err
        assert (
            f"the features of 1 tracks have cells that are no numbers, or too few or too many cells: '{onion_id(0)}'"
            in wide
        )
    write_bz2(copy / "id_musicnn.tsv.bz2", [("song", "a"), (onion_id(0), "0.5")])
    assert "its header is song, a" in build(cli, copy, tmp_path / "x").err
    assert not (tmp_path / "x").exists()


def test_columns_of_features_that_are_no_numbers_are_left_out(cli, tmp_path, copy):
    rows = [(onion_id(number), number + 1, "minor", 0.5) for number in range(ONION_TRACKS)]
    write_bz2(copy / "id_essentia.tsv.bz2", [("id", "bpm", "key", "energy"), *rows])
    built = build(cli, copy, tmp_path / "o", "--vectors", "essentia")
    assert built.code == 0, built.err
    assert "id_essentia.tsv.bz2: 1 of 3 columns hold no numbers and are left out" in built.err
    assert np.load(tmp_path / "o" / "vectors" / "essentia.npy").shape[1] == 2
    write_bz2(copy / "id_essentia.tsv.bz2", [("id", "key"), (onion_id(0), "minor")])
    assert "has no numbers" in build(cli, copy, tmp_path / "p", "--vectors", "essentia").err


def test_the_same_command_goes_on_after_a_failure(cli, tmp_path, copy, monkeypatch):
    whole = (copy / "id_musicnn.tsv.bz2").read_bytes()
    (copy / "id_musicnn.tsv.bz2").write_bytes(whole[:-20])
    failed = build(cli, copy, tmp_path / "o")
    assert "what has been read is kept for the next try" in failed.err
    with monkeypatch.context() as patch:
        patch.setattr("larpbench.datasets.sources.onion.log._read", lambda *arguments: pytest.fail("read again"))
        again = build(cli, copy, tmp_path / "o")
        assert "damaged or cut off" in again.err
    (copy / "id_musicnn.tsv.bz2").write_bytes(whole)
    built = build(cli, copy, tmp_path / "o")
    assert built.code == 0, built.err
    assert not list(tmp_path.glob(".larpbench-*"))
    with monkeypatch.context() as patch:
        patch.setattr("larpbench.datasets.sources.onion.log._read", lambda *arguments: pytest.fail("read again"))
        assert build(cli, copy, tmp_path / "o").code == 0


def test_other_orders_and_packings_give_the_same(cli, tmp_path, copy):
    assert build(cli, copy, tmp_path / "a", "--preset", "tamm-2026").code == 0
    log = copy / "userid_trackid_timestamp.tsv.bz2"
    head, *rows = bz2.decompress(log.read_bytes()).decode().splitlines()
    rows.sort(key=lambda row: row.split("\t")[2])
    turned = ["\t".join(reversed(row.split("\t"))) for row in (head, *rows)]
    log.unlink()
    (copy / "userid_trackid_timestamp.tsv").write_text("\n".join(turned) + "\n")
    assert build(cli, copy, tmp_path / "b", "--preset", "tamm-2026").code == 0
    assert manifest(tmp_path / "a")["fingerprint"] == manifest(tmp_path / "b")["fingerprint"]


@pytest.mark.parametrize("odd", ["user_0001\tonly two", "user_0001", "user_0001\tx\tnever\tmore\tand more", ""])
@pytest.mark.parametrize("place", [1, -1])
def test_rows_of_the_log_with_another_number_of_cells_are_no_end_of_it(cli, tmp_path, copy, odd, place):
    log = copy / "userid_trackid_timestamp.tsv.bz2"
    rows = bz2.decompress(log.read_bytes()).decode().splitlines()
    rows.insert(place % len(rows), odd)
    log.write_bytes(bz2.compress("\n".join(rows).encode()))
    built = build(cli, copy, tmp_path / "o", "--preset", "tamm-2026", "--vectors", "none")
    assert built.code == 0, built.err
    assert "train        40 playlists" in built.out + built.err


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(0, 30)), max_size=60),
    st.integers(1, 9),
    st.sets(st.integers(1, 29), max_size=2),
)
@settings(max_examples=25, deadline=None)
def test_pairs_are_counted_whatever_the_pieces(rows, size, boundaries):
    boundaries = tuple(sorted(boundaries))
    before = pairs_module._ROWS_BEFORE_MERGING
    pairs_module._ROWS_BEFORE_MERGING = 2
    try:
        collector = PairCollector(boundaries)
        for start in range(0, len(rows), size):
            schema = ["listener", "track", "first_time"]
            collector.add(pl.DataFrame(rows[start : start + size], schema=schema, orient="row"))
        found = collector.result()
    finally:
        pairs_module._ROWS_BEFORE_MERGING = before
    expected: dict[tuple[str, str, int], list[int]] = {}
    for listener, track, time in rows:
        period = sum(time >= each for each in boundaries)
        expected.setdefault((str(listener), str(track), period), []).append(time)
    names = (found.listeners.to_list(), found.tracks.to_list())
    ours = {(names[0][a], names[1][b], p): (n, t) for a, b, p, n, t in found.table.iter_rows()}
    assert ours == {key: (len(times), min(times)) for key, times in expected.items()}
    assert found.table.height == len(ours)
    once = found.in_first_period()
    assert once.height == len({(listener, track) for listener, track, _ in rows})


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=50), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_the_core_is_the_largest_part_of_its_kind(rows, least):
    kind = {"listener": pl.UInt32, "track": pl.UInt32}
    found = core(pl.DataFrame(sorted(rows), schema=kind, orient="row"), least)
    left = set(rows)
    while True:
        listeners, tracks = [a for a, _ in left], [b for _, b in left]
        kept = {(a, b) for a, b in left if listeners.count(a) >= least and tracks.count(b) >= least}
        if kept == left:
            break
        left = kept
    assert set(found.iter_rows()) == left
