"""One run on workers, in the ordinary suite: the same records to the last digit as without."""

from __future__ import annotations

import functools
import json

import pytest
from support import engine_work as work
from support.engine_records import values_of
from support.small_data import build_split_tables

import larpbench
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.engine.base import running
from larpbench.engine.choice import engine_named
from larpbench.errors import EmbeddingError, EngineError
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


class Locked:
    """Gives the lengths of captions, and cannot be sent to another process."""

    modality = "text"

    def __call__(self, captions):
        return [[len(each), 1.0] for each in captions]

    def __reduce__(self):
        raise TypeError("it has a lock")


def test_what_cannot_be_sent_to_a_worker_is_named(cluster):
    with running(engine_named("ray", workers=2)) as engine:
        outcomes = [*engine.outcomes(work.doubled, [1, work.Unsendable(), 2])]
        assert [each.value for each in outcomes] == [2, None, 4]
        assert "a piece of work cannot be sent to workers: it has a lock" in str(outcomes[1].error)
        (outcome,) = engine.outcomes(work.returns_what_cannot_be_sent, [1])
        assert str(outcome.error) == "it has a lock"
        start = functools.partial(work.ready, work.Unsendable())
        drained = [*engine.drain([start, start], [(1, 1), (0, 2), (1, 3), (0, 4)])]
        assert sorted(each.item for each in drained) == [0, 1]
        assert all("it has a lock" in str(each.error) for each in drained)
        for refused in (lambda: engine.share(work.Unsendable()), lambda: [*engine.outcomes(work.Unsendable(), [1])]):
            with pytest.raises(EngineError, match="it has a lock"):
                refused()


def test_an_object_in_memory_stays_in_this_process(cluster, tmp_path, home):
    data = build_split_tables(tmp_path / "data")
    results = larpbench.evaluate({"mine": Locked()}, str(data.folder), engine="ray")
    assert [row.encoder for row in results[0].rows] == ["mine"]
    assert not (home / "embeddings").exists()
    with pytest.raises(EmbeddingError, match=r"shard 0 of mine \(test\) is missing: .* it has a lock"):
        larpbench.evaluate({"mine": Locked()}, str(data.folder), engine="ray", cache_key="1")
