"""A run works out every fact once: names, keys, and the playlists of each split."""

from __future__ import annotations

from collections import Counter

import pytest
from support.small_data import build_split_tables

import larpbench
from larpbench.datasets.schema import Split
from larpbench.encoders import names
from larpbench.encoders.run.keys import Keys


@pytest.fixture
def calls(monkeypatch):
    counted = Counter()

    def count(owner, name, key):
        real = getattr(owner, name)

        def counting(*arguments, **options):
            counted[name, *key(*arguments)] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    count(Keys, "_embedding", lambda keys, spec, dataset, split, seed: (spec.identity, split.name, seed))
    count(Keys, "_checkpoint", lambda keys, spec, seed: (spec.identity, seed))
    count(Split, "_joined", lambda split, role: (split.name, role))
    count(names, "parse_name", lambda name: (name,))
    return counted


def test_a_run_of_fourteen_cells_works_out_each_fact_once(tmp_path, calls):
    data = build_split_tables(tmp_path / "data", tracks=60, playlists=20)
    plan = larpbench.plan(
        str(data.folder),
        encoders=["random", "tfidf", f"precomputed:{tmp_path}/data-tables/vectors.npz"],
        recommenders=["itemknn", "ridge"],
        output=tmp_path / "results",
    )
    assert len(plan.cells) == 14
    summary = larpbench.run(plan)
    assert len(summary.computed) == 14, summary.failed
    twice = {call: n for call, n in calls.items() if n > 1}
    assert twice == {}
    assert {call[0] for call in calls} == {"_embedding", "_joined", "parse_name"}
