"""The task cold-tracks: its queries, its chance, its controls, and what leaves when an encoder has seen test tracks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from support.listener_world import planted_listeners
from support.small_listeners import build_listeners

import larpbench
from larpbench.datasets.demo_listeners.build import build_demo_listeners
from larpbench.datasets.demo_listeners.world import ListenerWorldSpec
from larpbench.datasets.listeners.split import given_split, split_by_hash
from larpbench.errors import ProtocolError
from larpbench.evaluation.bounds import chance
from larpbench.evaluation.metrics import COLD_CUTOFFS, find_hits, list_quality
from larpbench.evaluation.queries import listener_queries
from larpbench.tasks.overlap import find_removal


def tiny(folder):
    """Two listeners with a profile and one without; tracks a to d are warm, w is valid, x to z are test."""
    pairs = {"u1": "abxy", "u2": "bczw", "u3": "xz", "u4": "ad"}
    rows = [(listener, track) for listener, tracks in pairs.items() for track in tracks]
    split = {**dict.fromkeys("abcd", "train"), "w": "valid", **dict.fromkeys("xyz", "test")}
    artist = {"a": "A", "b": "B", "c": "C", "d": "", "w": "A", "x": "A", "y": "N", "z": ""}
    tracks = pl.DataFrame(
        {"track_id": list(split), "title": list(split), "artist": list(artist.values()), "split": list(split.values())}
    )
    return build_listeners(folder, given_split(), pl.DataFrame(rows, ["listener_id", "track_id"], orient="row"), tracks)


def test_profiles_are_train_tracks_and_nothing_is_masked(tmp_path):
    dataset = tiny(tmp_path / "d")
    train, test = dataset.split("train"), dataset.split("test")
    queries = listener_queries(train, test)
    assert queries.seeds.playlist_ids.tolist() == ["u1", "u2"]
    assert [train.track_ids[queries.seeds.select(np.array([row])).tracks].tolist() for row in (0, 1)] == [
        ["a", "b"],
        ["b", "c"],
    ]
    assert test.track_ids[queries.heldout.tracks].tolist() == ["x", "y", "z"]
    assert queries.candidates.tolist() == [3, 3]
    assert queries.left_out == {"no profile": 1}
    known = [set(queries.known_artists.select(np.array([row])).tracks.tolist()) for row in (0, 1)]
    assert [[int(queries.artists[track]) in each for track in range(3)] for each in known] == [
        [True, False, False],  # x is by A, as a is; an unknown artist is nobody else's
        [False, False, False],
    ]


def test_chance_is_the_mean_over_random_lists(tmp_path):
    world = planted_listeners(tmp_path / "w", listeners=40, tracks=300)
    queries, generator = world.test, np.random.default_rng(0)
    n, heldout = len(queries.track_ids), queries.heldout.lengths
    cutoffs = (10, 20, 50)
    expected = chance(queries.candidates, heldout, cutoffs)
    drawn = []
    for _ in range(300):
        lists = generator.random((len(heldout), n)).argsort(axis=1)[:, :50]
        quality = list_quality(find_hits(lists, queries.heldout, n), heldout, cutoffs)
        drawn.append([quality[name].mean() for name in expected])
    error = np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert (np.abs(np.mean(drawn, axis=0) - [values.mean() for values in expected.values()]) < 4 * error + 1e-12).all()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A small world of the kind of demo-listeners."""
    folder = tmp_path_factory.mktemp("demo") / "small"
    return build_demo_listeners(folder, ListenerWorldSpec(artists=300, listeners=100))


def test_shuffled_vectors_and_random_ones_score_like_chance(demo):
    results = larpbench.evaluate(
        ["provided:strong", "shuffled:provided:strong", "random"],
        demo,
        task="cold-tracks",
        recommenders=["itemknn"],
        seeds=20,
    )
    (table,) = results.tables
    rows = {row.encoder: row for row in table.rows}
    assert [row.recommender for row in table.rows] == ["itemknn"] * 3
    for name in ("recall@10", "recall@20", "ndcg@20"):
        for encoder in ("shuffled:provided:strong", "random"):
            score = rows[encoder].scores[name]
            assert rows[encoder].random_seeds == 20
            assert score.low <= table.chance[name] <= score.high, (encoder, name)
        assert rows["provided:strong"].scores[name].low > table.chance[name]
    assert all(record.encoder.card["control"] for record in rows["shuffled:provided:strong"].records)


def test_the_default_table_has_the_controls_that_know_artists_and_an_explicit_list_has_not(demo):
    plan = larpbench.plan(demo, task="cold-tracks")
    pairs = {(each.cell.encoder, each.cell.recommender) for each in plan.cells}
    assert {("none", "artist-mean"), ("none", "popular-artist"), ("same-artist", "itemknn")} <= pairs
    assert {("provided:strong", "ridge"), ("provided:weak", "itemknn")} <= pairs
    assert not any((encoder == "none") != (name in ("artist-mean", "popular-artist")) for encoder, name in pairs)
    listed = larpbench.plan(demo, task="cold-tracks", encoders=["random", "tfidf"])
    assert {each.cell.encoder for each in listed.cells} == {"random", "tfidf"}


def test_shuffled_has_twenty_permutations_at_least(demo):
    plan = larpbench.plan(demo, task="cold-tracks", encoders="shuffled:tfidf", recommenders="itemknn", seeds=2)
    assert len(plan.cells) == 20
    assert len({each.embedding_key for each in plan.cells}) == 20


def test_a_control_that_is_asked_for_by_name_stands_beside_listed_encoders(demo):
    plan = larpbench.plan(demo, task="cold-tracks", encoders="random", recommenders=["itemknn", "popular-artist"])
    assert {(each.cell.encoder, each.cell.recommender) for each in plan.cells} == {
        ("random", "itemknn"),
        ("none", "popular-artist"),
    }


@pytest.mark.parametrize("name", ["shuffled:tfidf+random", "random+shuffled:tfidf", "x=shuffled:tfidf+same-artist"])
def test_shuffled_parts_of_a_combination_are_permuted_twenty_times_too(demo, name):
    plan = larpbench.plan(demo, task="cold-tracks", encoders=name, recommenders="itemknn", seeds=2)
    assert len(plan.cells) == 20


def test_one_call_from_python_takes_the_data_and_the_recommenders_of_the_task(monkeypatch, demo):
    monkeypatch.setattr("larpbench.tasks.cold_tracks.task.ColdTracksTask.default_dataset", str(demo.folder))
    results = larpbench.evaluate("tfidf", task="cold-tracks", seeds=1, budget=1)
    assert {row.recommender for row in results.tables[0].rows} == {"itemknn", "ridge"}
    only = larpbench.evaluate("tfidf", demo, task="cold-tracks", recommenders="itemknn")
    assert [row.recommender for row in only.tables[0].rows] == ["itemknn"]


def test_only_test_tracks_leave_and_profiles_stay(tmp_path):
    dataset = tiny(tmp_path / "d")
    listens = pl.DataFrame({"listener_id": ["v", "v", "v"], "track_id": ["x", "q", "r"]})
    tracks = pl.DataFrame({"track_id": ["x", "q", "r"], "split": ["train", "train", "test"]})
    other = build_listeners(tmp_path / "other", given_split(), listens, tracks)
    removal = find_removal(dataset, [other])
    assert (removal.tracks, removal.seeds, removal.heldout, removal.playlists, removal.emptied) == (1, 0, 2, 0, 0)
    left = removal.applied_to(dataset)
    assert left.split("train").tracks.height == 4
    assert listener_queries(left.split("train"), left.split("test")).candidates.tolist() == [2, 2]
    everything = build_listeners(
        tmp_path / "all",
        given_split(),
        pl.DataFrame({"listener_id": ["v"] * 4, "track_id": ["x", "y", "z", "r"]}),
        pl.DataFrame({"track_id": ["x", "y", "z", "r"], "split": ["train"] * 3 + ["test"]}),
    )
    with pytest.raises(ProtocolError, match="could be tested"):
        find_removal(dataset, [everything])


def test_the_cutoffs_are_those_of_the_protocol():
    assert COLD_CUTOFFS == (10, 20, 50, 100)


def test_encoders_that_would_learn_from_listeners_are_refused(demo):
    plan = larpbench.plan(demo, task="cold-tracks", encoders=["random", "larp-ttc"])
    assert [each.name for each in plan.unavailable] == ["larp-ttc"]
    assert "larp-ttc@DATASET" in plan.unavailable[0].text


def test_encoders_do_not_learn_from_another_data_set_of_listeners_either(cli, demo, tmp_path):
    other = build_listeners(tmp_path / "other", split_by_hash(0.4))
    plan = larpbench.plan(demo, task="cold-tracks", encoders=["random", f"factors:tfidf@{other.folder}"])
    assert "trained on playlists with seeds" in plan.unavailable[0].text
    trained = cli("train", "factors", "--views", "tfidf", "--dataset", other.folder)
    assert trained.code == 2
    assert "trained on playlists with seeds" in trained.err
