from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.planted_world import planted
from torch import nn

from larpbench.errors import TrainingError
from larpbench.recommenders import dropoutnet as module
from larpbench.recommenders.dropoutnet import DROPOUTNET_CONTENT, DropoutNet, Tower, balanced_loss, drop_rows
from larpbench.recommenders.training import seeded


def side(dropout, seed=0):
    """One side with the same tower and data for every dropout."""
    generator = np.random.default_rng(seed)
    factors = generator.normal(1, 2, size=(90, 64)).astype(np.float32)
    with seeded(0):
        return module.Side(factors, content_of(generator), dropout)


def content_of(generator):
    return module.Content.of(generator.normal(size=(90, 12)).astype(np.float32))


CONTENT = [content_of(np.random.default_rng(100 + seed)) for seed in (0, 1)]


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 300), share=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_exactly_so_many_rows_are_dropped(rows, share, seed):
    before = torch.rand(rows, 5) + 1
    after = drop_rows(before, share, np.random.default_rng(seed))
    dropped = (after == 0).all(dim=1)
    assert int(dropped.sum()) == int(share * rows)
    assert torch.equal(after[~dropped], before[~dropped])
    assert (before >= 1).all()


def test_playlist_rows_and_track_rows_are_drawn_apart():
    generator = np.random.default_rng(0)
    drawn = [(drop_rows(torch.ones(1_000, 1), 0.5, generator) == 0).numpy() for _ in range(2)]
    assert 0.2 < (drawn[0] & drawn[1]).mean() < 0.3


def test_the_loss_changes_with_dropout():
    numbers = np.arange(64)
    losses = {}
    for dropout in (0.0, 0.2, 0.5, 0.8, 1.0):
        scores = [side(dropout, seed).warm(CONTENT[seed], numbers, np.random.default_rng(1)) for seed in (0, 1)]
        observed = torch.eye(64, dtype=torch.bool)
        losses[dropout] = balanced_loss(scores[0] @ scores[1].T, observed.float(), observed).item()
    assert len(set(losses.values())) == len(losses)


def test_with_dropout_1_preferences_do_not_matter_and_otherwise_they_do():
    numbers = np.arange(64)
    for dropout, equal in ((1.0, True), (0.2, False)):
        one, other = side(dropout), side(dropout)
        other._preferences = other._preferences[torch.randperm(90)]
        outputs = [each.warm(CONTENT[0], numbers, np.random.default_rng(1)) for each in (one, other)]
        assert torch.equal(*outputs) is equal


def test_the_content_towers_drop_every_row():
    assert DROPOUTNET_CONTENT.dropout == 1
    assert "dropout" not in DROPOUTNET_CONTENT.search_space
    assert DROPOUTNET_CONTENT.built({"l2": 0.03}, 4).dropout == 1
    assert DropoutNet({"dropout": 0.8}).dropout == 0.8


def test_a_cold_row_is_a_dropped_row():
    """The mean of standardised preferences is the zero row, so that test looks like what training dropped."""
    each = side(0.2)
    assert each._cold.abs().max() < 0.05
    assert abs(np.median(each._preferences.numpy())) < 0.5


def test_sizes_are_those_of_the_papers():
    tower = Tower(256)
    linear = [layer for layer in tower.modules() if isinstance(layer, nn.Linear)]
    norms = [layer for layer in tower.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert [layer.in_features for layer in linear] == [64 + 256, 512, 256, 256]
    assert [layer.out_features for layer in linear] == [512, 256, 256, 256]
    assert {(layer.momentum, layer.eps) for layer in norms} == {(0.01, 0.001)}
    assert all(0.008 < layer.weight.std() < 0.012 and not layer.bias.any() for layer in linear)
    assert len(norms) == 3


def test_observed_pairs_weigh_as_much_as_all_others():
    scores, targets = torch.zeros(50, 50), torch.zeros(50, 50)
    observed = torch.eye(50, dtype=torch.bool)
    targets[observed] = 2.0
    assert balanced_loss(scores, targets, observed).item() == pytest.approx(4 / 2)
    targets[~observed] = 1.0
    assert balanced_loss(scores, targets, observed).item() == pytest.approx((4 + 1) / 2)
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert balanced_loss(torch.ones(3, 3), torch.zeros(3, 3), everything).item() == pytest.approx(0.5)


def test_statistics_are_those_of_the_sample_and_training_keeps_its_momentum():
    each = side(0.2)
    for _ in range(3):
        each.warm(CONTENT[0], np.arange(30), np.random.default_rng(0))
    each.renew_statistics(CONTENT[0], np.arange(90), seed=1)
    first, norm = each.tower.layers[0].linear, each.tower.layers[0].norm
    rows = torch.cat([drop_rows(each._preferences, 0.2, np.random.default_rng(1)), CONTENT[0].rows], dim=1)
    torch.testing.assert_close(norm.running_mean, first(rows).mean(dim=0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, first(rows).var(dim=0), atol=1e-6, rtol=1e-4)
    assert norm.momentum == 0.01
    assert not each.tower.training


def test_training_that_diverges_says_so():
    world = planted(tracks=60, playlists=40)
    with pytest.raises(TrainingError, match="not finite"):
        DropoutNet({"learning_rate": 1e4}).fit(world.train, world.valid)


def test_after_the_fit_nothing_of_train_is_kept():
    world = planted(tracks=60, playlists=40)
    recommender = DropoutNet()
    recommender.fit(world.train, world.valid)
    for each in recommender._sides:
        assert not hasattr(each, "_preferences")
        assert not hasattr(each, "_factors")
