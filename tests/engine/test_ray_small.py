"""One run on workers, in the ordinary suite: the same records to the last digit as without."""

from __future__ import annotations

import json

from support.engine_records import values_of
from support.small_data import build_split_tables

import larpbench
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.evaluation import ranking_tasks

CPUS = 2  # as many workers, each of which imports torch


def test_a_run_on_workers_gives_the_same_records(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(ranking_tasks, "LEAST_PRODUCTS", 1)  # also rankings this small are sent
    data = build_split_tables(tmp_path / "data", tracks=120, playlists=300)
    found = {}
    for engine in ("local", "ray"):
        plan = larpbench.plan(
            str(data.folder),
            encoders=["random", "tfidf"],
            recommenders=["itemknn", "ridge"],
            seeds=2,
            budget=2,
            output=tmp_path / engine,
            store=EmbeddingStore(tmp_path / f"{engine}-home" / "embeddings"),
        )
        summary = larpbench.run(plan, engine=engine)
        assert not summary.failed
        assert len(summary.computed) == len(plan.cells) == 7
        found[engine] = values_of(tmp_path / engine)
    assert json.dumps(found["local"], sort_keys=True) == json.dumps(found["ray"], sort_keys=True)
    shards = {engine: sorted((tmp_path / f"{engine}-home").rglob("*.safetensors")) for engine in found}
    assert len(shards["ray"]) == len(shards["local"]) > 4
