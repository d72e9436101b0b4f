"""CLaMP 3: what its authors' scripts compute, one side or both, and inputs of any length."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larpbench.encoders.adapters.clamp3.encoder import in_parts
from larpbench.encoders.adapters.clamp3.files import CHECKPOINT, MERT_FOLDER, SAMPLE_RATE
from larpbench.encoders.adapters.clamp3.reference import REFERENCE
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER
from larpbench.errors import DataError, UsageError
from larpbench.testing import check_encoder, check_reference

NAMES = ("clamp3", "clamp3:audio", "clamp3:text")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clamp3")
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
    assert float(stored.detail.split()[2]) < 2e-6, stored.detail
    assert live.outcome == "skipped"


def test_the_reference_tells_inputs_apart():
    for side in ("audio", "text"):
        vectors = REFERENCE.expected(side)
        apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[~np.eye(len(vectors), dtype=bool)]
        assert apart.min() > 0.01


def test_both_sides_are_the_mean_of_each(sides):
    batch = REFERENCE.batch(SAMPLE_RATE)
    whole, audio, text = (sides[name].encode(batch) for name in NAMES)
    np.testing.assert_allclose(np.linalg.norm(audio, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(whole, (audio + text) / 2, atol=1e-6)


def test_as_every_encoder(sides):
    spec = get_encoder("clamp3:text")
    narrow = replace(spec, card=spec.card.model_copy(update={"dim": 48}))
    assert [each for each in check_encoder(narrow, sides["clamp3:text"]) if each.outcome == "fail"] == []


def test_a_rest_of_less_than_a_second_is_left_out(sides):
    """It still counts in the normalisation of the clip, as in the authors' code: here it has the same statistics."""
    second = np.random.RandomState(0).uniform(-1, 1, SAMPLE_RATE).astype(np.float32)
    encode = sides["clamp3:audio"].encode
    five, more = np.tile(second, 5), np.concatenate([np.tile(second, 5), second[: SAMPLE_RATE // 2]])
    (shorter,), (longer,), (two,) = (encode(batch_of([""], each[None])) for each in (five, more, np.tile(second, 7)))
    assert np.abs(shorter - longer).max() < 2e-3
    assert np.abs(shorter - two).max() > np.abs(shorter - longer).max()
    assert np.isfinite(encode(batch_of([""], second[None, :100]))).all()  # repeated to a second


def test_lines_of_a_caption_are_sentences_and_count_once(sides):
    encode = sides["clamp3:text"].encode
    found = encode(batch_of(["a\nb", "a\n\nb\na", "a</s>b", "a b", ""], None))
    np.testing.assert_allclose(found[:3], found[[0, 0, 0]], atol=1e-6)
    assert np.abs(found[0] - found[3]).max() > 1e-3
    assert np.isfinite(found).all()


@given(length=st.integers(1, 600), seed=st.integers(0, 9))
def test_long_sequences_are_read_in_parts(length, seed):
    """Each part counts by what is new in it, and the last one is as long as the others."""
    rows = torch.from_numpy(np.random.RandomState(seed).uniform(size=(2, length, 3)))
    seen = []

    def encode(part):
        seen.append(part)
        return part.mean(dim=1)

    found = in_parts(rows, encode)
    full, rest = divmod(length, 128)
    expected = [(128, rows[:, 128 * part : 128 * (part + 1)]) for part in range(full)]
    expected += [(rest, rows[:, -128:])] if rest else []
    assert [each.shape[1] for each in seen] == [min(length, 128)] * len(expected)
    mean = sum(share * part.mean(dim=1) for share, part in expected) / length
    torch.testing.assert_close(found, mean)


def test_one_side_reads_and_states_that_side_only():
    whole, audio, text = (get_encoder(name).card for name in NAMES)
    assert whole.parameters == audio.parameters + text.parameters
    assert (audio.modalities, text.modalities) == (("audio",), ("text",))
    assert (audio.sample_rate, text.sample_rate) == (SAMPLE_RATE, None)
    with pytest.raises(UsageError, match="no variant 'symbolic'"):
        get_encoder("clamp3:symbolic")


def test_the_size_of_the_published_file_is_that_of_its_tensors():
    """Model, and two numbers of the optimiser for each that was trained last, which are those for sheet music."""
    from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

    def count(module):
        return sum(each.numel() for each in module.parameters())

    with torch.device("meta"):
        text = count(
            XLMRobertaModel(XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1))
        )
        audio, symbolic = (
            count(BertModel(BertConfig(vocab_size=1, max_position_embeddings=each))) for each in (128, 512)
        )
    projection = pooler = 768 * 768 + 768
    patches = 64 * 128 * 768 + 768
    card = get_encoder("clamp3").card
    assert text + audio + 2 * projection - 2 * pooler + get_encoder("mert-95m").card.parameters == card.parameters
    trained = symbolic + patches + projection - pooler - 768  # neither the pooler nor the one word is used
    size = 4 * (text + audio + symbolic + patches + 3 * projection + 2 * trained)
    assert 0 < get_encoder("clamp3").weights.files[0].size - size < 1_000_000  # names


def test_missing_then_ready(tmp_path):
    spec = get_encoder("clamp3")
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


def test_what_lies_beside_is_checked(copied):
    weights = torch.load(copied / MERT_FOLDER / "pytorch_model.bin", weights_only=True)
    weights["encoder.layers.3.layer_norm.bias_"] = weights.pop("encoder.layers.3.layer_norm.bias")
    torch.save(weights, copied / MERT_FOLDER / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"missing: 'encoder\.layers\.3\.layer_norm\.bias'"):
        built("clamp3:audio", copied)
    assert built("clamp3:text", copied)
    config = copied / XLM_R_FOLDER / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "bert"}))
    with pytest.raises(DataError, match="it is of type 'bert'"):
        built("clamp3:text", copied)
    config.unlink()
    with pytest.raises(DataError, match="no configuration of XLM-R"):
        built("clamp3:text", copied)


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_nothing_of_the_file_is_executed(copied, monkeypatch):
    monkeypatch.chdir(copied)
    torch.save({"model": {}, "x": Evil()}, copied / CHECKPOINT)
    with pytest.raises(DataError, match="nothing of it was executed"):
        built("clamp3", copied)
    assert not Path("executed").exists()
