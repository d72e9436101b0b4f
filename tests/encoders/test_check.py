"""``larpbench check`` finds what is wrong with an encoder; and combinations of encoders."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.small_data import build_split_tables

from larpbench.encoders.adapters.handcrafted import HANDCRAFTED
from larpbench.encoders.adapters.tfidf import TFIDF
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder, parse_name
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import UnknownNameError, UsageError
from larpbench.testing import check_encoder

GOOD = TFIDF.card.model_copy(update={"name": "made-up", "dim": 4, "learns": "nothing"})


def hashed(batch: TrackBatch) -> np.ndarray:
    sums = [sum(caption.encode()) for caption in batch.captions]
    return np.array([[each % 7 + 1, each % 11, each % 13, 1] for each in sums], dtype=np.float32)


def heard(batch: TrackBatch) -> np.ndarray:
    level = np.abs(batch.audio).mean(axis=1)
    return np.stack([level, level + 1, level, level], axis=1).astype(np.float32)


def spec_of(encode, **card) -> EncoderSpec:
    encoder = type("Made", (), {"encode": lambda self, batch: encode(batch)})()
    return EncoderSpec(GOOD.model_copy(update=card), factory=lambda context, argument: encoder)


def by_batch(vectors: np.ndarray) -> np.ndarray:
    return vectors - vectors.mean(axis=0) + 100


def seeding(batch):
    torch.manual_seed(1)
    return hashed(batch)


def wandering(batch):
    os.environ["MADE_UP"] = str(random.random())
    os.chdir("/")
    batch.captions[:] = ""
    return hashed(batch)


AUDIO = {"modalities": ("audio",), "sample_rate": 8_000}
WRONG = {  # what is wrong -> encode, card, the check that finds it, what it says
    "shape": (lambda b: hashed(b)[:, :3], {}, "shape and dtype", "shape (4, 3)"),
    "dtype": (lambda b: hashed(b).astype(np.float64), {}, "shape and dtype", "float64"),
    "a list": (lambda b: hashed(b).tolist(), {}, "shape and dtype", "a list"),
    "nan": (lambda b: hashed(b) * np.nan, {}, "finite and not zero", "NaN"),
    "zero": (lambda b: hashed(b) * 0, {}, "finite and not zero", "all-zero"),
    "random": (lambda b: hashed(b) + np.float32(random.random()), {}, "deterministic", "two calls differ"),
    "batch": (lambda b: by_batch(hashed(b)), {}, "batch of 1 = batch of N", "differ by up to"),
    "order": (lambda b: np.sort(hashed(b), axis=0), {}, "row order", "do not stay"),
    "ascii": (
        lambda b: hashed(b) * np.array([[c.isascii()] for c in b.captions]), {}, "captions of any script", "no usable",
    ),
    "seed": (seeding, {}, "global state", "torch's random numbers"),
    "environment": (wandering, {}, "global state", "the working folder, environment variables, the batch"),
    "silence": (lambda b: heard(b) / np.abs(b.audio).max(), AUDIO, "silence", "NaN"),
    "short": (lambda b: heard(b)[:, : 4 if b.audio.shape[1] > 4_000 else 3], AUDIO, "short and long", "depends on"),
    "no licence": (hashed, {"licence": ""}, "card", "an empty licence"),
    "no rate": (heard, {"modalities": ("audio",)}, "card", "no sample rate"),
    "unseeded": (hashed, {"weights": "random"}, "card", "random weights, but no seed"),
    "unknown": (hashed, {"weights": "pretrained: x"}, "card", "not what they were trained on"),
    "raises": (lambda b: 1 / 0, {}, "shape and dtype", "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("encode", [hashed, heard])
def test_a_good_encoder(encode):
    checks = check_encoder(spec_of(encode, **(AUDIO if encode is heard else {})))
    assert {each.outcome for each in checks} == {"pass", "skipped"}
    assert sum(each.outcome == "skipped" for each in checks) == (1 if encode is heard else 2)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_found_and_told(fault):
    encode, card, name, says = WRONG[fault]
    before = (os.getcwd(), dict(os.environ), random.getstate(), torch.get_rng_state().tolist())  # noqa: PTH109
    failed = {each.name: each for each in check_encoder(spec_of(encode, **card)) if each.outcome == "fail"}
    (found,) = (each for key, each in failed.items() if key.startswith(name))
    assert says in found.detail
    assert found.advice
    after = (os.getcwd(), dict(os.environ), random.getstate(), torch.get_rng_state().tolist())  # noqa: PTH109
    assert after == before


def test_what_cannot_be_built():
    spec = replace(spec_of(hashed), factory="larpbench.encoders.no_such:thing")
    checks = {each.name: each for each in check_encoder(spec)}
    assert checks["build"].outcome == "fail"
    assert "No module named" in checks["build"].detail
    assert checks["row order"].outcome == "skipped"
    no_fit = spec_of(hashed, learns="statistics")
    assert "no fit method" in {each.name: each for each in check_encoder(no_fit)}["build"].detail


def test_the_command_line(cli):
    done = cli("check", "tfidf", "--json")
    assert done.code == 0, done.err
    assert {each["outcome"] for each in json.loads(done.out)} == {"pass", "skipped"}
    assert cli("check", "tfdif").code == 2
    looked_up = cli("check", "oracle")
    assert looked_up.code == 0
    assert "it looks up the tracks" in looked_up.out


class TestCombinations:
    def test_names(self):
        spec = get_encoder("handcrafted+tfidf")
        assert spec.identity == "handcrafted+tfidf"
        assert spec.card.modalities == ("audio", "text")
        assert spec.card.dim == HANDCRAFTED.card.dim + TFIDF.card.dim
        assert spec.card.licence == "handcrafted: Apache-2.0, ISC; tfidf: Apache-2.0"
        assert not spec.reads_audio
        three = get_encoder("larp-ttc:audio+minilm+random")
        assert [each.identity for each in three.inputs] == ["larp-ttc:audio", "minilm", "random"]
        assert three.card.stochastic
        assert get_encoder("minilm+tfidf").card.original.startswith("minilm: transformers")
        assert not get_encoder("minilm+tfidf").card.unverified

    def test_a_plus_in_a_file_name_separates_nothing(self):
        assert [part.written for part in parse_name("precomputed:a+b.npz+tfidf")] == ["precomputed:a+b.npz", "tfidf"]
        assert get_encoder("precomputed:a+b.npz").identity == "precomputed:a+b.npz"

    def test_a_typing_error_in_a_part(self):
        with pytest.raises(UnknownNameError, match="'tfdif'; did you mean tfidf"):
            get_encoder("handcrafted+tfdif")
        for name in ("tfidf+", "+tfidf", "tfidf++random"):
            with pytest.raises((UsageError, UnknownNameError)):
                get_encoder(name)

    def test_no_part_dominates(self):
        draw = np.random.default_rng(0)
        blocks = tuple(draw.normal(size=(5, dim)).astype(np.float32) * scale for dim, scale in ((3, 1e4), (40, 1e-3)))
        spec = get_encoder("handcrafted+tfidf")
        ids = np.array(list("abcde"))
        joint = spec.build(EncodeContext(0, None)).encode(TrackBatch(ids, ids, None, blocks))
        units = [block / np.linalg.norm(block, axis=1, keepdims=True) for block in blocks]
        np.testing.assert_allclose(joint @ joint.T, (units[0] @ units[0].T + units[1] @ units[1].T) / 2, atol=1e-6)
        with_zero = (np.zeros((5, 3), dtype=np.float32), blocks[1])
        zero = spec.build(EncodeContext(0, None)).encode(TrackBatch(ids, ids, None, with_zero))
        np.testing.assert_allclose(zero[:, 3:], units[1] / np.sqrt(2), rtol=1e-5)

    def test_it_runs_and_its_key_follows_its_parts(self, cli, tmp_path):
        data = build_split_tables(tmp_path / "data")
        vectors = f"precomputed:{tmp_path / 'data-tables' / 'vectors.npz'}"
        done = cli(
            "run", "--dataset", data.folder, "--encoders", f"random+tfidf,{vectors}+tfidf", "--seeds", "2",
            "--output", tmp_path / "results",
        )  # fmt: skip
        assert done.code == 0, done.err
        records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
        assert sorted((each["cell"]["encoder"], each["cell"]["seed"]) for each in records) == [
            ("precomputed:vectors.npz+tfidf", 0), ("random+tfidf", 0), ("random+tfidf", 1),
        ]  # fmt: skip
        assert {each["encoder"]["origin"]["distribution"] for each in records} == {"larpbench"}
        both = get_encoder("minilm+tfidf"), get_encoder("tfidf+minilm")
        from larpbench.encoders.run.keys import Keys

        keys = {Keys().embedding(each, data, data.split("test"), 0) for each in both}
        assert len(keys) == 2

    def test_a_trained_part_is_trained_and_not_tested_on_what_it_learnt_from(self, tmp_path, monkeypatch):
        data, other = build_split_tables(tmp_path / "data"), build_split_tables(tmp_path / "other", seeds={"test": 1})
        spec = get_encoder("larp-ttc:text+tfidf").tested_on(data)
        assert spec.identity == "larp-ttc:text@data+tfidf"
        assert [each.name for each in spec.sources] == ["data"]
        assert spec.tested_on(other).identity == spec.identity
        from larpbench.encoders.run.training import untrained

        store = EmbeddingStore(tmp_path / "store")
        spec = get_encoder("larp-untrained:tiny:text+tfidf").tested_on(data)
        assert [each.identity for each in untrained(store, get_encoder("tfidf+minilm"), 0)] == []
        with pytest.raises(Exception, match="needs audio"):
            untrained(store, spec, 0)
