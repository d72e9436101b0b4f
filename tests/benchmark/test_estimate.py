"""The plan's estimate of CPU seconds: it follows the sizes of what is read, ranked and learned."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables

from larpbench.benchmark import estimate
from larpbench.benchmark.plan import plan
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.wmf import different_factors, factor_seconds, kept_factors
from larpbench.tasks.cold_tracks.recommenders import LISTENER_RECOMMENDERS


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build_split_tables(tmp_path_factory.mktemp("data") / "small")


def shards(dataset, folder, parts=3, dim=5):
    """Vectors of all tracks in several Parquet files, and what they are."""
    folder.mkdir()
    vectors = np.random.default_rng(0).normal(size=(dataset.tracks.height, dim)).astype(np.float32)
    for number, rows in enumerate(np.array_split(np.arange(len(vectors)), parts)):
        column = pl.Series("embedding", vectors[rows], dtype=pl.Array(pl.Float32, dim))
        pl.DataFrame([dataset.tracks["track_id"].gather(rows), column]).write_parquet(folder / f"{number}.parquet")
    return vectors


def seconds(dataset, tmp_path, **options):
    return plan(dataset, output=tmp_path / "r", seeds=1, **options).estimated_seconds()


def test_more_work_takes_longer(small, tmp_path):
    shards(small, tmp_path / "v")
    encoder = [f"precomputed:{tmp_path / 'v'}"]
    one = seconds(small, tmp_path, encoders=encoder, recommenders=["itemknn"])
    two = seconds(small, tmp_path, encoders=encoder, recommenders=["itemknn", "itemknn-dot"])
    tuned = seconds(small, tmp_path, encoders=encoder, recommenders=["ridge"], budget=2)
    longer = seconds(small, tmp_path, encoders=encoder, recommenders=["ridge"], budget=4)
    assert estimate.START_SECONDS < one < two < estimate.START_SECONDS + 1
    assert one < tuned < longer
    sizes = small.manifest.counts["train.entries"], 24 + 10
    more = different_factors(4) - different_factors(2)  # factors of the same parameters are made once
    assert longer - tuned == pytest.approx(
        2 * RECOMMENDERS.get("ridge").fit_seconds(*sizes, 5) - (2 - more) * factor_seconds(*sizes)
    )


def test_factors_that_other_encoders_and_trials_need_are_counted_once(small, tmp_path, monkeypatch):
    options = {"recommenders": ["ridge"], "budget": 6}
    entries, rows = small.manifest.counts["train.entries"], 24 + 10
    one, two = (plan(small, output=tmp_path / "r", seeds=2, encoders=names, **options)
                for names in (["tfidf"], ["tfidf", "same-artist"]))  # fmt: skip
    assert one.remembered_seconds() == pytest.approx(factor_seconds(entries, rows) * (6 - different_factors(6)))
    again = 6 + 2 - different_factors(2)
    assert two.remembered_seconds() - one.remembered_seconds() == pytest.approx(factor_seconds(entries, rows) * again)
    assert 3.9 < different_factors(6) < 4.1
    assert different_factors(1) == pytest.approx(1)
    monkeypatch.setattr("larpbench.recommenders.wmf._REMEMBERED_BYTES", 3 * rows * 64 * 4)
    assert kept_factors(rows) == 3
    assert two.remembered_seconds() == 0
    assert plan(small, output=tmp_path / "r", encoders=["tfidf"], recommenders=["itemknn"]).remembered_seconds() == 0


def test_temporary_files_of_vectors_are_part_of_the_disk(small, tmp_path, monkeypatch):
    shards(small, tmp_path / "v")
    options = {"encoders": [f"precomputed:{tmp_path / 'v'}"], "seeds": 1, "output": tmp_path / "r"}
    itemknn, ridge = (plan(small, recommenders=[name], **options) for name in ("itemknn", "ridge"))
    before = itemknn.estimated_bytes(), ridge.estimated_bytes()
    test, train, valid = (len(small.split(name).track_ids) for name in ("test", "train", "valid"))
    smallest = min(test, train, valid) * 5 * 4
    monkeypatch.setattr("larpbench.mapped.LARGEST_IN_MEMORY", smallest)
    assert itemknn.estimated_bytes() == before[0] + 2 * test * 5 * 4
    assert ridge.estimated_bytes() == before[1] + 2 * (test + train + valid) * 5 * 4
    monkeypatch.setattr("larpbench.mapped.LARGEST_IN_MEMORY", smallest + 1)
    less = ridge.estimated_bytes()
    assert before[1] <= less < before[1] + 2 * (test + train + valid) * 5 * 4


def test_the_time_of_a_ranking_grows_with_each_size():
    base = estimate.cell_seconds(1_000, 10_000, 64, 1)
    assert all(estimate.cell_seconds(*sizes) > base for sizes in (
        (2_000, 10_000, 64, 1), (1_000, 20_000, 64, 1), (1_000, 10_000, 128, 1), (1_000, 10_000, 64, 2)
    ))  # fmt: skip
    assert 1e9 < estimate.product_speed() < 1e13
    assert estimate.product_speed() == estimate.product_speed()
    large = estimate.cell_seconds(10_000, 200_000, 512, 1)
    assert large > 2 * 512 * 2e9 / estimate.product_speed()


def test_factors_of_listeners_are_part_of_every_fit_that_needs_them():
    wmf = factor_seconds(5_000_000, 75_000)
    assert 90 < wmf < 350  # 5.2 million entries took 175 s on slow cores
    fits = {name: LISTENER_RECOMMENDERS.get(name).fit_seconds(5_000_000, 75_000, 128)
            for name in ("artist-mean", "ridge", "clcrec", "dropoutnet", "dropoutnet-content")}  # fmt: skip
    assert wmf == fits["artist-mean"] < fits["ridge"] < fits["clcrec"] < fits["dropoutnet"]
    assert fits["dropoutnet"] == fits["dropoutnet-content"]


@pytest.mark.parametrize("name", ["clcrec", "dropoutnet"])
def test_training_takes_longer_with_each_size_and_an_entry_least_in_batches_of_some_hundred(name):
    kind = RECOMMENDERS.get(name)

    def training(entries: int, dim: int) -> float:
        return kind.fit_seconds(entries, 1_000, dim) - kind.shares_factors * factor_seconds(entries, 1_000)

    assert training(8_000, 64) < training(8_000, 1_024) < training(16_000, 1_024)
    an_entry = [training(entries, 256) / entries for entries in (2_000, 8_000, 40_000)]
    assert an_entry[0] == pytest.approx(an_entry[1])  # the smallest batch
    assert an_entry[2] < an_entry[1]
    assert training(400_000, 256) == pytest.approx(training(200_000, 256) * 2)  # the largest one
    assert kind.fit_seconds(8_000, 2_000, 64) - kind.fit_seconds(8_000, 1_000, 64) == pytest.approx(
        kind.shares_factors * (factor_seconds(8_000, 2_000) - factor_seconds(8_000, 1_000))
    )


def test_a_long_run_is_said_in_hours_too(small, tmp_path, cli, monkeypatch):
    monkeypatch.setattr("larpbench.benchmark.plan.Plan.estimated_seconds", lambda plan: 27_000.0)
    assert "roughly 27000 s (7.5 CPU hours) and" in cli("plan", "--dataset", small.folder, "--encoders", "random").out


def test_nothing_left_takes_no_time(small, tmp_path, cli):
    command = ("--dataset", small.folder, "--encoders", "random", "--seeds", 1, "--output", tmp_path / "r")
    assert cli("run", *command).code == 0
    assert "0 of 1 cells to run, roughly 0 s" in cli("plan", *command).out


def test_vectors_in_several_files_are_those_of_one(small, tmp_path):
    from larpbench.encoders.precomputed.opening import open_vectors, place_of, size_and_dim

    vectors = shards(small, tmp_path / "v")
    source = open_vectors(place_of(str(tmp_path / "v")))
    for rows in (np.arange(len(vectors)), np.array([60, 3, 71, 3, 30]), np.array([], dtype=np.int64)):
        assert np.array_equal(source.rows(rows), vectors[rows])
    size, dim = size_and_dim(str(tmp_path / "v"))
    assert (size, dim) == (sum(each.stat().st_size for each in (tmp_path / "v").iterdir()), 5)
