"""The baselines' losses against sums written out, and what they ignore."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from larpbench.encoders.baselines.trainers import info_nce, nt_xent


def rows(n: int, dim: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(n, dim, generator=generator), dim=1)


def surprise(query, keys, positive, temperature):
    """-log of the positive's share, as a plain sum over lists of floats."""
    weights = [math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / temperature) for key in keys]
    return -math.log(weights[positive] / sum(weights))


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_nt_xent_is_the_mean_surprise_over_all_other_rows(temperature):
    vectors = rows(6)
    positive = torch.tensor([3, 4, 5, 0, 1, 2])
    listed = vectors.tolist()
    expected = 0.0
    for row, partner in enumerate(positive.tolist()):
        others = [number for number in range(6) if number != row]
        expected += surprise(listed[row], [listed[n] for n in others], others.index(partner), temperature) / 6
    assert nt_xent(vectors, positive, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_nt_xent_leaves_out_ignored_rows_but_never_the_positive():
    vectors = rows(6)
    positive = torch.tensor([3, 4, 5, 0, 1, 2])
    ignored = torch.zeros(6, 6, dtype=torch.bool)
    ignored[0, [1, 3]] = True  # 3 is its positive
    listed = vectors.tolist()
    plain, masked = (nt_xent(vectors, positive, 0.5, each).item() for each in (None, ignored))
    all_others = surprise(listed[0], [listed[n] for n in (1, 2, 3, 4, 5)], 2, 0.5)
    without = surprise(listed[0], [listed[n] for n in (2, 3, 4, 5)], 1, 0.5)
    assert plain - masked == pytest.approx((all_others - without) / 6, rel=1e-4)


def test_info_nce_is_the_mean_of_both_directions():
    audio, text = rows(4, seed=1), rows(4, seed=2)
    a, t = audio.tolist(), text.tolist()
    both = [surprise(a[n], t, n, 0.2) + surprise(t[n], a, n, 0.2) for n in range(4)]
    assert info_nce(audio, text, 0.2).item() == pytest.approx(sum(both) / 8, rel=1e-5)
    assert info_nce(text, audio, 0.2).item() == pytest.approx(sum(both) / 8, rel=1e-5)


def test_random_rows_cost_the_logarithm_of_their_number():
    many = rows(400, dim=300)
    assert nt_xent(many, torch.arange(400).roll(200), 1.0).item() == pytest.approx(math.log(399), abs=0.01)
