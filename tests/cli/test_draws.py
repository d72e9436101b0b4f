"""`--draws`: how much of a score is the draw of the playlists' halves."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from larpbench import load_dataset
from larpbench.datasets.splits.rules import redraw_test


def records(folder):
    return {
        (record["cell"]["encoder"], record["cell"]["seed"]): record
        for path in folder.glob("*/*/*/*/*.json")
        if (record := json.loads(path.read_text()))
    }


def test_another_draw_has_other_halves_of_the_test_playlists_and_nothing_else(small):
    dataset = load_dataset(small.folder / "small")
    assert redraw_test(dataset, 0) is dataset
    names = ["playlist_id", "track_id", "split"]
    drawn = [redraw_test(dataset, draw) for draw in (1, 2)]
    for other in drawn:
        assert other.playlists.select(names).equals(dataset.playlists.select(names))
        for split in ("train", "valid"):
            assert other.split(split).playlists_digest == dataset.split(split).playlists_digest
        test = other.split("test")
        assert (test.interactions("seed").lengths == np.rint(test.interactions().lengths / 2)).all()
    assert redraw_test(dataset, 1).playlists.equals(drawn[0].playlists)
    roles = [each.playlists.filter(pl.col("split") == "test")["role"].to_list() for each in (dataset, *drawn)]
    assert 0.3 < np.mean(np.array(roles[0]) == np.array(roles[1])) < 0.7
    assert roles[1] != roles[2]
    fewer = pl.Series(dataset.playlists.filter(pl.col("split") == "test")["playlist_id"].unique().sort()[::2])
    part = type(dataset)(
        dataset.folder,
        dataset.manifest,
        dataset.tracks,
        dataset.playlists.filter(pl.col("playlist_id").is_in(fewer.implode())),
    )
    assert redraw_test(part, 1).playlists.equals(
        drawn[0].playlists.filter(pl.col("playlist_id").is_in(fewer.implode()))
    )


def test_draws_and_training_seeds_are_told_apart(cli, small, tmp_path):
    run = ("run", "--dataset", small.folder / "small", "--encoders", "random,tfidf", "--seeds", "2")
    assert cli(*run, "--output", tmp_path / "one").code == 0
    several = cli(*run, "--draws", "4", "--output", tmp_path / "four")
    assert several.code == 0, several.err
    once, found = records(tmp_path / "one"), records(tmp_path / "four")
    for name, record in found.items():
        assert once[name]["draws"] is None
        assert record["key"] != once[name]["key"]
        assert record["metrics"] == once[name]["metrics"]  # the first draw is the data set's own
        values = record["draws"]["values"]["recall@10"]
        assert record["draws"]["n"] == len(values) == 4
        assert values[0] == pytest.approx(record["metrics"][0]["value"], abs=1e-12)
        assert len(set(values)) > 1
        assert set(record["draws"]["values"]) == {m["name"] for m in record["metrics"] if m["chance"] is not None}
    table = np.array([found["random", seed]["draws"]["values"]["recall@10"] for seed in (0, 1)])
    by_draw, by_seed = (np.sqrt(table.var(axis=axis, ddof=1).mean()) for axis in (1, 0))
    assert f"random with itemknn: recall@10 over 4 draws of the hidden halves: mean {table.mean():.4f}, " in several.out
    assert f"deviation {by_draw:.4f}; over 2 training seeds on the same halves: {by_seed:.4f}." in several.out
    assert "tfidf with itemknn: recall@10 over 4 draws" in several.out
    assert cli(*run, "--draws", "0").code == 2


def test_the_record_says_what_kind_of_lists_these_are(cli, small, tmp_path):
    run = ("run", "--dataset", small.folder / "small", "--encoders", "random,same-artist", "--seeds", "1")
    assert cli(*run, "--output", tmp_path).code == 0
    found = {name: record["diagnostics"] for (name, _), record in records(tmp_path).items()}
    for diagnostics in found.values():
        assert set(diagnostics) == {
            f"{name}@{k}" for name in ("hubness", "same_artist_hits", "same_artist_listed") for k in (10, 20, 40)
        }
        assert all(0 <= v <= 1 for name, v in diagnostics.items() if name.startswith("same") and v is not None)
    assert found["same-artist"]["same_artist_listed@10"] > 2 * found["random"]["same_artist_listed@10"]
