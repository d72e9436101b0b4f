"""The generator of demo-large, and the encoders that read its views."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larpbench.benchmark.plan import default_store
from larpbench.datasets.check import check_dataset
from larpbench.datasets.demo.fixed_point import ONE, exact_product, interpolated
from larpbench.datasets.demo_large.build import build_demo_large
from larpbench.datasets.demo_large.world import LargeWorld, LargeWorldSpec, draw_large_world
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError

SMALL = {"artists": 600, "playlists": 200}


@pytest.fixture(scope="module")
def world() -> LargeWorld:
    return draw_large_world(LargeWorldSpec(seed=3, **SMALL))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_demo_large(tmp_path_factory.mktemp("worlds") / "three", LargeWorldSpec(seed=3, **SMALL))


def test_the_same_spec_gives_the_same_world_and_another_seed_another(world):
    again, other = (draw_large_world(LargeWorldSpec(seed=seed, **SMALL)) for seed in (3, 4))
    assert again.tracks.equals(world.tracks)
    assert again.playlists.equals(world.playlists)
    for name, vectors in world.views.items():
        assert np.array_equal(again.views[name], vectors)
    assert not set(other.tracks["track_id"]) & set(world.tracks["track_id"])
    assert len(set(other.tracks["artist"]) & set(world.tracks["artist"])) < 0.1 * other.tracks["artist"].n_unique()


def test_tables_are_what_they_say(world):
    assert world.tracks.columns == ["track_id", "title", "artist", "album"]
    assert world.tracks["track_id"].is_sorted()
    assert world.playlists["playlist_id"].n_unique() == 200
    assert not world.playlists.is_duplicated().any()
    assert set(world.playlists["track_id"]) == set(world.tracks["track_id"])
    assert not world.tracks.select("artist", "title").is_duplicated().any()
    assert world.tracks.select((pl.all() == "").any()).sum_horizontal().item() == 0
    assert (world.tracks["artist"].head(-1) == world.tracks["artist"].tail(-1)).mean() < 0.1  # ids tell nothing


def test_views_are_rounded_share_a_constant_and_see_artists(world):
    tracks = world.tracks.with_row_index("row").filter(pl.len().over("artist") > 1)
    pairs = tracks.group_by("artist").agg(pl.col("row").first().alias("a"), pl.col("row").last().alias("b"))
    for name, dim, constant, least in (("text-like", 384, 1.1, 0.25), ("audio-like", 512, 0.8, 0.05)):
        vectors = world.views[name]
        assert vectors.shape == (world.tracks.height, dim)
        assert vectors.dtype == np.float16
        exact = vectors.astype(np.float64)
        assert np.array_equal(exact * 1024, np.round(exact * 1024))
        mean = exact.mean(axis=0)
        assert np.linalg.norm(mean) == pytest.approx(constant, abs=0.1)
        centred = exact - mean
        assert np.linalg.norm(centred, axis=1).mean() == pytest.approx(1, abs=0.05)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        same = (centred[pairs["a"].to_numpy()] * centred[pairs["b"].to_numpy()]).sum(axis=1).mean()
        any_two = (centred[:-1] * centred[1:]).sum(axis=1).mean()
        assert same > any_two + least


def test_the_folder_holds_a_split_by_tracks_and_passes_the_check(built, world, tmp_path):
    assert built.name == "demo-large-3"
    assert built.manifest.split.rule == "tracks"
    assert all(finding.ok for finding in check_dataset(built.folder))
    assert built.tracks.height == world.tracks.height
    spec = LargeWorldSpec(seed=3, **SMALL)
    assert build_demo_large(tmp_path / "again", spec).manifest.fingerprint == built.manifest.fingerprint
    assert build_demo_large(built.folder, spec).manifest == built.manifest
    with pytest.raises(DataError):
        build_demo_large(built.folder, LargeWorldSpec(seed=4, **SMALL))


def test_encoders_read_the_views_and_are_refused_elsewhere(built, world, cli, small, tmp_path):
    run = ("run", "--encoders", "random,text-like,audio-like,text-like+audio-like", "--seeds", "1")
    done = cli(*run, "--dataset", built.folder, "--output", tmp_path / "results")
    assert done.code == 0, done.err
    recall = {}
    for path in (tmp_path / "results").glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        recall[record["cell"]["encoder"]] = {each["name"]: each["value"] for each in record["metrics"]}["recall@10"]
    assert recall["text-like"] > recall["random"]
    found = default_store().embed(get_encoder("text-like"), built, "test", 0).vectors
    rows = dict(zip(world.tracks["track_id"], world.views["text-like"], strict=True))
    assert np.array_equal(found, [rows[each].astype(np.float32) for each in built.split("test").track_ids])
    refused = cli("run", "--dataset", small.folder / "small", "--encoders", "text-like", "--output", tmp_path / "none")
    assert refused.code != 0
    assert "no text-like vectors" in refused.err
    assert "--dataset demo-large" in refused.err


def test_it_is_listed_and_described(cli):
    assert "demo-large" in cli("list", "datasets").out
    described = cli("describe", "dataset", "demo-large")
    assert described.code == 0
    assert "text-like" in described.out


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"artists": 3}, {"playlists": 0}])
def test_a_world_that_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ValueError, match=r"seed|at least"):
        LargeWorldSpec(**wrong)


@given(st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]))
def test_products_of_whole_numbers_are_exact_or_refused(seed, dtype):
    rng = np.random.default_rng(seed)
    bits = 9 if dtype is np.float32 else 23
    a, b = (rng.integers(-(1 << bits), 1 << bits, size=size) for size in ((5, 8), (8, 3)))
    assert np.array_equal(exact_product(a, b, dtype).astype(np.int64), a @ b)
    with pytest.raises(ValueError, match="too large"):
        exact_product(a << 12, b << 12, dtype)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=5), st.integers(0, ONE))
def test_interpolation_goes_through_its_points(levels, place):
    at = np.arange(len(levels), dtype=np.int64) * ONE
    values = np.array(levels, dtype=np.int64) * ONE
    assert np.array_equal(interpolated(at, at, values), values)
    between = interpolated(np.array([place], dtype=np.int64), at, values)[0]
    assert between == pytest.approx(np.interp(place, at, values), abs=1)
