"""The papers' numbers, and what arithmetic says of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.evaluation.arithmetic import largest_mean_ndcg
from larpbench.evaluation.metrics import discounts
from larpbench.results.published import faults, published_scores, published_statistics

PAPER = Path(__file__).parents[1] / "fixtures" / "paper-tables"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.sampled_from([10, 20, 40]), most=st.integers(1, 60))
def test_no_rankings_of_any_playlists_are_above_the_bound(seed, k, most):
    generator = np.random.default_rng(seed)
    recalls, ndcgs = [], []
    for _ in range(generator.integers(1, 8)):
        heldout = int(generator.integers(1, most + 1))
        hits = np.zeros(200, dtype=bool)
        places = generator.beta(1, generator.uniform(1, 30), size=heldout)
        hits[np.unique((places * 200).astype(int).clip(0, 199))] = True
        if generator.random() < 0.3:
            hits[:] = False
            hits[: int(generator.integers(0, heldout + 1))] = True  # as good as can be
        gain = discounts(k)
        recalls.append(hits[:k].sum() / heldout)
        ndcgs.append((hits[:k] * gain).sum() / gain[: min(heldout, k)].sum())
    assert np.mean(ndcgs) <= largest_mean_ndcg(float(np.mean(recalls)), k, most) + 1e-12


def test_the_bound_is_reached():
    one_hit_each = 1 / 51
    assert largest_mean_ndcg(one_hit_each, 10, 51) == pytest.approx(1 / discounts(10).sum())
    assert largest_mean_ndcg(one_hit_each / 2, 10, 51) == pytest.approx(0.5 / discounts(10).sum())
    assert largest_mean_ndcg(0.0, 10, 51) == 0
    assert largest_mean_ndcg(1.0, 10, 51) == 1


def test_what_is_printed_wrongly_is_found_and_nothing_else():
    wrong = {
        (row.table, row.encoder): row.faults for t in (2, 3, 4) for row in published_scores(f"table{t}") if row.faults
    }
    assert wrong == {
        ("table4", "LARP-TPC-fusion"): ("a recall@10 of 0.0102 allows an ndcg@10 of at most 0.115, not 0.1311",)
    }
    assert {row.dataset: bool(row.faults) for row in published_statistics()} == {"MPD": False, "LFM": True}
    good = published_scores("table2")[0].values
    assert faults(good) == []
    assert faults({**good, "recall@40": 0.0024, "ndcg@40": 0.0}) == ["recall@40 is below recall@20"]
    assert faults({**good, "recall@40": 1.2}) == ["recall@40 is 1.2"]


def test_every_row_has_every_metric():
    names = {f"{name}@{k}" for name in ("recall", "ndcg") for k in (10, 20, 40)}
    for table, rows in (("table2", 36), ("table3", 12), ("table4", 3)):
        found = published_scores(table)
        assert len(found) == rows
        assert all(set(row.values) == names for row in found)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_the_numbers_are_those_of_the_paper(number):
    with (PAPER / f"larp-table{number}.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    rows = {(r.recommender, r.encoder, r.dataset): r.values for r in published_scores(f"table{number}")}
    for line in lines:
        tested = line.get("tested_on") or line["dataset"]
        assert rows[line["recommender"], line["encoder"], tested][line["metric"]] == float(line["value"])
