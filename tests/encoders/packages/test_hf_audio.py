"""Audio models of the hub by name and layer: what transformers computes, never with a random weight."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.weights_server import serving

from larpbench.encoders.adapters.hf_audio import split_argument
from larpbench.encoders.adapters.hf_audio.reference import ENCODEC, HUBERT, WAV2VEC2, run_layer
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.layers import LayerName
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError, MissingPartError, UsageError
from larpbench.testing import check_encoder, check_reference

KINDS = {"hubert": HUBERT, "wav2vec2": WAV2VEC2, "encodec": ENCODEC}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    made = {}
    for name, reference in KINDS.items():
        made[name] = tmp_path_factory.mktemp(name)
        reference.write(made[name])
    return made


@pytest.fixture
def hubert(checkpoints, tmp_path):
    """A copy that may be spoilt."""
    for path in checkpoints["hubert"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_as_the_original_code(checkpoints, kind):
    """Stored references, and transformers itself on the same folder; what is allowed is 1e-4 of a vector's length."""
    checks = check_reference(get_encoder(f"hf-audio:{checkpoints[kind]}"))
    assert [each.outcome for each in checks] == ["pass", "pass"], checks
    assert all(float(each.detail.split()[2]) < 1e-5 for each in checks), checks


@pytest.mark.parametrize(
    ("kind", "layers"), [("hubert", (0, 1, 3)), ("wav2vec2", (0, 2, 3)), ("encodec", ("encoder",))]
)
def test_every_layer(checkpoints, kind, layers):
    reference = KINDS[kind]
    for layer in layers:
        spec = get_encoder(f"hf-audio:{checkpoints[kind]}@{layer}")
        batch = reference.batch(spec.card.sample_rate)
        found = spec.build(EncodeContext(0, checkpoints[kind])).encode(batch)
        np.testing.assert_allclose(found, run_layer(checkpoints[kind], batch, spec.argument), rtol=1e-4, atol=1e-5)
        assert found.shape == (4, spec.card.dim)
        assert str(layer).removesuffix("@") in spec.card.pooling


@pytest.mark.parametrize("kind", ["hubert", "encodec"])
def test_as_every_encoder(checkpoints, kind):
    checks = check_encoder(get_encoder(f"hf-audio:{checkpoints[kind]}"))
    assert [each for each in checks if each.outcome == "fail"] == []


def test_layers_are_different_encoders(checkpoints):
    """Their vectors are kept apart: the card is part of the key."""
    cards = [get_encoder(f"hf-audio:{checkpoints['hubert']}{layer}").card for layer in ("", "@0", "@1", "@2")]
    assert len({(card.name, card.weights, card.pooling) for card in cards}) == 4


def test_a_checkpoint_that_is_not_here():
    spec = get_encoder("hf-audio:facebook/hubert-base-ls960@9")
    assert spec.identity == "hf-audio:facebook/hubert-base-ls960@9"
    status = spec.status()
    assert status.state == "missing-weights"
    assert status.next_step == "larpbench fetch hf-audio:facebook/hubert-base-ls960@9"
    assert spec.weights.repo == "facebook/hubert-base-ls960"
    with pytest.raises(MissingPartError, match="missing-weights"):
        spec.build(EncodeContext(0, None))


def test_fetched_by_name_and_layer(cli, checkpoints, monkeypatch):
    with serving() as hub:
        hub.models["maker/hubert"] = {path.name: path.read_bytes() for path in checkpoints["hubert"].iterdir()}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        outcome = cli("fetch", "hf-audio:maker/hubert@2")
    assert outcome.code == 0, outcome.err
    spec = get_encoder("hf-audio:maker/hubert@2")
    assert (spec.status().state, spec.card.dim, spec.card.sample_rate) == ("ready", 16, 16_000)
    batch = HUBERT.batch(16_000)
    local = get_encoder(f"hf-audio:{checkpoints['hubert']}@2").build(EncodeContext(0, None))
    np.testing.assert_allclose(spec.build(EncodeContext(0, None)).encode(batch), local.encode(batch), atol=1e-6)


@pytest.mark.parametrize("argument", ["a/b@", "@3", "a/b@last", "a/b@-1", "a/b@1.5"])
def test_names_that_make_no_sense(argument):
    with pytest.raises(UsageError):
        get_encoder(f"hf-audio:{argument}")


def test_at_signs_in_a_folder(tmp_path):
    assert split_argument("in@odd/place@3") == LayerName("in@odd/place", "3", None)
    assert split_argument("plain/name") == LayerName("plain/name", None, None)


@pytest.mark.parametrize(("layer", "message"), [("4", "no layer '4'"), ("encoder", "no layer 'encoder'")])
def test_layers_that_a_model_has_not(checkpoints, layer, message):
    with pytest.raises(UsageError, match=message) as caught:
        get_encoder(f"hf-audio:{checkpoints['hubert']}@{layer}")
    assert caught.value.allowed
    with pytest.raises(UsageError, match="no numbered layers"):
        get_encoder(f"hf-audio:{checkpoints['encodec']}@1")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_models_that_bring_their_own_code_are_refused(hubert):
    edit(hubert / "config.json", model_type="own_model", auto_map={"AutoModel": "modeling.Model"})
    (hubert / "modeling.py").write_text("raise SystemExit('executed')")
    with pytest.raises(UsageError, match="a model of type 'own_model' cannot be run") as caught:
        get_encoder(f"hf-audio:{hubert}@3")
    assert "hubert" in caught.value.allowed


def test_stereo_codecs_are_refused(checkpoints, tmp_path):
    for path in checkpoints["encodec"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    edit(tmp_path / "config.json", audio_channels=2)
    with pytest.raises(UsageError, match="stereo"):
        get_encoder(f"hf-audio:{tmp_path}")


def test_broken_descriptions(hubert):
    (hubert / "preprocessor_config.json").write_text("[]")
    with pytest.raises(DataError, match="no JSON object"):
        get_encoder(f"hf-audio:{hubert}")
    for said in ({}, {"sampling_rate": 0}, {"sampling_rate": "fast"}, {"sampling_rate": [16_000]}):
        (hubert / "preprocessor_config.json").write_text(json.dumps(said))
        with pytest.raises(DataError, match="cannot be understood"):
            get_encoder(f"hf-audio:{hubert}")
    (hubert / "preprocessor_config.json").unlink()
    with pytest.raises(DataError, match=r"no preprocessor_config\.json"):
        get_encoder(f"hf-audio:{hubert}")
    (hubert / "model.safetensors").unlink()
    with pytest.raises(DataError, match="holds no model"):
        get_encoder(f"hf-audio:{hubert}")


def test_no_weight_is_ever_random(hubert):
    path = hubert / "model.safetensors"
    state = load_file(path)
    gone = "encoder.layers.1.attention.k_proj.weight"
    save_file({name: each for name, each in state.items() if name != gone}, path, {"format": "pt"})
    with pytest.raises(DataError, match=f"'{gone}'"):
        get_encoder(f"hf-audio:{hubert}").build(EncodeContext(0, hubert))


def test_checkpoints_of_older_libraries(hubert):
    """Such as MERT-v0: a pickle of tensors, and other names for normalised weights."""
    spec = get_encoder(f"hf-audio:{hubert}@2")
    batch = HUBERT.batch(16_000)
    expected = spec.build(EncodeContext(0, hubert)).encode(batch)
    path = hubert / "model.safetensors"
    old = {"original0": "weight_g", "original1": "weight_v"}
    state = {}
    for name, each in load_file(path).items():
        first, _, last = name.rpartition(".")
        state[f"{first.removesuffix('.parametrizations.weight')}.{old[last]}" if last in old else name] = each
    path.unlink()
    torch.save(state, hubert / "pytorch_model.bin")
    found = get_encoder(f"hf-audio:{hubert}@2").build(EncodeContext(0, hubert)).encode(batch)
    np.testing.assert_array_equal(found, expected)
