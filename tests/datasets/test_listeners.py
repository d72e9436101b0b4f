from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.small_listeners import build_listeners, random_listens, some_tracks

from larpbench import load_dataset
from larpbench.datasets.check import check_dataset
from larpbench.datasets.listeners.split import given_split, split_by_hash, split_by_time
from larpbench.datasets.pairs import PairCollector
from larpbench.errors import DataError, UsageError


def faults(folder):
    return {each.what: each.detail for each in check_dataset(folder) if not each.ok}


def test_a_drawn_split_keeps_listeners_and_divides_tracks(tmp_path):
    listens = random_listens()
    dataset = build_listeners(tmp_path / "d", split_by_hash(0.3, seed=4), listens)
    assert dataset.manifest.kind == "listeners"
    assert faults(dataset.folder) == {}
    assert dataset.tracks["track_id"].is_duplicated().sum() == 0
    expected = listens.select(pl.col("listener_id").alias("playlist_id"), "track_id").sort("playlist_id", "track_id")
    assert dataset.playlists.select("playlist_id", "track_id").equals(expected)
    assert dict(dataset.playlists.group_by("split").agg(pl.col("role").unique().first()).iter_rows()) == {
        "train": "member",
        "valid": "heldout",
        "test": "heldout",
    }
    in_all = [set(dataset.playlists.filter(pl.col("split") == name)["playlist_id"]) for name in ("train", "test")]
    assert len(in_all[0] & in_all[1]) > 30
    stored = dataset.listens.collect()
    assert stored.equals(listens.rename({"listener_id": "playlist_id"}).sort("playlist_id", "track_id"))


def test_two_thirds_of_the_cold_tracks_are_test(tmp_path):
    tracks = [f"t{number}" for number in range(3000)]
    listens = pl.DataFrame({"listener_id": ["u"] * 3000, "track_id": tracks})
    dataset = build_listeners(tmp_path / "d", split_by_hash(0.3), listens, pl.DataFrame({"track_id": tracks}))
    counts = dataset.manifest.counts
    assert counts["test.tracks"] == pytest.approx(600, abs=70)
    assert counts["valid.tracks"] == pytest.approx(300, abs=60)
    assert dataset.listens is None
    assert "listens" not in dataset.manifest.digests


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), valid_from=st.integers(300, 4_000), length=st.integers(100, 3_000))
def test_by_time_nothing_of_the_tested_time_is_in_train(tmp_path_factory, seed, valid_from, length):
    listens = random_listens(listeners=20, entries=400, seed=seed)
    test_from = valid_from + length
    try:
        dataset = build_listeners(tmp_path_factory.mktemp("t") / "d", split_by_time(valid_from, test_from), listens)
    except DataError as error:
        first = listens.group_by("track_id").agg(pl.col("first_time").min())["first_time"]
        assert not (first < valid_from).any() or not (first >= test_from).any(), error
        return
    first = dict(listens.group_by("track_id").agg(pl.col("first_time").min()).iter_rows())
    for track, split in dataset.tracks.select("track_id", "split").iter_rows():
        low, high = {"train": (-1, valid_from), "valid": (valid_from, test_from), "test": (test_from, 10**9)}[split]
        assert low <= first[track] < high
    timed = dataset.playlists.join(dataset.listens.collect(), on=["playlist_id", "track_id"])
    assert (timed.filter(pl.col("split") != "test")["first_time"] < test_from).all()
    late = sum(count for reason, count in dataset.manifest.left_out.items() if "time of test" in reason)
    assert dataset.playlists.height + late == listens.height
    assert [what for what in faults(dataset.folder) if "scores count" not in what] == []


def test_dates_and_seconds_are_the_same_boundaries(tmp_path):
    day = 86_400
    listens = random_listens().with_columns(first_time=pl.col("first_time") * 864)
    by_date = build_listeners(tmp_path / "a" / "d", split_by_time("1970-01-11", "1970-01-21"), listens)
    by_second = build_listeners(tmp_path / "b" / "d", split_by_time(10 * day, 20 * day), listens)
    assert by_date.manifest.fingerprint == by_second.manifest.fingerprint
    assert by_date.manifest.split.boundaries == ("1970-01-11", "1970-01-21")


def test_given_splits_are_taken_and_tracks_without_one_leave(tmp_path):
    split = ["train"] * 100 + ["valid"] * 20 + ["test"] * 20 + [None] * 10
    tracks = some_tracks().with_columns(pl.Series("split", split), genre=pl.lit("jazz"))
    dataset = build_listeners(tmp_path / "d", given_split(), tracks=tracks)
    assert dataset.tracks.height == 140
    assert dataset.tracks["genre"].unique().to_list() == ["jazz"]
    assert dataset.manifest.left_out["tracks in no split"] == 10
    assert dataset.manifest.left_out["entries whose track is in no split"] > 0
    assert faults(dataset.folder) == {}


def test_the_order_of_the_rows_changes_nothing_and_other_counts_do(tmp_path):
    rule, listens = split_by_hash(0.3), random_listens()
    first = build_listeners(tmp_path / "a" / "d", rule, listens)
    other = build_listeners(
        tmp_path / "b" / "d", rule, listens.sample(fraction=1, shuffle=True), some_tracks().reverse()
    )
    assert other.manifest.digests == first.manifest.digests
    louder = build_listeners(tmp_path / "c" / "d", rule, listens.with_columns(pl.col("count") + 1))
    assert louder.manifest.digests["listens"] != first.manifest.digests["listens"]
    assert louder.manifest.digests["playlists"] == first.manifest.digests["playlists"]
    with pytest.raises(DataError, match="holds something else"):
        build_listeners(tmp_path / "a" / "d", rule, listens.with_columns(pl.col("count") + 1))


def test_replays_of_one_log_are_one_entry(tmp_path):
    listens = random_listens()
    again = listens.head(40).with_columns(pl.col("first_time") + 7)
    dataset = build_listeners(tmp_path / "d", split_by_hash(0.3), pl.concat([again, listens]))
    once = build_listeners(tmp_path / "once", split_by_hash(0.3), listens)
    assert dataset.manifest.left_out["duplicate entries"] == 40
    assert dataset.playlists.equals(once.playlists)
    both = dataset.listens.collect().join(once.listens.collect(), on=["playlist_id", "track_id"], suffix="_once")
    assert (both["first_time"] == both["first_time_once"]).all()
    assert int((both["count"].cast(pl.Int64) - both["count_once"]).sum()) == again["count"].sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": pl.lit(0, dtype=pl.UInt32)}, "count of 0"),
        ({"count": pl.lit(1.5)}, "column count"),
        ({"first_time": pl.lit("yesterday")}, "column first_time"),
        ({"track_id": pl.lit("x")}, "no listener plays a track"),
        ({"listener_id": pl.lit("")}, "empty listener_id"),
    ],
)
def test_wrong_interactions_are_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        build_listeners(tmp_path / "d", split_by_hash(0.3), random_listens().with_columns(**change))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("rule", [lambda: split_by_time(20, 20), lambda: split_by_time("soon", 9)])
def test_wrong_times_are_refused(rule):
    with pytest.raises(UsageError):
        rule()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_wrong_fractions_are_refused(fraction):
    with pytest.raises(UsageError, match="cold fraction"):
        split_by_hash(fraction)


def test_a_split_without_cold_tracks_is_refused(tmp_path):
    with pytest.raises(DataError, match="test"):
        build_listeners(tmp_path / "d", split_by_time(20_000, 30_000))


def test_listeners_without_a_profile_are_counted(tmp_path):
    listens = pl.DataFrame({"listener_id": ["a", "a", "b", "b"], "track_id": ["x", "y", "y", "z"]})
    tracks = pl.DataFrame({"track_id": ["x", "y", "z"], "split": ["train", "test", "valid"]})
    dataset = build_listeners(tmp_path / "d", given_split(), listens, tracks)
    assert dataset.manifest.uncounted == {"valid": 1, "test": 1}
    found = {each.what: each for each in check_dataset(dataset.folder)}
    assert found["test listeners that scores count"].detail == "1 of 2; 1 have no profile"
    assert not found["valid listeners that scores count"].ok


def test_moved_rows_and_seeds_are_found(tmp_path):
    dataset = build_listeners(tmp_path / "d", split_by_hash(0.3))
    entries = pl.read_parquet(dataset.folder / "playlists.parquet")
    in_test = pl.col("split") == "test"
    entries.with_columns(role=pl.when(in_test).then(pl.lit("seed")).otherwise("role")).write_parquet(
        dataset.folder / "playlists.parquet"
    )
    listens = pl.read_parquet(dataset.folder / "listens.parquet")
    listens.with_columns(pl.col("track_id").reverse()).write_parquet(dataset.folder / "listens.parquet")
    found = faults(dataset.folder)
    assert any("role seed" in what for what in found)
    assert {"listens of no entry", "digest of listens", "digest of playlists", "table files"} <= found.keys()
    with pytest.raises(DataError, match="was changed since it was built"):
        load_dataset(dataset.folder)


@pytest.mark.parametrize("sorted_at_a_time", [1, 120, 10_000])
@pytest.mark.parametrize("rule", [split_by_hash(0.3), split_by_time(2_000, 5_000)])
def test_many_listeners_are_written_in_blocks(tmp_path, monkeypatch, rule, sorted_at_a_time):
    whole = build_listeners(tmp_path / "whole" / "d", rule)
    monkeypatch.setattr("larpbench.datasets.listeners.entries._ENTRIES_AT_A_TIME", 50)
    monkeypatch.setattr("larpbench.datasets.listeners.entries._ENTRIES_SORTED_AT_A_TIME", sorted_at_a_time)
    parts = build_listeners(tmp_path / "parts" / "d", rule)
    assert parts.manifest.digests == whole.manifest.digests
    assert parts.manifest.counts == whole.manifest.counts
    assert parts.playlists.equals(whole.playlists)
    assert parts.listens.collect().equals(whole.listens.collect())


def test_pairs_as_numbers_give_the_same_as_their_ids(tmp_path):
    listens = random_listens()
    collector = PairCollector()
    collector.add(listens.rename({"listener_id": "listener", "track_id": "track"}))
    tracks = some_tracks().head(140)  # some are played and not in the table
    known = build_listeners(tmp_path / "ids" / "d", split_by_time(2_000, 5_000), listens, tracks)
    found = build_listeners(tmp_path / "pairs" / "d", split_by_time(2_000, 5_000), collector.result(), tracks)
    assert found.manifest == known.manifest
    assert found.manifest.left_out["entries whose track is not in the tracks table"] > 0
