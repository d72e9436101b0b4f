from __future__ import annotations

import numpy as np
import pytest
import torch
from support.planted_world import planted

from larpbench.recommenders import clcrec as module
from larpbench.recommenders.clcrec import Batch, CLCRec, ContentNet, contrast
from larpbench.recommenders.training import Entries


def naive(anchors, candidates, temperature, masked):
    """The definition, one anchor at a time."""
    losses = []
    for i in range(len(anchors)):
        logits = [float(anchors[i] @ candidates[j]) / temperature for j in range(len(candidates))]
        kept = [value for j, value in enumerate(logits) if j == i or not masked[i][j]]
        losses.append(np.log(np.exp(kept).sum()) - logits[i])
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [2.0, 0.2])
def test_contrast_is_its_definition(temperature):
    generator = np.random.default_rng(0)
    anchors, candidates = (torch.from_numpy(generator.normal(size=(9, 4))) for _ in range(2))
    masked = torch.from_numpy(generator.random((9, 9)) < 0.3)  # also on the diagonal, where it must not count
    found = contrast(anchors, candidates, temperature, masked).item()
    assert found == pytest.approx(naive(anchors, candidates, temperature, masked), rel=1e-9)
    plain = contrast(anchors, candidates, temperature).item()
    assert plain == pytest.approx(naive(anchors, candidates, temperature, torch.zeros(9, 9)), rel=1e-9)
    assert masked.diagonal().any()


def test_false_negatives_do_not_push():
    generator = np.random.default_rng(1)
    z_p = torch.from_numpy(generator.normal(size=(4, 64)).astype(np.float32))
    z_s = torch.from_numpy(generator.normal(size=(4, 64)).astype(np.float32)).requires_grad_()
    held = torch.eye(4, dtype=torch.bool)
    held[0, 2] = True  # the first playlist holds the third track too
    batch = Batch(z_p, z_s, z_s.detach(), torch.zeros(4, dtype=torch.bool), held)
    logits = z_p @ z_s.T / 2
    first = -torch.log_softmax(logits[0].masked_fill(torch.tensor([False, False, True, False]), -torch.inf), dim=0)[0]
    others = -torch.log_softmax(logits, dim=1).diagonal()[1:]
    assert batch.playlist_term(2.0).item() == pytest.approx(((first + others.sum()) / 4).item(), rel=1e-5)


def test_the_same_track_twice_is_no_negative_of_itself():
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    batch = Batch(vectors, vectors, vectors, torch.zeros(3, dtype=torch.bool), same, same)
    expected = np.log(1 + np.exp(-1 / 2))  # the one true negative, at cosine 0
    two = np.log(1 + 2 * np.exp(-1 / 2))
    assert batch.content_term(2.0).item() == pytest.approx((2 * expected + two) / 3, rel=1e-5)


def test_half_of_the_rows_are_replaced(monkeypatch):
    shares, held = [], []

    class Watched(Batch):
        def loss(self, temperature, l2):
            shares.append(self.replaced.float().mean().item())
            held.append(bool(self.held.diagonal().all() and self.same.diagonal().all()))
            return super().loss(temperature, l2)

    monkeypatch.setattr(module, "Batch", Watched)
    world = planted()
    CLCRec().fit(world.train, world.valid)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert all(held)


def rows_encoded(tracks, monkeypatch):
    """How many rows each training step encodes, in a world with so many train tracks."""
    counted = []

    class Counting(ContentNet):
        def forward(self, content):
            if torch.is_grad_enabled():
                counted.append(len(content))
            return super().forward(content)

    monkeypatch.setattr(module, "ContentNet", Counting)
    world = planted(tracks=tracks, playlists=100)
    CLCRec().fit(world.train, world.valid)
    return world, counted


def test_a_step_encodes_its_batch_however_many_tracks_there_are(monkeypatch):
    for tracks in (240, 4_000):
        world, counted = rows_encoded(tracks, monkeypatch)
        entries = Entries(world.train.interactions, tracks)
        assert set(counted) == {entries.batch_size} == {64}


def test_a_step_moves_the_vectors_of_its_batch_alone():
    table = module._identities(500)
    optimiser = torch.optim.SparseAdam([table.weight], lr=0.01)
    before = table.weight.detach().clone()
    table(torch.tensor([3, 7, 7])).norm(dim=1).mean().backward()
    optimiser.step()
    moved = (table.weight.detach() != before).any(dim=1).nonzero().ravel().tolist()
    assert moved == [3, 7]


def test_the_length_of_content_does_not_matter():
    net = ContentNet(12)
    content = torch.rand(5, 12)
    torch.testing.assert_close(net(content), net(content * 100), atol=1e-5, rtol=1e-4)
