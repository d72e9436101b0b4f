from __future__ import annotations

import numpy as np
import pytest

from larpbench.datasets.schema import Interactions
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders import vectors as module


@pytest.fixture
def question():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 9, size=50)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tracks = np.concatenate([np.sort(generator.permutation(70)[:n]) for n in lengths])
    embeddings = (generator.normal(size=(70, 12)) * np.exp(generator.normal(size=(70, 1)))).astype(np.float32)
    return Interactions(np.array([f"p{i}" for i in range(50)]), offsets, tracks), embeddings


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("gathered", [1, 7, 10_000])
@pytest.mark.parametrize("name", ["itemknn", "itemknn-dot", "itemknn-cosine"])
def test_the_three_scorers_are_what_they_say(question, name, gathered, monkeypatch):
    monkeypatch.setattr(module, "_GATHERED_ROWS", gathered)
    seeds, embeddings = question
    raw = embeddings.astype(np.float64)
    base = unit(raw) if name == "itemknn" else raw
    means = np.array(
        [base[seeds.tracks[a:b]].mean(axis=0) for a, b in zip(seeds.offsets, seeds.offsets[1:], strict=False)]
    )
    queries, items = {
        "itemknn": (means, unit(raw)),
        "itemknn-dot": (means, raw),
        "itemknn-cosine": (unit(means), unit(raw)),
    }[name]
    recommender = RECOMMENDERS.get(name)
    found_queries, found_items = recommender.query_vectors(seeds, embeddings), recommender.item_vectors(embeddings)
    assert found_queries.dtype == found_items.dtype == np.float32
    np.testing.assert_allclose(found_queries, queries, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found_items, items, rtol=2e-6, atol=1e-7)


def test_seeds_that_cancel_out_give_no_nan():
    embeddings = np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    seeds = Interactions(np.array(["p"]), np.array([0, 2]), np.array([0, 1]))
    for name in ("itemknn", "itemknn-dot", "itemknn-cosine"):
        assert np.isfinite(RECOMMENDERS.get(name).query_vectors(seeds, embeddings)).all()


def test_huge_and_tiny_vectors_are_normalised_all_the_same():
    embeddings = np.array([[3e30, 4e30], [3e-30, 4e-30], [3.0, 4.0]], dtype=np.float32)
    np.testing.assert_allclose(RECOMMENDERS.get("itemknn").item_vectors(embeddings), [[0.6, 0.8]] * 3, rtol=1e-6)
