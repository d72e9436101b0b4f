"""What is hidden stays hidden, and what is measured is measured right."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from support.small_graphs import graph_of, random_graph

from larpbench.errors import ProtocolError
from larpbench.evaluation.metrics import ideal_gain
from larpbench.tasks.artist_similarity.queries import artist_queries, directed, hidden_pairs, visible_pairs
from larpbench.tasks.artist_similarity.scorers import (
    AdamicAdar,
    CommonNeighbours,
    FeatureCosine,
    ScoringInputs,
    WalkCosine,
)
from larpbench.tasks.artist_similarity.scores import LIST_LENGTH, METRICS, score

SEEDS = st.integers(0, 2**16)


@given(seed=SEEDS, visible=st.sampled_from(["all", "none"]), symmetric=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_hidden_edge_is_in_any_adjacency(seed, visible, symmetric):
    graph = random_graph(seed)
    hidden = {tuple(pair) for pair in hidden_pairs(graph, "test").tolist()}
    for split, may_see in (("train", {0}), ("valid", {0, 1}), ("test", {0, 1, 2})):
        messages = directed(visible_pairs(graph, split, visible), symmetric)
        ends = {tuple(sorted(pair)) for pair in messages.T.tolist()}
        assert not ends & hidden
        assert set(graph.split_numbers[messages].ravel().tolist()) <= may_see
        if split != "train":
            assert not ends & {tuple(pair) for pair in hidden_pairs(graph, split).tolist()}
        if visible == "none" and split != "train":
            assert not np.isin(messages, graph.rows(split)).any()


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_edge_is_hidden_or_visible_and_none_is_both(seed):
    graph = random_graph(seed)
    visible, hidden = visible_pairs(graph, "test"), hidden_pairs(graph, "test")
    assert len(visible) + len(hidden) == len(graph.pairs)
    assert len(np.unique(np.concatenate([visible, hidden]), axis=0)) == len(graph.pairs)


def test_messages_go_one_way_or_both():
    graph = graph_of(["train", "train", "train", "valid", "test"], [(0, 1), (2, 0), (1, 3), (4, 0)])
    assert directed(visible_pairs(graph, "train"), symmetric=False).T.tolist() == [[0, 1], [0, 2]]
    both = directed(visible_pairs(graph, "test"), symmetric=True).T.tolist()
    assert sorted(both) == [[0, 1], [0, 2], [0, 4], [1, 0], [1, 3], [2, 0], [3, 1], [4, 0]]


def test_the_asked_are_those_with_a_hidden_edge():
    graph = graph_of(["train", "valid", "test", "test", "test", "test"], [(0, 2), (2, 3), (3, 4), (1, 3), (0, 1)])
    queries = artist_queries(graph, "test")
    assert queries.hidden.playlist_ids.tolist() == ["a002", "a003", "a004"]
    assert [queries.ids[part].tolist() for part in np.split(queries.hidden.tracks, queries.hidden.offsets[1:-1])] == [
        ["a003"],
        ["a002", "a004"],
        ["a003"],
    ]
    assert queries.visible.tolist() == [1, 1, 0]
    assert artist_queries(graph, "test", "none").visible.tolist() == [0, 0, 0]
    assert queries.left_out == {"without a hidden edge": 1}
    with pytest.raises(ProtocolError, match="no two artists of the valid split"):
        artist_queries(graph, "valid")


def relevance(queries):
    table = np.zeros((len(queries.places), len(queries.rows)))
    table[np.repeat(np.arange(len(queries.places)), queries.hidden.lengths), queries.hidden.tracks] = 1
    return table


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_ndcg_is_that_of_scikit_learn(seed):
    graph = random_graph(seed, artists=60, edges=400)
    queries = artist_queries(graph, "test")
    vectors = np.random.default_rng(seed).normal(size=(len(queries.rows), 7)).astype(np.float32)
    found = score(queries, vectors)
    similar, wanted = (vectors[queries.places] @ vectors.T).astype(np.float64), relevance(queries)
    for row, place in enumerate(queries.places):
        others = np.arange(len(queries.rows)) != place
        for k in (10, 50, 200):
            theirs = ndcg_score(wanted[row : row + 1, others], similar[row : row + 1, others], k=k, ignore_ties=True)
            assert found.values[f"ndcg@{k}"][row] == pytest.approx(theirs, abs=1e-12)


def test_ndcg_is_that_of_trec_eval():
    graph = random_graph(5, artists=60, edges=400)
    queries = artist_queries(graph, "test")
    found = score(queries, np.random.default_rng(5).normal(size=(len(queries.rows), 7)).astype(np.float32))
    wanted = relevance(queries)
    judged = {
        name: {queries.ids[c]: 1 for c in np.flatnonzero(wanted[row])} for row, name in enumerate(found.query_ids)
    }
    runs = {}
    for row, name in enumerate(found.query_ids):
        listed = found.lists[row][found.lists[row] >= 0]
        runs[name] = {queries.ids[c]: float(len(listed) - rank) for rank, c in enumerate(listed)}
    theirs = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.200"}).evaluate(runs)
    expected = [theirs[name]["ndcg_cut_200"] for name in found.query_ids]
    np.testing.assert_allclose(found.values["ndcg@200"], expected, atol=1e-12)


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_a_perfect_ranking_scores_1_and_less_by_the_published_formula(seed):
    graph = random_graph(seed, artists=60, edges=100)
    queries = artist_queries(graph, "test")
    wanted = np.zeros((len(queries.rows), len(queries.rows)))
    wanted[queries.places] = relevance(queries)
    low = np.linalg.eigvalsh(wanted)[0]  # vectors whose inner products are these relevances, but on the diagonal
    values, axes = np.linalg.eigh(wanted - low * np.eye(len(wanted)))
    found = score(queries, (axes * np.sqrt(values.clip(0))).astype(np.float32))
    n = queries.hidden.lengths
    np.testing.assert_allclose(found.values["ndcg@200"], 1.0, atol=1e-12)
    ideal = ideal_gain(LIST_LENGTH)
    np.testing.assert_allclose(found.values["ndcg_paper@200"], ideal[n] / ideal[n + 1], atol=1e-12)
    np.testing.assert_allclose(found.values["ndcg_paper@200"], found.ceiling["ndcg_paper@200"], atol=1e-12)
    assert found.values["ndcg_paper@200"][n == 1] == pytest.approx(0.6131, abs=1e-4)


def test_chance_is_what_random_vectors_score():
    graph = random_graph(11, artists=120, edges=900)
    queries = artist_queries(graph, "test")
    generator = np.random.default_rng(0)
    # Independent scores for each pair, which no vectors have: many draws of vectors average them out.
    draws = [score(queries, generator.normal(size=(len(queries.rows), 64)).astype(np.float32)) for _ in range(120)]
    for spec in METRICS:
        mean = np.mean([each.values[spec.column].mean() for each in draws])
        assert mean == pytest.approx(draws[0].chance[spec.column].mean(), abs=0.012), spec.column


def scores_of(method, graph, features=None):
    queries = artist_queries(graph, "test")
    vectors, _ = method.test_vectors(ScoringInputs(graph, "all", features))
    return queries, vectors @ vectors.T


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_baselines_are_what_their_names_say(seed):
    graph = random_graph(seed)
    rows, n = graph.rows("test"), len(graph.ids)
    pairs = visible_pairs(graph, "test")
    neighbours = [set() for _ in range(n)]
    for a, b in pairs.tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)
    _, common = scores_of(CommonNeighbours(), graph)
    _, weighted = scores_of(AdamicAdar(), graph)
    _, walked = scores_of(WalkCosine(), graph)
    step = np.zeros((n, n))
    for a, found in enumerate(neighbours):
        for b in found:
            step[a, b] = 1 / len(found)
    total = (step + step @ step + step @ step @ step)[rows]
    length = np.linalg.norm(total, axis=1)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if i == j:
                continue
            shared = neighbours[a] & neighbours[b]
            assert common[i, j] == len(shared)
            wanted = sum(1 / np.log(len(neighbours[z])) for z in shared)
            assert weighted[i, j] == pytest.approx(wanted, abs=1e-5)
            cosine = total[i] @ total[j] / (length[i] * length[j]) if length[i] * length[j] else 0
            assert walked[i, j] == pytest.approx(cosine, abs=1e-5)
    features = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    _, alike = scores_of(FeatureCosine(), graph, features)
    unit = features[rows] / np.linalg.norm(features[rows], axis=1, keepdims=True)
    np.testing.assert_allclose(alike, unit @ unit.T, atol=1e-5)


def test_nothing_visible_leaves_the_graph_methods_at_chance():
    graph = random_graph(3, artists=120, edges=900)
    queries = artist_queries(graph, "test", "none")
    for method in (CommonNeighbours(), AdamicAdar(), WalkCosine()):
        vectors, _ = method.test_vectors(ScoringInputs(graph, "none"))
        assert not vectors.any()
        found = score(queries, vectors)
        assert found.tie_share[10] == 1.0
        assert found.values["ndcg@200"].mean() == pytest.approx(found.chance["ndcg@200"].mean(), abs=0.06)
