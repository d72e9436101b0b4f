"""Learning: what it may see, what it computes, and that it finds what is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_graphs import graph_of, random_graph
from torch import nn

from larpbench.datasets.artists.toy import ToySpec, draw_toy
from larpbench.errors import MissingPartError, TrainingError, UsageError
from larpbench.tasks.artist_similarity import settings as settings_module
from larpbench.tasks.artist_similarity.gnn import GraphNetwork, graph_network
from larpbench.tasks.artist_similarity.models import ArtistNet
from larpbench.tasks.artist_similarity.queries import artist_queries, directed, visible_pairs
from larpbench.tasks.artist_similarity.scorers import ScoringInputs
from larpbench.tasks.artist_similarity.settings import CORRECTED, LAYER_KINDS, PAPER, TrainingSettings
from larpbench.tasks.artist_similarity.training import TrainGraph, ValidGraph, train
from larpbench.tasks.artist_similarity.triplets import Triplets, TripletSampler, triplet_loss

SMALL = replace(CORRECTED, epochs=2, steps_per_epoch=3, width=16, output=8)
needs_layers = pytest.mark.skipif(not settings_module.graph_layers_installed(), reason="needs torch_geometric")


def features_of(graph, seed=0, dim=6):
    return np.random.default_rng(seed).normal(size=(len(graph.ids), dim)).astype(np.float32)


def vectors_of(graph, features, layers, training=SMALL, kind="sage", seed=0, visible="all"):
    method = GraphNetwork(kind, layers, training).seeded(seed)
    return method.test_vectors(ScoringInputs(graph, visible, features))


def trained_on(graph, features, settings: TrainingSettings, layers=2):
    pairs = visible_pairs(graph, "train")
    n_train, n_valid = len(graph.rows("train")), len(graph.rows("valid"))
    seen = directed(visible_pairs(graph, "valid"), settings.symmetric)
    return train(
        TrainGraph(features[:n_train], pairs, directed(pairs, settings.symmetric)),
        ValidGraph(features[: n_train + n_valid], seen, artist_queries(graph, "valid")),
        "sage",
        layers,
        settings,
        0,
    )


@needs_layers
def test_weights_do_not_depend_on_test_edges_and_features():
    graph = random_graph(1)
    features = features_of(graph)
    last = replace(SMALL, patience=None)  # the weights of the last epoch, which something was learnt in
    before = trained_on(graph, features, last).model.state_dict()
    rows = graph.rows("test")
    generator = np.random.default_rng(2)
    other = features.copy()
    other[rows] = generator.permutation(features[rows])
    names = graph.ids.tolist()
    renamed = dict(zip(graph.ids[rows].tolist(), generator.permutation(graph.ids[rows]).tolist(), strict=True))
    pairs = [(names.index(renamed.get(a, a)), names.index(renamed.get(b, b))) for a, b in graph.edges.iter_rows()]
    permuted = replace(graph, edges=graph_of_rows(graph, pairs))
    assert sorted(map(tuple, permuted.pairs.tolist())) != sorted(map(tuple, graph.pairs.tolist()))
    after = trained_on(permuted, other, last).model.state_dict()
    for name, weights in before.items():
        torch.testing.assert_close(after[name], weights, rtol=0, atol=0)
    changed = features.copy()
    changed[graph.rows("train")[0]] += 1
    moved = trained_on(graph, changed, last).model.state_dict()
    assert any(not torch.equal(moved[name], weights) for name, weights in before.items())


def graph_of_rows(graph, pairs):
    import polars as pl

    return pl.DataFrame([(graph.ids[a], graph.ids[b]) for a, b in pairs], schema=["artist_a", "artist_b"], orient="row")


@needs_layers
def test_layers_see_edges_and_no_layers_see_none():
    graph = random_graph(4)
    features = features_of(graph)
    for layers, sees in ((0, False), (1, True)):
        shown, _ = vectors_of(graph, features, layers, replace(SMALL, patience=None))
        hidden, _ = vectors_of(graph, features, layers, replace(SMALL, patience=None), visible="none")
        assert np.array_equal(shown, hidden) != sees


@needs_layers
@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_every_kind_of_layer_learns_and_repeats_itself(kind):
    graph = random_graph(5)
    features = features_of(graph)
    first, fit = vectors_of(graph, features, 2, kind=kind)
    again, _ = vectors_of(graph, features, 2, kind=kind)
    other, _ = vectors_of(graph, features, 2, kind=kind, seed=1)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(again, first, atol=1e-6)
    assert not np.allclose(other, first, atol=1e-3)
    assert first.shape == (len(graph.rows("test")), SMALL.output)
    assert fit.facts["epochs"] == 2
    assert fit.facts["triplets_per_update"] == 2 * len(visible_pairs(graph, "train"))


@needs_layers
@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_a_sparse_matrix_gives_what_a_list_of_messages_gives(kind):
    graph = random_graph(6)
    net = ArtistNet(6, kind, 2, 16, 8).eval()
    messages = torch.from_numpy(directed(visible_pairs(graph, "test"), symmetric=False))
    features = torch.from_numpy(features_of(graph))
    prepared = net.prepared(messages, len(features))
    assert prepared.is_sparse_csr == (kind in ("sage", "gin"))
    torch.testing.assert_close(net(features, prepared), net(features, messages), rtol=1e-5, atol=1e-6)


@needs_layers
def test_one_way_messages_reach_only_artists_of_larger_numbers():
    graph = graph_of(["train"] * 4 + ["valid", "test"], [(0, 1), (1, 2), (3, 4), (2, 5)])
    net = ArtistNet(3, "sage", 1, 16, 8).eval()
    features = torch.from_numpy(features_of(graph, dim=3))
    changed = features.clone()
    changed[1] += 5
    for symmetric, touched in ((False, {1, 2}), (True, {0, 1, 2})):
        messages = torch.from_numpy(directed(visible_pairs(graph, "test"), symmetric))
        moved = (net(features, messages) - net(changed, messages)).abs().sum(dim=1) > 1e-6
        assert set(torch.nonzero(moved).ravel().tolist()) == touched


@needs_layers
def test_the_papers_network_has_its_number_of_parameters():
    net = ArtistNet(2_613, "sage", 3, PAPER.width, PAPER.output)
    # Their logs print one vector of 256 more: presumably the embedding of edges, which SAGE layers do not read.
    assert sum(each.numel() for each in net.parameters()) + 256 == 1_418_596


@given(seed=st.integers(0, 2**16), triplets=st.sampled_from([None, 1, 20]))
@settings(max_examples=30, deadline=None)
def test_negatives_are_neither_the_anchor_nor_its_neighbours(seed, triplets):
    generator = np.random.default_rng(seed)
    n = int(generator.integers(3, 12))
    pairs = np.array([(a, b) for a in range(n) for b in range(a + 1, n) if generator.random() < 0.6] or [(0, 1)])
    sampler = TripletSampler(pairs, n)
    drawn = sampler.draw(generator, triplets)
    edges = {tuple(pair) for pair in pairs.tolist()}
    neighbours = edges | {(b, a) for a, b in edges}
    assert drawn.ends.shape[1] == sampler.edges_drawn(triplets)
    for a, b in drawn.ends.T.tolist():
        assert (a, b) in edges
    for anchors, negatives in zip(drawn.ends.tolist(), drawn.negatives.tolist(), strict=True):
        for anchor, negative in zip(anchors, negatives, strict=True):
            assert anchor != negative
            assert (anchor, negative) not in neighbours
    full = [a for a in range(n) if sum(1 for x, _ in neighbours if x == a) == n - 1]
    if triplets is None:
        assert drawn.ends.shape[1] == sum(1 for a, b in edges if a not in full and b not in full)


def test_the_loss_is_torchs():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(30, 8, generator=generator, requires_grad=True)
    vectors = nn.functional.normalize(hidden)  # takes away the part of the gradient that would change lengths
    ends = torch.randint(30, (2, 40), generator=generator)
    ends[1] = torch.where(ends[0] == ends[1], (ends[1] + 1) % 30, ends[1])
    negatives = (ends + torch.randint(1, 30, (2, 40), generator=generator)) % 30
    ours = triplet_loss(vectors, Triplets(ends, negatives), 0.2)
    anchors, positives = torch.cat([ends[0], ends[1]]), torch.cat([ends[1], ends[0]])
    loss = nn.TripletMarginWithDistanceLoss(distance_function=nn.PairwiseDistance(2, eps=1e-6), margin=0.2)
    theirs = loss(vectors[anchors], vectors[positives], vectors[negatives.reshape(-1)])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    (mine,), (yours,) = (torch.autograd.grad(each, hidden, retain_graph=True) for each in (ours, theirs))
    torch.testing.assert_close(mine, yours, rtol=1e-3, atol=1e-5)


def test_the_best_epoch_counts_or_the_last():
    graph = random_graph(7, artists=90, edges=500)
    features = features_of(graph)
    selecting = replace(SMALL, epochs=12, patience=3)
    facts = trained_on(graph, features, selecting, layers=0).summary()
    ndcg = [epoch["valid_ndcg"] for epoch in facts["history"]]
    assert [epoch["epoch"] for epoch in facts["history"]] == list(range(facts["epochs"] + 1))
    assert facts["selected_epoch"] == int(np.argmax(ndcg))
    assert facts["epochs"] in (12, int(np.argmax(ndcg[1:])) + 1 + 3)
    assert facts["valid"] == {"start": ndcg[0], "best": max(ndcg)}
    last = trained_on(graph, features, replace(selecting, patience=None, plateau_patience=1), layers=0).facts
    assert (last["selected_epoch"], last["epochs"]) == (12, 12)


def test_what_cannot_be_learnt_is_said():
    graph = graph_of(["train", "train", "valid", "valid", "test", "test"], [(0, 2), (2, 3), (4, 5)])
    with pytest.raises(TrainingError, match="no two train artists"):
        vectors_of(graph, features_of(graph), 0)
    with pytest.raises(TrainingError, match="the vectors of gnn-sage-0 are not finite"):
        vectors_of(random_graph(0), features_of(random_graph(0)) * np.nan, 0)
    with pytest.raises(UsageError, match="has 9 layers"):
        graph_network("gnn-sage-9", CORRECTED)
    assert graph_network("gnn-transformer-2", CORRECTED) is None


def test_without_torch_geometric_the_extra_is_named(monkeypatch):
    from larpbench.tasks.artist_similarity import models

    monkeypatch.setattr(models, "graph_layers_installed", lambda: False)
    graph = random_graph(0)
    vectors_of(graph, features_of(graph), 0)
    with pytest.raises(MissingPartError, match="torch_geometric") as raised:
        vectors_of(graph, features_of(graph), 1)
    assert raised.value.next_step == "pip install 'larpbench[gnn]'"


@needs_layers
def test_what_is_planted_is_found():
    from larpbench.tasks.artist_similarity.scores import score
    from larpbench.vectors import Standardiser

    world = draw_toy(ToySpec())
    order = {name: row for row, name in enumerate(world.artists["artist_id"])}
    pairs = [(order[a], order[b]) for a, b in world.edges.iter_rows()]
    graph = graph_of(world.artists["split"].to_list(), pairs)
    place = np.array([int(name[1:]) for name in graph.ids])
    random = np.random.default_rng(0).normal(size=(len(graph.ids), 128)).astype(np.float32)
    known = {"informative": world.features["acousticbrainz"][place], "random": random}
    queries = artist_queries(graph, "test")
    means = {}
    for name, layers in (("random", 0), ("informative", 0), ("informative", 2)):
        features = Standardiser(known[name][graph.rows("train")]).apply(known[name])
        vectors, _ = vectors_of(graph, features, layers, replace(CORRECTED, epochs=10))
        found = score(queries, vectors)
        means[name, layers] = found.values["ndcg@200"].mean()
    chance = found.chance["ndcg@200"].mean()
    assert means["random", 0] == pytest.approx(chance, abs=0.06)
    assert means["informative", 0] > chance + 0.2
    assert means["informative", 2] > means["informative", 0] + 0.05
