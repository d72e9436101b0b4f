"""What stands beside LARP in every table: frozen vectors and `factors`, over the views that a data set has.

Their rows in whole tables and figures are looked at in `test_reproduce`.
"""

from __future__ import annotations

import csv

import numpy as np
import pytest
from support.small_data import build_heard, build_split_tables, write_library
from support.small_larp import small_recipe

from larpbench.encoders.larp import specs
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import pipeline
from larpbench.reproduction.yardstick import yardstick
from larpbench.results.store import read_records

FROZEN = "centred:handcrafted+centred:tfidf"


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)


@pytest.fixture
def silent(tmp_path):
    return build_split_tables(tmp_path / "silent")


@pytest.fixture
def viewed(tmp_path):
    """A data set that has vectors instead of sound, as `demo-large` does."""
    data = build_split_tables(tmp_path / "viewed", tracks=30)
    ids, draw = data.tracks["track_id"].to_numpy().astype(str), np.random.default_rng(0)
    for name, dim in (("text-like", 384), ("audio-like", 512)):
        rows = draw.normal(size=(len(ids), dim)).astype(np.float32)
        np.savez(data.folder / f"{name}.npz", ids=ids, embeddings=rows)
    return data


@pytest.fixture
def reproduce(cli, tmp_path):
    """Reproduce a target with one seed, and return its lines."""

    def call(target, dataset, *arguments):
        where = ("--results", tmp_path / "results", "--output", tmp_path / "made", "--seeds", "1")
        done = cli("reproduce", target, "--dataset", dataset.folder, *arguments, *where)
        assert done.code == 0, done.err
        with (tmp_path / "made" / f"{target}.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    return call


def test_their_views_are_those_of_the_data_set(tmp_path, silent, viewed):
    heard = build_heard(tmp_path / "heard", write_library(tmp_path / "library"))
    sound, captions, vectors = (yardstick(each) for each in (heard, silent, viewed))
    assert sound.rows == {FROZEN: None, "factors": None}
    assert (captions.frozen, captions.factors) == ("centred:tfidf", "factors:tfidf")
    assert (vectors.frozen, vectors.factors) == (
        "centred:text-like+centred:audio-like", "factors:text-like+audio-like",
    )  # fmt: skip
    assert yardstick(heard, "mpd").factors == "factors@mpd"
    assert yardstick(silent, "mpd").factors == "factors:tfidf@mpd"
    for each in (sound, captions, vectors):
        assert all(get_encoder(name).name == name for name in each.rows)


def test_data_without_sound_has_the_rows_that_it_can_have(reproduce, silent, viewed):
    for data in (silent, viewed):
        lines = [line for line in reproduce("table3", data) if line["metric"] == "recall@10"]
        ours = {line["encoder"]: line for line in lines if line["source"] == "larpbench"}
        beside = yardstick(data)
        for name in (beside.frozen, f"{beside.factors}@{data.name}"):
            assert 0 <= float(ours[name]["ci_low"]) <= float(ours[name]["value"]) <= float(ours[name]["ci_high"])
        assert ours["bert"]["note"]


def test_a_figure_over_epochs_of_what_has_none(reproduce, viewed, tmp_path):
    beside = yardstick(viewed)
    both = reproduce("figure5", viewed, "--encoders", ",".join(beside.rows))
    (facts,) = (record.training.facts for _, record in read_records(tmp_path / "results") if record.training)
    assert {line["encoder"]: (line["epoch"], float(line["valid_recall@10"])) for line in both} == {
        beside.frozen: ("", facts["valid"]["frozen"]),
        beside.factors: ("", facts["valid"]["best"]),
    }
    text = (tmp_path / "made" / "figure5.md").read_text()
    assert f"| {beside.factors} | none | {facts['valid']['best']:.4f} |" in text
    assert f">{beside.factors}" in (tmp_path / "made" / "figure5.svg").read_text()
    assert reproduce("figure5", viewed, "--encoders", beside.frozen) == [], "valid is looked at by factors alone"
    assert f"| {beside.frozen} | none | n/a |" in (tmp_path / "made" / "figure5.md").read_text()
