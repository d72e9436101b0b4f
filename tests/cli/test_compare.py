"""``larpbench compare``: two encoders on the same playlists."""

from __future__ import annotations

import json

import numpy as np
import pytest

from larpbench.results.store import read_playlist_values, read_records
from larpbench.tasks.continuation.task import CONTINUATION

SHOWN = CONTINUATION.columns


@pytest.fixture
def results(cli, small, tmp_path):
    done = cli(
        "run", "--dataset", small.folder / "small",
        "--encoders", f"precomputed:{small.vectors},tfidf,twin=tfidf,random",
        "--recommenders", "itemknn,itemknn-dot", "--output", tmp_path / "results",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "results"


def test_differences_are_those_of_the_stored_playlists(cli, results):
    done = cli("compare", results, "tfidf", "random", "--json")
    assert done.code == 0, done.err
    lines = json.loads(done.out)
    assert [(line["recommender"], line["metric"]) for line in lines] == [
        (recommender, metric) for recommender in ("itemknn", "itemknn-dot") for metric in SHOWN
    ]
    values: dict[tuple[str, str], list[np.ndarray]] = {}
    for path, record in read_records(results):
        stored = read_playlist_values(path, list(SHOWN))
        values.setdefault((record.cell.encoder, record.cell.recommender), []).append(stored)
    assert len(values["random", "itemknn"]) == 3
    for line in lines:
        column = SHOWN.index(line["metric"])
        one, other = (np.mean(values[name, line["recommender"]], axis=0)[:, column] for name in ("tfidf", "random"))
        found = line["comparison"]
        assert line["first"] == pytest.approx(one.mean())
        assert found["difference"] == pytest.approx((one - other).mean())
        assert found["low"] <= found["difference"] <= found["high"]
        assert found["effect_size"] == pytest.approx((one - other).mean() / (one - other).std(ddof=1))
        assert 0 < found["p"] <= 1


def test_the_other_way_round_is_the_same_with_the_other_sign(cli, results):
    there, back = (
        json.loads(cli("compare", results, *pair, "--json").out) for pair in (("tfidf", "random"), ("random", "tfidf"))
    )
    for one, other in zip(there, back, strict=True):
        assert one["comparison"]["difference"] == pytest.approx(-other["comparison"]["difference"])
        assert one["comparison"]["p"] == pytest.approx(other["comparison"]["p"])


def test_an_encoder_is_as_good_as_its_twin(cli, results):
    done = cli("compare", results, "tfidf", "twin")
    assert done.code == 0
    rows = [line for line in done.out.splitlines() if "| small |" in line]
    assert len(rows) == 12
    assert all("+0.0000 [+0.0000, +0.0000] | 1.0000 | +0.00 |" in row for row in rows)
    assert "30 playlists of small" in done.out


def test_an_encoder_is_not_compared_with_itself(cli, results):
    done = cli("compare", results, "tfidf", "tfidf")
    assert done.code == 2
    assert "'tfidf' is compared with itself" in done.err
    assert "random, twin" in done.err


@pytest.mark.parametrize("name", ["musicnn-msd", "tfidf@small"])
def test_an_encoder_without_results_is_named_with_those_that_have_some(cli, results, name):
    done = cli("compare", results, name, "random")
    assert done.code == 2
    assert f"encoder {name!r} has no results here" in done.err
    assert "random, tfidf" in done.err


def test_a_near_miss_is_answered(cli, results):
    assert "encoder 'tfid' has no results here; did you mean tfidf" in cli("compare", results, "tfid", "random").err


def test_no_results_at_all(cli, tmp_path):
    (tmp_path / "a-file").touch()
    for name, what in (("a-file", ": it is a file"), ("none", ": there is no such folder"), ("", "\n")):
        assert f"there are no results in {tmp_path / name}{what}" in cli("table", tmp_path / name).err
    done = cli("compare", tmp_path, "a", "b")
    assert done.code == 2
    assert "there are no results" in done.err
