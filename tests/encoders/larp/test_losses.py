from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from larpbench.encoders.larp.losses import track_playlist
from larpbench.encoders.larp.memory import LookupTable, TrackQueue
from larpbench.encoders.larp.model import AttentionFusion, MeanFusion
from larpbench.encoders.towers.losses import Features, contrast, cross_modal

TAU = 0.07


def unit(n: int, dim: int = 6, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim))).float(), dim=1)


def by_hand(query, keys, positive, ignored, targets=None):
    """Cross entropy of one query, from the definition, in float64."""
    query, keys = query.double().numpy(), keys.double().numpy()
    compared = [j for j in range(len(keys)) if j == positive or not ignored[j]]
    logits = np.array([query @ keys[j] / TAU for j in compared])
    log_shares = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    wanted = targets if targets is not None else [float(j == positive) for j in compared]
    return -sum(w * s for w, s in zip(wanted, log_shares, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 8), st.integers(0, 10**6))
def test_contrast_is_the_cross_entropy_over_keys_that_are_not_ignored(n, more, seed):
    draw = np.random.default_rng(seed)
    queries, keys = unit(n, seed=seed), unit(n + more, seed=seed + 1)
    positive = draw.integers(0, n + more, n)
    ignored = draw.random((n, n + more)) < 0.4
    loss = contrast(queries, keys, torch.from_numpy(positive), TAU, torch.from_numpy(ignored))
    expected = np.mean([by_hand(queries[i], keys, positive[i], ignored[i]) for i in range(n)])
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_soft_targets_mix_the_positive_with_what_momentum_finds_similar():
    queries, momentum, keys = unit(1, seed=1), unit(1, seed=2), unit(5, seed=3)
    similar = (momentum @ keys.T / TAU).softmax(1)[0].double().numpy()
    targets = 0.4 * similar + 0.6 * np.eye(5)[2]
    loss = contrast(queries, keys, torch.tensor([2]), TAU, None, momentum, 0.4)
    assert loss.item() == pytest.approx(by_hand(queries[0], keys, 2, [False] * 5, targets), rel=1e-4)


def test_ignored_keys_get_no_gradient_and_do_not_matter():
    queries, keys = unit(3, seed=1), unit(5, seed=2).requires_grad_()
    ignored = torch.zeros(3, 5, dtype=torch.bool)
    ignored[:, 4] = True
    loss = cross_modal(Features(queries, queries), Features(keys, keys), torch.arange(3), TAU, ignored)
    loss.backward()
    assert keys.grad[4].abs().max() == 0
    assert keys.grad[3].abs().max() > 0
    fewer = cross_modal(Features(queries, queries), Features(keys[:4], keys[:4]), torch.arange(3), TAU)
    assert loss.item() == pytest.approx(fewer.item(), rel=1e-6)


def test_both_directions_count_the_same():
    audio, text, a_keys, t_keys = (unit(4, seed=seed) for seed in range(4))
    index = torch.arange(4)
    one = cross_modal(Features(audio, text), Features(a_keys, t_keys), index, TAU)
    other = cross_modal(Features(text, audio), Features(t_keys, a_keys), index, TAU)
    assert one.item() == pytest.approx(other.item(), rel=1e-6)
    halves = contrast(audio, t_keys, index, TAU), contrast(text, a_keys, index, TAU)
    assert one.item() == pytest.approx((halves[0] + halves[1]).item() / 2, rel=1e-6)


def test_a_perfect_match_loses_nothing_and_equal_features_lose_ln_of_the_keys():
    eye = torch.eye(4, 6)
    features = Features(eye, eye)
    assert cross_modal(features, features, torch.arange(4), 0.01).item() == pytest.approx(0, abs=1e-6)
    point = torch.ones(4, 6) / math.sqrt(6)
    collapsed = Features(point, point)
    assert cross_modal(collapsed, collapsed, torch.arange(4), TAU).item() == pytest.approx(math.log(4), rel=1e-5)


def test_track_playlist_is_the_mean_of_its_four_terms():
    tracks, lists, queue = (Features(unit(n, seed=s), unit(n, seed=s + 9)) for n, s in ((3, 1), (3, 2), (4, 3)))
    holds = torch.eye(3, dtype=torch.bool)
    holds[0, 2] = True  # playlist 0 holds track 2 as well
    in_queue = torch.zeros(3, 4, dtype=torch.bool)
    in_queue[1, 0] = True
    loss = track_playlist(tracks, lists, queue, TAU, holds, in_queue)
    terms = []
    for fused, other, own, opposite in (
        (lists.audio, tracks.text, queue.audio, queue.text),
        (lists.text, tracks.audio, queue.text, queue.audio),
    ):
        to_track = [by_hand(fused[i], torch.cat([other, opposite]), i, [*holds[i], *in_queue[i]]) for i in range(3)]
        to_list = [by_hand(other[i], torch.cat([fused, own]), i, [*holds[:, i], *in_queue[i]]) for i in range(3)]
        terms += [np.mean(to_track), np.mean(to_list)]
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("fusion", [MeanFusion(), AttentionFusion(6)])
def test_padding_and_order_do_not_change_a_playlist(fusion):
    tracks = unit(4, seed=4)[None]
    alone = fusion(tracks[:, :3], torch.ones(1, 3, dtype=torch.bool))
    present = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(fusion(tracks, present), alone)
    torch.testing.assert_close(fusion(tracks[:, [2, 0, 1, 3]], present), alone)


def test_attention_is_equation_24():
    torch.manual_seed(0)
    fusion, tracks = AttentionFusion(6), unit(3, seed=5)
    q, k, v = (tracks @ layer.weight.T for layer in (fusion.query, fusion.key, fusion.value))
    expected = ((q @ k.T / math.sqrt(6)).softmax(1) @ v).mean(0)
    torch.testing.assert_close(fusion(tracks[None], torch.ones(1, 3, dtype=torch.bool))[0], expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), st.lists(st.integers(1, 12), max_size=8))
def test_the_queue_holds_the_last_tracks_with_their_features(length, sizes):
    queue, pushed = TrackQueue(length, 2), []
    for size in sizes:
        tracks = torch.arange(len(pushed), len(pushed) + size)
        queue.push(Features(*(torch.stack([tracks * sign, tracks], 1).float() for sign in (1, -1))), tracks)
        pushed += tracks.tolist()
    features, tracks = queue.held()
    assert sorted(tracks.tolist()) == pushed[len(pushed) - min(len(pushed), length) :]
    torch.testing.assert_close(features.audio[:, 0], tracks.float())
    torch.testing.assert_close(features.text[:, 0], -tracks.float())


def test_the_lookup_table_keeps_no_graph():
    table, features = LookupTable(5, 3), unit(2, 3).requires_grad_()
    table.update(Features(features * 2, features), torch.tensor([4, 1]))
    assert not table.audio.requires_grad
    torch.testing.assert_close(table.audio[4], features[0].detach() * 2)
    assert table.text[0].abs().max() == 0
