"""The conformance tests of data sets: built-ins and folders pass, and each check finds what is wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables
from support.small_graphs import small_toy

from larpbench.datasets.catalogue import DatasetSource
from larpbench.datasets.demo.build import build_demo
from larpbench.datasets.demo.world import WorldSpec
from larpbench.datasets.files import read_dataset
from larpbench.errors import UnknownNameError
from larpbench.storage import home
from larpbench.testing import check_dataset, toy_playlists


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build_split_tables(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture
def source(monkeypatch):
    """Make a source whose loader is a function."""
    module = ModuleType("sources_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def made(load, name="small"):
        module.load = load
        return DatasetSource(name, "made by a test", f"{module.__name__}:load")

    return made


def failed(*arguments, **options):
    return {each.name: each for each in check_dataset(*arguments, **options) if each.outcome in ("fail", "warning")}


def built(name="small", **options):
    """Build a data set of three splits under the home folder."""
    return build_split_tables(home() / "datasets" / name, **options)


def test_toy_artists_conform():
    checks = check_dataset("toy-artists", rebuild=True)
    assert {each.outcome for each in checks} == {"pass"}
    assert "digest of edges" in {each.name for each in checks}


def test_a_small_demo_conforms(tmp_path):
    spec = WorldSpec(seed=5, tracks=(16, 16, 16), playlists=(6, 4, 6), artists=(4, 4, 4))
    checks = check_dataset(build_demo(tmp_path / "demo", spec).folder)
    assert {each.outcome for each in checks} == {"pass", "skipped"}
    assert "audio files" in {each.name for each in checks}


def test_folders_conform(small, tmp_path):
    for folder in (small.folder, small_toy(tmp_path / "graph")):
        checks = {each.name: each for each in check_dataset(folder)}
        assert {each.outcome for each in checks.values()} == {"pass", "skipped"}
        assert checks["registered name"].detail == "it is a folder and has no registered name"


def test_a_source_conforms(source):
    checks = check_dataset(source(built), rebuild=True)
    assert {each.outcome for each in checks} == {"pass"}


def test_without_rebuild_nothing_is_built_again(source):
    checks = {each.name: each for each in check_dataset(source(built))}
    assert "--rebuild" in checks["builds twice the same"].detail


def test_an_unknown_name():
    with pytest.raises(UnknownNameError, match="toy-artists"):
        check_dataset("toy-artist")


def drawn_each_time():
    folder = home() / "datasets" / "small"
    if folder.exists():
        return read_dataset(folder)
    return built(seeds={"test": int(np.random.default_rng().integers(2**31))})


def never_the_same():
    dataset = built()
    manifest = dataset.manifest.model_copy(update={"fingerprint": str(np.random.default_rng().random())})
    return replace(dataset, manifest=manifest)


def seeding():
    np.random.seed(0)
    return built()


def fewer_in_memory():
    dataset = built()
    return replace(dataset, playlists=dataset.playlists[1:])


def null_captions():
    dataset = built()
    return replace(dataset, tracks=dataset.tracks.with_columns(caption=pl.lit(None, pl.String)))


def no_texts():
    dataset = built()
    return replace(dataset, tracks=dataset.tracks.with_columns(caption=pl.lit(" "), artist=pl.lit(None, pl.String)))


def no_test():
    dataset = built()
    return replace(dataset, playlists=dataset.playlists.filter(pl.col("split") != "test"))


def no_licence():
    dataset = built()
    return replace(dataset, manifest=dataset.manifest.model_copy(update={"licence": " "}))


def not_readable():
    dataset = built()
    (dataset.folder / "tracks.parquet").write_bytes(b"no table")
    return dataset


WRONG = {  # what is wrong -> loader, the check that finds it, its outcome, what it says
    "raises": (lambda: 1 / 0, "loads", "fail", "ZeroDivisionError"),
    "a path": (lambda: Path("data"), "loads", "fail", "Path"),
    "in memory only": (toy_playlists, "loads", "fail", "has no dataset.json"),
    "not readable": (not_readable, "tables", "fail", "tracks.parquet"),
    "another name": (lambda: built("other"), "registered name", "fail", "calls it 'other'"),
    "no licence": (no_licence, "manifest", "fail", "no licence"),
    "no test": (no_test, "splits", "fail", "the test split is empty"),
    "no train": (lambda: built(without=["train", "valid"]), "splits", "warning", "in train and valid"),
    "null captions": (null_captions, "captions and artists", "fail", "72 tracks have null"),
    "no texts": (no_texts, "captions and artists", "warning", "caption or artist"),
    "fewer": (fewer_in_memory, "loaded = stored", "fail", "playlists differ"),
    "never the same": (never_the_same, "loads twice the same", "fail", "two data sets"),
    "drawn each time": (drawn_each_time, "builds twice the same", "fail", "built anew"),
    "seeds others": (seeding, "global state", "fail", "numpy's random numbers"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_found(source, fault):
    load, name, outcome, says = WRONG[fault]
    found = failed(source(load), rebuild=True)[name]
    assert found.outcome == outcome
    assert says in found.detail
    assert found.advice


def test_a_folder_that_was_changed(tmp_path):
    folder = build_split_tables(tmp_path / "small").folder
    entries = pl.read_parquet(folder / "playlists.parquet")
    moved = pl.when(pl.col("role") == "seed").then(pl.lit("heldout")).otherwise("role").alias("role")
    entries.with_columns(moved).write_parquet(folder / "playlists.parquet")
    found = failed(folder)
    assert {"digest of playlists", "table files"} <= found.keys()
    assert found["test playlists without a seed or without a held-out track"].detail.startswith("10")
    assert all(each.advice for each in found.values())
    (folder / "playlists.parquet").unlink()
    assert "loads" in failed(folder)


def test_a_manifest_that_was_changed(tmp_path):
    folder = build_split_tables(tmp_path / "small").folder
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["counts"]["test.tracks"] += 1
    (folder / "dataset.json").write_text(json.dumps(manifest))
    assert "counts of the manifest" in failed(folder)


def test_each_check_finds_something(source):
    own = [each.name for each in check_dataset(source(built))][-8:]
    assert {"loads", "tables", *own} == {name for _, name, *_ in WRONG.values()}
