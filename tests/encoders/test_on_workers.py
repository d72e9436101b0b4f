"""Encoders that share a pass on workers: one that fails takes no other with it, whatever it lacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import larpbench
from larpbench.datasets.catalogue import load_dataset
from larpbench.encoders.run import on_workers
from larpbench.encoders.run import store as store_module
from larpbench.encoders.run.on_workers import WorkerEncoding
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.together import Need
from larpbench.engine.base import LOCAL, LocalEngine, Outcome
from larpbench.errors import EngineError


class Counting:
    """Gives the lengths of captions; raises once it has been asked so often."""

    def __init__(self, calls_until_it_fails=1_000):
        self.left, self.calls = calls_until_it_fails, 0

    def encode(self, captions):
        self.calls += 1
        if self.calls > self.left:
            raise RuntimeError("out of luck")
        return np.array([[len(each), 1.0] for each in captions])


@pytest.fixture
def data(small, monkeypatch):
    monkeypatch.setattr(store_module, "TEXT_SHARD", 16)
    monkeypatch.setattr(on_workers, "_SECONDS_BETWEEN_LOOKS", 0.0)
    return load_dataset(small.folder / "small")


def needs_of(data, **encoders):
    """Encoders of one model, which therefore share a pass."""
    specs = {name: larpbench.as_encoder(each, name, cache_key="1") for name, each in encoders.items()}
    return {name: Need(replace(each, model="one"), data, "test", 0) for name, each in specs.items()}


def lacking(store, need):
    return store.missing_numbers(need.spec, need.dataset, need.dataset.split("test"), 0)


@pytest.mark.parametrize("fine_shards", [0, 3])
def test_one_that_fails_is_asked_no_more_and_the_others_go_on(data, tmp_path, fine_shards):
    bad, good = Counting(fine_shards), Counting()
    needs = needs_of(data, bad=bad, good=good)
    store = EmbeddingStore(tmp_path / "embeddings")
    encoding = WorkerEncoding(LOCAL, store)
    encoding.encode(needs.values())
    encoding.require(needs["good"])
    assert lacking(store, needs["good"]) == []
    assert lacking(store, needs["bad"]) == [*range(fine_shards, 8)]
    with pytest.raises(EngineError, match=rf"shard {fine_shards} of bad .*RuntimeError: out of luck"):
        encoding.require(needs["bad"])
    assert bad.calls == fine_shards + 2  # in the pass, and alone, where it says why
    assert good.calls == 8


def test_if_all_fail_each_has_its_own_reason(data, tmp_path):
    class Other(Counting):
        def encode(self, captions):
            raise ValueError("never")

    needs = needs_of(data, bad=Counting(0), worse=Other())
    encoding = WorkerEncoding(LOCAL, EmbeddingStore(tmp_path / "embeddings"))
    encoding.encode(needs.values())
    for name, reason in {"bad": "out of luck", "worse": "never"}.items():
        with pytest.raises(EngineError, match=rf"of {name} .*{reason}"):
            encoding.require(needs[name])


def test_what_never_begins_fails_whatever_it_lacks(data, tmp_path, monkeypatch):
    """One lacks all shards, and one the last only: the reason is the same."""
    store = EmbeddingStore(tmp_path / "embeddings")
    needs = needs_of(data, one=Counting(), other=Counting())
    other = needs["other"]
    store.encode_shards(other.spec, data, data.split("test"), 0, range(7))

    def no_place(places):
        raise EngineError("the folder is gone")

    monkeypatch.setattr(on_workers, "require_places", no_place)

    class Starting(LocalEngine):
        def drain(self, starts, items):
            return super().drain([lambda start=start: lambda item: start()(item) for start in starts], items)

    encoding = WorkerEncoding(Starting(), store)
    encoding.encode(needs.values())
    for need in needs.values():
        with pytest.raises(EngineError, match="the folder is gone"):
            encoding.require(need)


def test_one_that_ends_its_workers_takes_no_other_with_it(data, tmp_path):
    needs = needs_of(data, deadly=Counting(), good=Counting(), other=Counting())

    class Losing(LocalEngine):
        def drain(self, starts, items):
            names = [[spec.identity for spec, _ in start.args[0].encoders] for start in starts]
            fine = [item for item in items if "deadly" not in names[item[0]]]
            for number, (kind, _) in enumerate(items):
                if "deadly" in names[kind]:
                    yield Outcome(number, error=EngineError("4 workers were lost with it"))
            for outcome in super().drain(starts, fine):
                yield replace(outcome, item=items.index(fine[outcome.item]))

    store = EmbeddingStore(tmp_path / "embeddings")
    encoding = WorkerEncoding(Losing(), store)
    encoding.encode(needs.values())
    for name in ("good", "other"):
        encoding.require(needs[name])
        assert lacking(store, needs[name]) == []
    with pytest.raises(EngineError, match=r"shard 0 of deadly .* is missing: 4 workers were lost with it"):
        encoding.require(needs["deadly"])
