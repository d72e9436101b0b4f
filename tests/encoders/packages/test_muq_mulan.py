"""MuQ-MuLan: what its authors' package computes, one side or both, and inputs of any length."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larpbench.encoders.adapters.muq.model import Network
from larpbench.encoders.adapters.muq.model import Sizes as MuQSizes
from larpbench.encoders.adapters.muq.mulan.encoder import windows_of
from larpbench.encoders.adapters.muq.mulan.files import CONFIG, MUQ_FOLDER, WEIGHTS
from larpbench.encoders.adapters.muq.mulan.reference import REFERENCE
from larpbench.encoders.adapters.muq.mulan.transformer import Sizes, Transformer
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER
from larpbench.errors import DataError, UsageError
from larpbench.testing import check_encoder, check_reference

NAMES = ("muq-mulan", "muq-mulan:audio", "muq-mulan:text")
SAMPLE_RATE = 24_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("muq-mulan")
    REFERENCE.write(folder)
    return folder


def built(name, folder):
    spec = get_encoder(name)
    return spec.factory(replace(EncodeContext(0, folder), weights=folder), spec.argument)


@pytest.fixture(scope="module")
def sides(checkpoint):
    return {name: built(name, checkpoint) for name in NAMES}


def batch_of(captions, clips):
    return TrackBatch(np.arange(len(captions)), np.array(captions, dtype=object), clips)


@pytest.mark.parametrize("name", NAMES)
def test_as_the_original_code(name):
    stored, live = check_reference(get_encoder(name))
    assert stored.outcome == "pass", stored.detail
    assert float(stored.detail.split()[2]) < 1e-5, stored.detail
    assert live.outcome == "skipped"


def test_the_reference_tells_inputs_apart():
    for side in ("audio", "text"):
        vectors = REFERENCE.expected(side)
        apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[~np.eye(len(vectors), dtype=bool)]
        assert apart.min() > 0.1


def test_both_sides_are_the_mean_of_each(sides):
    batch = REFERENCE.batch(SAMPLE_RATE)
    whole, audio, text = (sides[name].encode(batch) for name in NAMES)
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1, atol=1e-5)
    assert (np.linalg.norm(audio, axis=1) < 1).all()  # a mean of two windows
    np.testing.assert_allclose(whole, (audio + text) / 2, atol=1e-6)


def test_as_every_encoder(sides):
    spec = get_encoder("muq-mulan:text")
    narrow = replace(spec, card=spec.card.model_copy(update={"dim": 24}))
    assert [each for each in check_encoder(narrow, sides["muq-mulan:text"]) if each.outcome == "fail"] == []


@given(length=st.integers(1, 3 * 240_000 + 5))
def test_windows_of_ten_seconds_the_last_filled_from_the_start(length):
    clip = np.arange(length, dtype=np.float32)
    windows = windows_of(clip)
    wave = np.resize(clip, max(length, SAMPLE_RATE))
    assert len(windows) == math.ceil(len(wave) / 240_000)
    joined = np.concatenate(windows)
    np.testing.assert_array_equal(joined[: len(wave)], wave)
    np.testing.assert_array_equal(joined[len(wave) :], wave[: len(joined) - len(wave)])
    assert all(len(each) == 240_000 for each in windows) or len(joined) == 2 * len(wave)


def test_captions_of_any_length_in_any_company(sides):
    """A caption's vector does not depend on the batch; tokens after the 512th are left out."""
    encode = sides["muq-mulan:text"].encode
    long = "ab " * 400
    found = encode(batch_of(["", "Ночь 夜", long, long + "more"], None))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(encode(batch_of(["Ночь 夜"], None))[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert np.abs(encode(batch_of(["ab " * 160], None))[0] - found[2]).max() > 1e-4


def test_float32_inside_autocast(sides):
    batch = REFERENCE.batch(SAMPLE_RATE)
    for name in NAMES[1:]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = sides[name].encode(batch)
        np.testing.assert_array_equal(found, sides[name].encode(batch))


def test_one_side_reads_and_states_that_side_only():
    whole, audio, text = (get_encoder(name).card for name in NAMES)
    assert whole.parameters == audio.parameters + text.parameters
    assert (audio.modalities, text.modalities) == (("audio",), ("text",))
    assert (audio.sample_rate, text.sample_rate) == (SAMPLE_RATE, None)
    assert (whole.max_tokens, audio.max_tokens, text.max_tokens) == (512, None, 512)
    with pytest.raises(UsageError, match="no variant 'symbolic'"):
        get_encoder("muq-mulan:symbolic")


def test_the_size_of_the_published_file_is_that_of_its_tensors():
    from transformers import XLMRobertaConfig, XLMRobertaModel

    def count(module):
        return sum(each.numel() for each in module.parameters())

    with torch.device("meta"):
        config = XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1)
        text = count(XLMRobertaModel(config, add_pooling_layer=False)) + count(Transformer(Sizes(768, 8, 8, 64, 4)))
        muq = count(Network(MuQSizes()))
    to_latents = 768 * 512 + 512
    _, audio_card, text_card = (get_encoder(name).card for name in NAMES)
    assert text_card.parameters == text + to_latents
    assert audio_card.parameters == muq + 1_024 * 768 + 768 + to_latents
    unused = get_encoder("muq").card.parameters - muq + 768 * 768 + 768
    size = 4 * (audio_card.parameters + text_card.parameters + unused)
    weights = {each.name: each.size for each in get_encoder("muq-mulan").weights.files}
    assert 0 < weights[WEIGHTS] - size < 1_000_000  # names, and what normalisations count


def test_missing_then_ready():
    spec = get_encoder("muq-mulan")
    assert spec.status().state == "missing-weights"
    spec.weights.folder().mkdir(parents=True)
    REFERENCE.write(spec.weights.folder())
    assert spec.status().state == "ready"
    (spec.weights.folder() / XLM_R_FOLDER / "tokenizer.json").unlink()
    assert spec.status().state == "missing-weights"


@pytest.fixture
def copied(tmp_path):
    REFERENCE.write(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("mulan", "clip_secs", 30, r"mulan\.clip_secs is 30"),
        ("audio_model", "use_layer_idx", 6, r"audio_model\.use_layer_idx is 6"),
        ("mulan", "dim_latent", None, r"no mulan\.dim_latent"),
        ("text_transformer", "heads", "8", r"no text_transformer\.heads"),
        ("text_transformer", "tf_depth", 7, r"unexpected: 'mulan\.text\.transformer\.layers\.7"),
    ],
)
def test_a_configuration_of_another_design(copied, part, name, value, message):
    config = json.loads((copied / CONFIG).read_text())
    config[part][name] = value
    (copied / CONFIG).write_text(json.dumps(config))
    with pytest.raises(DataError, match=message):
        built("muq-mulan", copied)


def test_what_lies_beside_is_checked(copied):
    (copied / MUQ_FOLDER / CONFIG).write_text("{}")
    with pytest.raises(DataError, match="the spectrograms cannot be normalised"):
        built("muq-mulan:audio", copied)
    assert built("muq-mulan:text", copied)
    (copied / XLM_R_FOLDER / CONFIG).unlink()
    with pytest.raises(DataError, match="no configuration of XLM-R"):
        built("muq-mulan:text", copied)
    (copied / CONFIG).unlink()
    with pytest.raises(DataError, match=r"has no config\.json"):
        built("muq-mulan:text", copied)
