"""Audio towers of Qwen2-Audio, Audio Flamingo 3 and Music Flamingo: every layer, without padding or language model."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from larpbench.encoders.adapters.hf_audio.tower_reference import TOWER_REFERENCES, all_states, run_tower
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError, UsageError
from larpbench.testing import check_encoder, check_reference

RATE, WINDOW = 16_000, 32_000


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    made = {}
    for kind, reference in TOWER_REFERENCES.items():
        made[kind] = tmp_path_factory.mktemp(kind)
        reference.write(made[kind])
    return made


@pytest.fixture
def copied(checkpoints, tmp_path):
    for path in checkpoints["qwen2_audio"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def encoded(name, *clips):
    spec = get_encoder(name)
    names = np.array([f"t{row}" for row in range(len(clips))])
    batch = TrackBatch(names, np.array(["x"] * len(clips), dtype=object), np.stack(clips))
    return spec.build(EncodeContext(0, None)).encode(batch)


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("kind", TOWER_REFERENCES)
def test_as_written_out_at_every_layer(checkpoints, kind):
    reference = TOWER_REFERENCES[kind]
    batch = reference.batch(RATE)
    for layer in ("", "@0", "@1", "@2", "@3"):
        spec = get_encoder(f"hf-audio:{checkpoints[kind]}{layer}")
        expected = run_tower(checkpoints[kind], batch, spec.argument)
        np.testing.assert_allclose(reference.expected(layer or "@3"), expected, atol=1e-6)
        found = spec.build(EncodeContext(0, None)).encode(batch)
        apart = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert apart.max() < 1e-5
        assert found.shape == (4, spec.card.dim)
    stored, _ = check_reference(get_encoder(f"hf-audio:{checkpoints[kind]}"))
    assert stored.outcome == "pass", stored.detail


@pytest.mark.parametrize("seconds", [1.0, 1.013, 1.5, 1.99, 2.0])
def test_frames_of_padding_are_left_out(checkpoints, seconds):
    folder = checkpoints["musicflamingo"]
    clip = noise(round(seconds * RATE))
    states = all_states(folder, clip)
    assert len(states[0]) == pytest.approx(25 * seconds, abs=1)
    expected = states[2].amax(dim=0).numpy()
    np.testing.assert_allclose(encoded(f"hf-audio:{folder}@2:pool=max", clip)[0], expected, rtol=1e-4, atol=1e-4)


def test_layers_of_one_pass(checkpoints):
    folder, clip = checkpoints["audioflamingo3"], noise(WINDOW)
    one, two, three = (encoded(f"hf-audio:{folder}@{layer}", clip) for layer in (1, 2, 3))
    np.testing.assert_allclose(encoded(f"hf-audio:{folder}@1-2", clip), (one + two) / 2, atol=1e-5)
    np.testing.assert_array_equal(encoded(f"hf-audio:{folder}", clip), three)
    assert get_encoder(f"hf-audio:{folder}@1:pool=mean+std").card.dim == 32
    assert len(get_encoder(f"hf-audio:{folder}@all").inputs) == 4
    with pytest.raises(UsageError, match="no layer '4'"):
        get_encoder(f"hf-audio:{folder}@4")


def test_windows(checkpoints):
    """A longer clip is cut into windows, the last of which ends with it."""
    name, clip = f"hf-audio:{checkpoints['qwen2_audio']}", noise(WINDOW + RATE)
    parts = encoded(name, clip[:WINDOW], clip[RATE:])
    np.testing.assert_allclose(encoded(name, clip)[0], parts.mean(axis=0), atol=1e-5)


def test_as_every_encoder(checkpoints):
    checks = check_encoder(get_encoder(f"hf-audio:{checkpoints['qwen2_audio']}"))
    assert [each for each in checks if each.outcome == "fail"] == []


def test_the_language_model_is_not_read(copied):
    """Its shard may end after the header."""
    clip = noise(WINDOW)
    expected = encoded(f"hf-audio:{copied}", clip)
    state = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    tower = {name: each for name, each in state.items() if name.startswith("audio_tower.")}
    save_file(tower, copied / "model-00001-of-00002.safetensors", {"format": "pt"})
    header = json.dumps(
        {"language_model.x": {"dtype": "F32", "shape": [9_000, 9_000], "data_offsets": [0, 324_000_000]}}
    )
    shard = struct.pack("<Q", len(header)) + header.encode()
    (copied / "model-00002-of-00002.safetensors").write_bytes(shard)
    np.testing.assert_array_equal(encoded(f"hf-audio:{copied}", clip), expected)


def test_newer_names_and_the_processors_settings(copied):
    clip = noise(WINDOW)
    expected = encoded(f"hf-audio:{copied}", clip)
    state = load_file(copied / "model.safetensors")
    save_file({f"model.{name}": each for name, each in state.items()}, copied / "model.safetensors", {"format": "pt"})
    settings = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").unlink()
    (copied / "processor_config.json").write_text(json.dumps({"feature_extractor": settings}))
    np.testing.assert_array_equal(encoded(f"hf-audio:{copied}", clip), expected)


def test_the_tower_alone(copied):
    clip = noise(WINDOW)
    expected = encoded(f"hf-audio:{copied}", clip)
    config = json.loads((copied / "config.json").read_text())["audio_config"]
    (copied / "config.json").write_text(json.dumps(config))
    state = load_file(copied / "model.safetensors")
    tower = {name.removeprefix("audio_tower."): each for name, each in state.items() if name.startswith("audio_tower.")}
    save_file(tower, copied / "model.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(encoded(f"hf-audio:{copied}", clip), expected)


def test_what_is_refused(copied):
    path = copied / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chunk_length": 1}))
    with pytest.raises(DataError, match="has 100 frames"):
        encoded(f"hf-audio:{copied}", noise(WINDOW))
    save_file({"language_model.x": torch.ones(2)}, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"missing: 'audio_tower\.conv1\.weight'"):
        encoded(f"hf-audio:{copied}", noise(WINDOW))


def test_the_card(cli, checkpoints):
    card = json.loads(cli("describe", "encoder", f"hf-audio:{checkpoints['qwen2_audio']}", "--json").out)
    assert (card["dim"], card["sample_rate"], card["window_s"]) == (16, RATE, 2.0)
    assert "without padding" in card["pooling"]
    assert "have not been run" in card["verification"]
