"""The networks of the audio-only baselines, their crops, and how crops are mixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.small_baselines import NFNET, RESNET, small

from larpbench.encoders.baselines.cnn import AudioCnn, crop_starts, mixed, random_crops
from larpbench.encoders.baselines.nfnet import Nfnet, StandardisedConv, gelu
from larpbench.encoders.baselines.sizes import cnn, co_playlist
from larpbench.training.loop import count_parameters

RECIPES = {"cnn": cnn, "co-playlist": co_playlist}


def test_weights_are_standardised_in_each_filter():
    conv = StandardisedConv(6, 4, 3)
    with torch.no_grad():
        conv.weight.mul_(7).add_(3)
        conv.gain.copy_(torch.tensor([1.0, 2.0, 0.5, 0.0]))
    used = conv.standardised().detach()
    np.testing.assert_allclose(used.mean(dim=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(used.square().sum(dim=(1, 2, 3)), [1, 4, 0.25, 0], rtol=1e-4)


def test_scaled_gelu_keeps_the_variance_of_normal_values():
    x = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    mean = (gelu(x) * density).sum()
    assert ((gelu(x) - mean).square() * density).sum().item() == pytest.approx(1, abs=1e-3)


def test_signals_keep_their_scale_through_many_blocks_without_normalisation():
    torch.manual_seed(0)
    shape = NFNET.model_copy(update={"widths": (64, 128), "depths": (6, 6), "stem": (32, 64), "drop_path": 0.0})
    network = Nfnet(shape)
    with torch.no_grad():
        for block in network.blocks:
            block.gain.fill_(1.0)  # as if trained: the branches take part
        x = torch.randn(8, 1, 64, 64)
        seen = []
        for block in network.blocks:
            block.register_forward_hook(lambda module, given, out: seen.append(out.var().item()))
        network(x)
    assert len(seen) == 12
    assert all(0.1 < variance < 3 for variance in seen), seen  # pooling a random image takes some


@pytest.mark.parametrize("name", RECIPES)
def test_shapes_modes_and_unit_length(name):
    torch.manual_seed(0)
    recipe = small(RECIPES[name]("tiny"))
    model = AudioCnn(recipe)
    bands = recipe.mel.n_mels
    model.set_statistics(torch.full((bands,), -40.0), torch.full((bands,), 100.0))
    mels = 10 * torch.randn(5, 2, 50, bands) - 40
    model.eval()
    with torch.inference_mode():
        assert model(mels[:, 0, :20]).shape == (5, model.width)
        assert model.projected(mels[:, 0, :20]).shape == (5, 8)
        vectors = model.encoded(mels)
        np.testing.assert_allclose(vectors.norm(dim=1), 1, atol=1e-5)
        alone = torch.cat([model.encoded(mels[row : row + 1]) for row in range(5)])
        torch.testing.assert_close(alone, vectors, rtol=1e-4, atol=1e-5)
        short = model.encoded(mels[:, :, :7])  # shorter than a crop
        assert torch.isfinite(short).all()
        assert (vectors - short).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "width", "millions"),
    [("cnn", 1_536, (55, 75)), ("co-playlist", 2_048, (23, 29))],  # NFNet-F0 has 71.5 M, ResNet-50 25.6 M
)
def test_the_papers_sizes(name, width, millions):
    recipe = RECIPES[name]("paper")
    with torch.device("meta"):
        model = AudioCnn(recipe)
        crops = torch.empty(2, model.frames(recipe.crop_s), recipe.mel.n_mels)
        assert crops.shape[1:] == ((300, 96) if name == "cnn" else (128, 96))
        assert model(crops).shape == (2, width)
        assert model.projected(crops).shape == (2, 128)
    assert millions[0] < count_parameters(model) / 1e6 < millions[1]


def test_crops_cover_a_track_to_its_end():
    assert crop_starts(501, 150, 100) == [0, 100, 200, 300, 351]
    assert crop_starts(350, 150, 100) == [0, 100, 200]
    assert crop_starts(150, 150, 100) == crop_starts(20, 150, 100) == [0]


def test_random_crops_are_stretches_of_their_track_and_follow_the_seed():
    place = torch.arange(40.0)[None, :, None] + 1_000 * torch.arange(30)[:, None, None]
    mels = place.expand(30, 40, 3)
    torch.manual_seed(1)
    one, two = random_crops(mels, 10), random_crops(mels, 10)
    assert one.shape == (30, 10, 3)
    starts = one[:, 0, 0] - 1_000 * torch.arange(30)
    torch.testing.assert_close(one[:, :, 0] - one[:, :1, 0], torch.arange(10.0).expand(30, 10))
    assert starts.min() >= 0
    assert starts.max() <= 30
    assert len(starts.unique()) > 10
    assert not torch.equal(one, two)
    torch.manual_seed(1)
    assert torch.equal(random_crops(mels, 10), one)
    assert torch.equal(random_crops(mels, 100), mels)


def test_mixing_adds_powers_of_another_crop_and_follows_the_seed():
    levels = torch.tensor([-60.0, -20.0, -20.0, -20.0])[:, None, None].expand(4, 6, 2)
    torch.manual_seed(3)
    out = mixed(levels, (5.0, 2.0))
    torch.manual_seed(3)
    assert torch.equal(mixed(levels, (5.0, 2.0)), out)
    assert (out <= -20 + 1e-4).all()  # shares add up to 1
    assert out[0].min() > -63  # its own share is mostly above a half
    same = mixed(torch.full((4, 6, 2), -30.0), (5.0, 2.0))
    torch.testing.assert_close(same, torch.full((4, 6, 2), -30.0), rtol=0, atol=1e-3)


def test_a_small_network_of_each_kind_learns_by_one_step():
    for backbone in (NFNET, RESNET):
        torch.manual_seed(0)
        recipe = small(cnn("tiny")).model_copy(update={"backbone": backbone})
        model = AudioCnn(recipe).train()
        model.projected(torch.randn(4, 20, recipe.mel.n_mels)).sum().backward()
        missing = {name for name, each in model.named_parameters() if each.grad is None}
        assert not missing
