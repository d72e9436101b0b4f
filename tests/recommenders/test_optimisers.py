"""The optimisers of recommenders update as torch's own do, to the bit."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from larpbench.recommenders import optimisers
from larpbench.recommenders.training import seeded

KINDS = {
    "sgd": (
        lambda parameters: optimisers.SGD(parameters, 0.05, 0.9, 0.1),
        lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.1, fused=True),
    ),
    "adam": (
        lambda parameters: optimisers.Adam(parameters, 0.01),
        lambda parameters: torch.optim.Adam(parameters, lr=0.01, foreach=True),
    ),
    "sparse": (
        lambda parameters: optimisers.SparseAdam(parameters, 0.01),
        lambda parameters: torch.optim.SparseAdam(parameters, lr=0.01),
    ),
}


def model(seed, width):
    generator = torch.Generator().manual_seed(seed)
    layers = nn.ModuleList([nn.Linear(width, 5), nn.Linear(5, 3)])
    for each in layers.parameters():
        each.data = torch.randn(each.shape, generator=generator)
    return layers


def tables(seed, width):
    generator = torch.Generator().manual_seed(seed)
    return nn.ModuleList(
        nn.Embedding(rows, width, sparse=True, _weight=torch.randn(rows, width, generator=generator))
        for rows in (9, 40)
    )


def step(layers, optimiser, seed):
    generator = torch.Generator().manual_seed(seed)
    if isinstance(layers[0], nn.Embedding):  # rows are asked for several times, and some of them never
        numbers = [torch.randint(each.num_embeddings, (7,), generator=generator) for each in layers]
        loss = sum((each(rows) ** 3).sum() for each, rows in zip(layers, numbers, strict=True))
    else:
        rows = torch.randn(6, layers[0].in_features, generator=generator)
        loss = (layers[1](torch.tanh(layers[0](rows))) ** 2).mean()
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    assert all(each.grad is None for each in layers.parameters())


def same(first, second):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a.nan_to_num(7e7), b.nan_to_num(7e7)) for a, b in pairs)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 70), st.integers(1, 12))
def test_the_same_bits_as_those_of_torch(kind, seed, width, steps):
    ours, theirs = [(tables if kind == "sparse" else model)(seed, width) for _ in range(2)]
    optimiser, reference = KINDS[kind][0](ours.parameters()), KINDS[kind][1](theirs.parameters())
    start = copy.deepcopy(ours)
    for number in range(steps):
        step(ours, optimiser, number)
        step(theirs, reference, number)
        assert same(ours, theirs)
    assert not same(ours, start)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_stays_so(kind):
    ours, theirs = [(tables if kind == "sparse" else model)(0, 4) for _ in range(2)]
    for each in (ours, theirs):
        next(each.parameters()).data[0, 0] = torch.inf
    optimiser, reference = KINDS[kind][0](ours.parameters()), KINDS[kind][1](theirs.parameters())
    for number in range(6):
        step(ours, optimiser, number)
        step(theirs, reference, number)
    assert same(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_after_a_copy_to_another_process(kind):
    ours = (tables if kind == "sparse" else model)(0, 4)
    optimiser = KINDS[kind][0](ours.parameters())
    step(ours, optimiser, 0)
    copied, copied_optimiser = pickle.loads(pickle.dumps((ours, optimiser)))
    step(ours, optimiser, 1)
    assert not same(ours, copied)
    step(copied, copied_optimiser, 1)
    assert same(ours, copied)


def test_initial_weights_are_those_of_the_seed_and_the_generator_goes_on():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with seeded(5):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.get_rng_state(), before)
