"""Checkpoints of the published sizes, by names and shapes alone, go through the code that reads the real ones.

The lists are in ``tests/fixtures``, with where each comes from. Nothing here needs memory: all tensors are on torch's
``meta`` device.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from larpbench.checkpoint_tensors import TensorFacts, facts_of, require_tensors
from larpbench.encoders.adapters.clamp3 import encoder as clamp3
from larpbench.encoders.adapters.clamp3.files import CHECKPOINT
from larpbench.encoders.adapters.hf_audio import tower
from larpbench.encoders.adapters.muq import checkpoint as muq
from larpbench.encoders.adapters.muq.mulan import encoder as mulan
from larpbench.encoders.names import get_encoder
from larpbench.encoders.reference import write_tokenizer
from larpbench.encoders.towers.hub_models import Place
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER
from larpbench.errors import DataError

FIXTURES = Path(__file__).parents[2] / "fixtures"
PE_AUDIO = {  # the published config.json: width, layers, heads and inner width of the audio side
    "pe-audio-small": ("small", 768, 12, 6, 2_048),
    "pe-audio-base": ("base", 1_024, 16, 8, 2_752),
    "pe-audio": ("large", 1_792, 28, 14, 4_800),
}
TOWERS = ("qwen2_audio", "audioflamingo3", "musicflamingo")
XLM_R = {
    **{"model_type": "xlm-roberta", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"intermediate_size": 3_072, "max_position_embeddings": 514, "type_vocab_size": 1, "vocab_size": 250_002},
}
TRANSFORMER = {"dim": 768, "heads": 8, "dim_head": 64, "ff_mult": 4}
MULAN = {
    "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 512},
    "audio_model": {"model_dim": 1_024, "use_layer_idx": -1},
    "text_model": {"model_dim": None},
    "audio_transformer": {**TRANSFORMER, "tf_depth": 0},
    "text_transformer": {**TRANSFORMER, "tf_depth": 8},
}


def shapes(name):
    return {key: tuple(shape) for key, shape in json.loads((FIXTURES / name).read_text()).items()}


def on_meta(listed):
    return {name: torch.empty(shape, device="meta") for name, shape in listed.items()}


def numbers(listed):
    return sum(math.prod(shape) for shape in listed.values())


def changed(listed, name):
    """The list without one tensor, with another in its place, and with one of another shape."""
    rest = {key: shape for key, shape in listed.items() if key != name}
    return {
        "missing": rest,
        "unexpected": listed | {f"{name}_": (3,)},
        "of another shape": listed | {name: (*listed[name], 2)},
    }


@pytest.fixture
def xlm_r(tmp_path):
    def write(folder):
        folder.mkdir()
        write_tokenizer(folder)
        (folder / "config.json").write_text(json.dumps(XLM_R))

    return write


class TestClamp3:
    @pytest.fixture(autouse=True)
    def prepared(self, tmp_path, monkeypatch, xlm_r):
        """MERT has a test of its own."""
        xlm_r(tmp_path / XLM_R_FOLDER)
        monkeypatch.setattr(clamp3.Place, "of", lambda bfloat16: Place("meta", torch.float32))
        monkeypatch.setattr(clamp3, "HubModel", lambda folder, place: type("Mert", (), {"width": 768}))

    def built(self, listed, folder, monkeypatch, **sides):
        monkeypatch.setattr(clamp3, "read_state", lambda path: on_meta(listed))
        with torch.device("meta"):
            return clamp3.load_clamp3(folder, **sides)

    def test_the_published_one(self, tmp_path, monkeypatch):
        listed = shapes("clamp3/saas.json")
        assert self.built(listed, tmp_path, monkeypatch, audio=True, text=True)
        known = next(file for file in get_encoder("clamp3").weights.files if file.name == CHECKPOINT)
        assert 4 * numbers(listed) < known.size  # the state of an optimizer lies beside the weights

    @pytest.mark.parametrize(
        ("side", "name"),
        [("audio", "audio_model.encoder.layer.11.output.dense.bias"), ("text", "text_model.embeddings.LayerNorm.bias")],
    )
    def test_another_one(self, tmp_path, monkeypatch, side, name):
        both = {"audio": False, "text": False} | {side: True}
        for fault, listed in changed(shapes("clamp3/saas.json"), name).items():
            with pytest.raises(DataError, match=f"{fault}.*'{name}"):
                self.built(listed, tmp_path, monkeypatch, **both)


class TestMulan:
    @pytest.fixture(autouse=True)
    def prepared(self, tmp_path, monkeypatch, xlm_r):
        """Constants, of which only names and shapes are known here, have a test of their own."""
        xlm_r(tmp_path / "xlm-roberta-base")
        (tmp_path / "config.json").write_text(json.dumps(MULAN))
        (tmp_path / "MuQ-large-msd-iter").mkdir()
        statistics = {"stat": {"melspec_2048_mean": 6.0, "melspec_2048_std": 18.0}}
        (tmp_path / "MuQ-large-msd-iter" / "config.json").write_text(json.dumps(statistics))
        monkeypatch.setattr(muq, "mel_filters", lambda: torch.zeros(1, 1))
        monkeypatch.setattr(muq, "_refuse_other_constants", lambda *given: None)
        monkeypatch.setattr(mulan, "Conformer", lambda read, device: None)
        monkeypatch.setattr(mulan, "torch_device", lambda: "meta")

    def built(self, listed, folder, monkeypatch):
        monkeypatch.setattr(mulan, "read_state", lambda path: on_meta(listed))
        with torch.device("meta"):
            return mulan.load_mulan(folder, audio=True, text=True)

    def test_the_published_one(self, tmp_path, monkeypatch):
        """Also by its size: torch.save adds a few hundred bytes a tensor."""
        listed = shapes("muq/mulan.json")
        assert self.built(listed, tmp_path, monkeypatch)
        known = next(file for file in get_encoder("muq-mulan").weights.files if file.name == "pytorch_model.bin")
        assert 0 < known.size - 4 * numbers(listed) < 1_000 * len(listed)

    @pytest.mark.parametrize("name", ["mulan.audio.proj.bias", "mulan.text.transformer.layers.7.0.q_scale"])
    def test_another_one(self, tmp_path, monkeypatch, name):
        for fault, listed in changed(shapes("muq/mulan.json"), name).items():
            with pytest.raises(DataError, match=f"{fault}.*'{name}"):
                self.built(listed, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", PE_AUDIO)
def test_pe_audio(name):
    """Also by the number of parameters on the card; of the small one, by the bytes of its files."""
    from transformers import PeAudioConfig, PeAudioFrameLevelModel

    size, width, depth, heads, inner = PE_AUDIO[name]
    audio = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads, "intermediate_size": inner}
    with torch.device("meta"):
        model = PeAudioFrameLevelModel(PeAudioConfig(audio_config=audio))
    listed = shapes(f"pe_audio/{size}.json")
    facts = {key: TensorFacts(shape) for key, shape in listed.items()}
    require_tensors(facts, facts_of(model.state_dict()), name, FIXTURES)
    assert numbers(listed) == get_encoder(name).card.parameters
    if size == "small":  # its tokenizer has 3.6 MB
        assert 3_500_000 < get_encoder(name).weights.size - 4 * numbers(listed) < 3_700_000


class TestTowers:
    def built(self, kind, listed, folder, monkeypatch):
        stored = {name: (TensorFacts(shape), folder / "model.safetensors") for name, shape in listed.items()}
        monkeypatch.setattr(tower, "stored_tensors", lambda files: stored)
        monkeypatch.setattr(
            tower, "read_named", lambda path, names: list(on_meta({n: listed[n] for n in names}).values())
        )
        return tower.load_tower(folder, {"model_type": kind, "audio_config": {}})

    @pytest.mark.parametrize("kind", TOWERS)
    @pytest.mark.parametrize("prefix", ["", "model."])
    def test_the_published_one(self, tmp_path, monkeypatch, kind, prefix):
        """With a tensor of the language model, and the frequencies of Music Flamingo's time embedding."""
        listed = {f"{prefix}{name}": shape for name, shape in shapes("audio_towers/tower.json").items()}
        assert len(listed) == 487
        others = {"language_model.model.norm.weight": (4_096,), f"{prefix}audio_tower.pos_emb.freqs": (128,)}
        model = self.built(kind, listed | others, tmp_path, monkeypatch)
        assert sum(each.numel() for each in model.parameters()) == numbers(listed) == 636_968_960

    @pytest.mark.parametrize("kind", TOWERS)
    def test_another_one(self, tmp_path, monkeypatch, kind):
        name = "audio_tower.layers.31.fc2.bias"
        for fault, listed in changed(shapes("audio_towers/tower.json"), name).items():
            with pytest.raises(DataError, match=f"{fault}.*'{name}"):
                self.built(kind, listed, tmp_path, monkeypatch)
