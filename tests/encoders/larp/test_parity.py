"""The same numbers as the published implementation gives, in its own setting: two passes, nothing masked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from larpbench.encoders.larp.convert import convert
from larpbench.encoders.larp.memory import MomentumCopy, TrackQueue
from larpbench.encoders.larp.model import load_larp
from larpbench.encoders.towers.front_end import log_mel
from larpbench.encoders.towers.losses import Features, cross_modal
from larpbench.encoders.towers.settings import MelSettings

SHARED = Path(__file__).parents[3].parent / "shared" / "fixtures" / "larp_mini"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared fixtures")
PARITY = 2e-4


def close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    theirs = torch.from_numpy(np.asarray(theirs))
    assert ours.shape == theirs.shape
    assert ((ours.detach() - theirs).abs().max() / theirs.abs().max()).item() <= PARITY


@pytest.fixture(scope="module")
def expected():
    return np.load(SHARED / "larp_mini_expected.npz")


@pytest.fixture(scope="module")
def step(tmp_path_factory, expected):
    """Both passes of the authors' training step, by our functions."""
    folder = tmp_path_factory.mktemp("mini")
    state = load_file(SHARED / "larp_mini_state.safetensors")
    models = []
    for suffix in ("", "_m"):
        swapped = dict(state)
        for part in ("audio_encoder", "text_encoder", "audio_proj", "text_proj"):
            swapped |= {
                name.replace(f"{part}{suffix}.", f"{part}.", 1): tensor.clone()
                for name, tensor in state.items()
                if name.startswith(f"{part}{suffix}.")
            }
        save_file(swapped, folder / f"state{suffix}.safetensors")
        convert(folder / f"state{suffix}.safetensors", folder / f"model{suffix}")
        models.append(load_larp(folder / f"model{suffix}", with_text=False)[0])
    model, follower = models
    temperature = torch.tensor(json.loads((SHARED / "larp_mini_config.json").read_text())["temp"], requires_grad=True)
    momentum = MomentumCopy(model, 0.995)
    momentum.model.load_state_dict(follower.state_dict())
    queue = TrackQueue(40, 32)
    queue.audio.copy_(state["audio_queue"].T)
    queue.text.copy_(state["text_queue"].T)
    queue.tracks.fill_(0)
    queue.next.copy_(state["queue_ptr"][0])

    inputs = np.load(SHARED / "larp_mini_inputs.npz")
    alpha = float(inputs["alpha"])
    mels = log_mel(torch.from_numpy(inputs["waveforms"][:, 0]), MelSettings())
    ids, mask = (torch.from_numpy(expected[f"ego_{name}"]) for name in ("input_ids", "attention_mask"))
    partner = torch.arange(8).roll(4)

    def one_pass(rows):
        momentum.follow(model)
        online = Features(model.audio_features(mels), model.text_features(ids[rows], mask[rows]))
        with torch.no_grad():
            copy = momentum.model
            own = Features(copy.audio_features(mels), copy.text_features(ids[rows], mask[rows]))
        queued, _ = queue.held()
        keys = Features(*(torch.cat(sides) for sides in zip(own, queued, strict=True)))
        loss = cross_modal(online, keys, torch.arange(8), temperature, momentum=own, alpha=alpha)
        plain = cross_modal(online, keys, torch.arange(8), temperature)
        return online, own, loss, plain

    found = {}
    found["ego"], own, found["wtc"], found["wtc_plain"] = one_pass(torch.arange(8))
    found["momentum1"] = momentum.model.audio_projection.weight.clone()
    queue.push(own, torch.arange(8))
    found["wtc"].backward()
    found["grads"] = {
        "audio_proj.weight": model.audio_projection.weight.grad.clone(),
        "text_proj.weight": model.text_projection.weight.grad.clone(),
        "temp": temperature.grad.clone(),
    }
    found["cross"], _, found["ttc"], found["ttc_plain"] = one_pass(partner)
    found["momentum2"] = momentum.model.audio_projection.weight.clone()
    found["queue"] = queue
    return found


def test_features(step, expected):
    close(step["ego"].audio, expected["ego_audio_feat"])
    close(step["ego"].text, expected["ego_text_feat"])
    close(step["cross"].audio, expected["cross_audio_feat"])
    close(step["cross"].text, expected["cross_text_feat"])


def test_wtc_and_ttc_with_soft_targets(step, expected):
    assert step["wtc"].item() == pytest.approx(expected["self_attn/wtc_ego"].item(), rel=PARITY)
    assert step["ttc"].item() == pytest.approx(expected["self_attn/ttc"].item(), rel=PARITY)


def test_one_hot_wtc(step, expected):
    assert step["wtc_plain"].item() == pytest.approx(expected["wtc_alpha0.0"].item(), rel=PARITY)


def test_gradients_of_projections_and_temperature(step, expected):
    for name, gradient in step["grads"].items():
        close(gradient, expected[f"grad_wtc/{name}"])


def test_queue_after_it_has_wrapped_around(step, expected):
    close(step["queue"].audio.T, expected["queue_audio_after"])
    close(step["queue"].text.T, expected["queue_text_after"])
    assert step["queue"].next.item() == expected["queue_ptr_after"].item() == 4


def test_momentum_weights_after_one_and_two_updates(step, expected):
    close(step["momentum1"], expected["momentum_audio_proj_after1"])
    close(step["momentum2"], expected["momentum_audio_proj_after2"])
