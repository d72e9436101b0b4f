from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from larpbench.cli.convert import app
from larpbench.encoders.larp.convert import convert, infer_settings
from larpbench.encoders.larp.model import Larp, load_larp
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings
from larpbench.encoders.towers.front_end import log_mel
from larpbench.encoders.towers.initial_weights import audio_state, text_state
from larpbench.encoders.towers.settings import BertSettings, MelSettings, SwinSettings
from larpbench.encoders.towers.tokens import load_tokenizer
from larpbench.errors import DataError, MissingPartError, UsageError

SHARED = Path(__file__).parents[3].parent / "shared" / "fixtures" / "larp_mini"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared fixtures")
PARITY = 2e-4
MASK = "audio_encoder.layers.0.blocks.1.attn_mask"
SETTINGS = ModelSettings(
    audio=SwinSettings(mel=MelSettings(n_mels=16), width=8, depths=(2, 2), heads=(2, 4), window=4, spec_size=64),
    text=BertSettings(
        tokenizer="bert-base-uncased", vocabulary=12, hidden=32, layers=2, heads=2, intermediate=64, positions=40
    ),
    dim=6,
)


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def larp():
    torch.manual_seed(0)
    model = Larp(SETTINGS.model_copy(update={"temperature": 0.25})).eval()
    for each in model.parameters():
        each.data.normal_(std=0.2)
    model.audio.norm.running_mean.normal_()
    model.text.drop_token_types()
    return model


@pytest.fixture
def state(larp):
    """The model as the authors' code would save it, and some of what only training needs."""
    found = {
        MASK: torch.zeros(16, 16, 16),
        "audio_encoder.logmel_extractor.melW": torch.zeros(513, 16),
        "audio_encoder.head.weight": torch.zeros(5, 5),
        "audio_encoder_m.bn0.weight": torch.zeros(16),
        "audio_proj_m.weight": torch.zeros(6, 16),
        "text_encoder.embeddings.position_ids": torch.arange(40)[None],
        "text_encoder.encoder.layer.0.crossattention.self.query.weight": torch.zeros(32, 32),
        "text_encoder_m.embeddings.word_embeddings.weight": torch.zeros(12, 32),
        "text_decoder.cls.predictions.bias": torch.zeros(12),
        "itm_head.weight": torch.zeros(2, 32),
        "audio_queue": torch.zeros(6, 40),
        "queue_ptr": torch.zeros(1).long(),
        "text_features_all": torch.zeros(12, 6),
    }
    for name, tensor in larp.state_dict().items():
        side, _, rest = name.partition(".")
        match side:
            case "audio":
                found |= audio_names(rest, tensor, found)
            case "text" if "token_type" not in rest:
                found[f"text_encoder.{rest.removeprefix('bert.')}"] = tensor
            case "audio_projection" | "text_projection":
                found[f"{side.removesuffix('ection')}.{rest}"] = tensor
            case "fusion":
                found[f"playlist_constructor.transformer_encoder.0.w_{rest[0]}.weight"] = tensor
            case "temperature":
                found["temp"] = tensor
    return {name: tensor.clone().contiguous() for name, tensor in found.items()}


IGNORED = 13


def audio_names(name, tensor, found):
    name = name.replace("norm.", "bn0.", 1) if name.startswith("norm.") else name.removeprefix("swin.")
    for ours, theirs in (
        ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("attention.output.dense", "attn.proj"),
        ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"), ("attention.self.relative", "attn.relative"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    block, separator, rest = name.partition(".attention.self.")
    if not separator:
        return {f"audio_encoder.{name}": tensor}
    joined = f"audio_encoder.{block}.attn.qkv.{rest.split('.')[1]}"  # query, key, value: as in the model
    return {joined: torch.cat([found[joined], tensor]) if joined in found else tensor}


@pytest.fixture
def pieces(tmp_path):
    folder = tmp_path / "my-pieces"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "blue", "train", "is", "a", "song"]
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder


def loaded(folder):
    return load_larp(folder, with_text=False)[0]


def features(model):
    generator = torch.Generator().manual_seed(0)
    mels = torch.randn(3, 100, 16, generator=generator)
    ids = torch.randint(12, (3, 30), generator=generator)
    mask = (torch.arange(30) < 20).long().expand(3, -1)
    with torch.inference_mode():
        return model.audio_features(mels), model.text_features(ids, mask)


def relative(found, expected):
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


@needs_shared
def test_a_converted_checkpoint_gives_the_authors_features(tmp_path):
    summary = convert(SHARED / "larp_mini_state.safetensors", tmp_path / "out")
    assert summary.needs_tokenizer
    assert summary.views == ("audio",)
    assert summary.settings.temperature == pytest.approx(0.09)
    model = loaded(tmp_path / "out")
    assert model.temperature.item() == pytest.approx(0.09)
    with np.load(SHARED / "larp_mini_inputs.npz") as inputs:
        waveforms = torch.from_numpy(inputs["waveforms"][:, 0])
    with np.load(SHARED / "larp_mini_expected.npz") as arrays:
        expected = {name: arrays[name] for name in arrays if name.startswith("ego_")}
    ids, mask = (torch.from_numpy(expected[f"ego_{name}"]) for name in ("input_ids", "attention_mask"))
    mels = log_mel(waveforms, summary.settings.audio.mel)
    with torch.inference_mode():
        assert relative(model.audio(mels), expected["ego_audio_encoder_out"]) < PARITY
        assert relative(model.audio_features(mels), expected["ego_audio_feat"]) < PARITY
        assert relative(model.text(ids, mask), expected["ego_text_cls"]) < PARITY
        assert relative(model.text_features(ids, mask), expected["ego_text_feat"]) < PARITY


@needs_shared
def test_the_published_layout_is_covered_whole():
    layout = json.loads((SHARED / "larp_full_state_keys.json").read_text())
    settings = infer_settings({name: shape for name, (shape, _) in layout.items()})
    assert settings == ModelSettings(
        audio=SwinSettings(), text=BertSettings(tokenizer="bert-base-uncased", vocabulary=30_524), dim=256
    )
    with torch.device("meta"):
        model = Larp(settings)
        state = {name: torch.empty(shape) for name, (shape, _) in layout.items()}
    for tower, found in (
        (model.audio, audio_state(state, "audio_encoder.")),
        (model.text, text_state(state, "text_encoder.")),
    ):
        expected = {name: each.shape for name, each in tower.state_dict().items() if "token_type" not in name}
        assert {name: each.shape for name, each in found.items()} == expected


@pytest.mark.parametrize("layout", ["safetensors", "flat", "model", "module."])
def test_every_way_of_saving(layout, larp, state, pieces, tmp_path):
    path = tmp_path / ("checkpoint.safetensors" if layout == "safetensors" else "checkpoint.pth")
    if layout == "safetensors":
        save_file(state, path)
    elif layout == "flat":
        torch.save(state, path)
    else:
        prefix = layout if layout == "module." else ""
        torch.save({"model": {f"{prefix}{name}": each for name, each in state.items()}, "epoch": 7}, path)
    summary = convert(path, tmp_path / "out", str(pieces))
    assert summary.settings == larp.settings
    assert summary.views == ("audio", "text")
    assert summary.ignored == IGNORED
    assert not summary.needs_tokenizer
    for found, expected in zip(features(loaded(tmp_path / "out")), features(larp), strict=True):
        torch.testing.assert_close(found, expected)
    for name, tensor in larp.fusion.state_dict().items():
        assert torch.equal(loaded(tmp_path / "out").fusion.state_dict()[name], tensor)
    files = {each.name for each in (tmp_path / "out").iterdir()}
    assert files == {"model.safetensors", "settings.json", "card.json", "tokenizer.json"}
    ids, _ = load_tokenizer(tmp_path / "out", 30)(["blue train"])
    assert ids[0, :4].tolist() == [2, 5, 6, 3]
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["views"] == ["audio", "text"]
    assert card["source"] == path.name
    assert str(tmp_path) not in (tmp_path / "out" / "card.json").read_text()


def test_half_precision_becomes_single(larp, state, tmp_path):
    torch.save(
        {name: each.half() if each.is_floating_point() else each for name, each in state.items()}, tmp_path / "c.pt"
    )
    convert(tmp_path / "c.pt", tmp_path / "out")
    model = loaded(tmp_path / "out")
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    torch.testing.assert_close(features(model)[0], features(larp)[0], rtol=0, atol=0.02)


def test_one_side_only(larp, state, pieces, tmp_path):
    sides = {
        side: {name: each for name, each in state.items() if name.startswith(side)} for side in ("audio_", "text_")
    }
    torch.save(sides["audio_"], tmp_path / "audio.pth")
    summary = convert(tmp_path / "audio.pth", tmp_path / "audio")
    assert summary.views == ("audio",)
    assert not summary.needs_tokenizer
    assert isinstance(summary.settings.text, HeadSettings)
    assert summary.settings.fusion == "mean"
    torch.testing.assert_close(
        loaded(tmp_path / "audio").audio_features(torch.ones(2, 50, 16)), larp.audio_features(torch.ones(2, 50, 16))
    )
    torch.save(sides["text_"], tmp_path / "text.pth")
    summary = convert(tmp_path / "text.pth", tmp_path / "text", str(pieces))
    assert summary.views == ("text",)
    ids = load_tokenizer(tmp_path / "text", 30)(["blue song", "a train"])
    torch.testing.assert_close(loaded(tmp_path / "text").text_features(*ids), larp.text_features(*ids))
    with pytest.raises(MissingPartError, match="text tower only") as raised:
        convert(tmp_path / "text.pth", tmp_path / "again")
    assert "--tokenizer" in raised.value.next_step
    assert not (tmp_path / "again").exists()


def test_the_image_is_the_papers_where_nothing_tells_its_size(state):
    del state[MASK]
    assert infer_settings({name: tuple(each.shape) for name, each in state.items()}).audio.spec_size == 256


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("way", ["torch", "old torch", "pickle"])
def test_hostile_pickles_are_refused_and_not_executed(way, state, tmp_path):
    path, mark = tmp_path / "checkpoint.pth", tmp_path / "executed"
    content = {"model": state, "config": Hostile(mark)}
    if way == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=way == "torch")
    with pytest.raises(DataError, match="nothing of it was executed") as raised:
        convert(path, tmp_path / "out")
    assert "weights_only=False" not in str(raised.value)
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(state, tmp_path):
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(DataError, match="no such checkpoint file"):
        convert(path, tmp_path / "out")
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match="nothing of it was executed"):
        convert(path, tmp_path / "out")
    torch.save({"epoch": 3}, path)
    with pytest.raises(DataError, match="no weights"):
        convert(path, tmp_path / "out")
    torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(DataError, match=r"no checkpoint of LARP; it holds 'layer\.weight'"):
        convert(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("audio_proj.weight", None, "no tensor 'audio_proj.weight'"),
        ("audio_proj.bias", None, r"lacks 1 tensors: 'audio_projection\.bias'"),
        ("audio_proj.weight", torch.zeros(7, 16), "different lengths"),
        ("audio_proj.weight", torch.zeros(6, 17), "another size"),
        ("audio_proj.weight", torch.zeros(6), "of 1 axes"),
        ("audio_encoder.patch_embed.proj.weight", torch.zeros(8, 1, 2, 2), "patches"),
        ("audio_encoder.layers.1.blocks.0.attn.qkv.weight", None, "lacks 3 tensors"),
        ("text_encoder.encoder.layer.5.output.dense.bias", torch.zeros(32), "lacks layers"),
    ],
)
def test_damaged_checkpoints_are_refused(name, tensor, message, state, tmp_path):
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    save_file(state, tmp_path / "c.safetensors")
    with pytest.raises(DataError, match=message) as raised:
        convert(tmp_path / "c.safetensors", tmp_path / "out")
    assert raised.value.where == str(tmp_path / "c.safetensors")
    assert not (tmp_path / "out").exists()


def test_an_output_in_use_is_refused(state, tmp_path):
    save_file(state, tmp_path / "c.safetensors")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    for used in (tmp_path / "out", tmp_path / "c.safetensors"):
        with pytest.raises(UsageError, match="there already"):
            convert(tmp_path / "c.safetensors", used)
    (tmp_path / "out" / "mine").unlink()
    assert convert(tmp_path / "c.safetensors", tmp_path / "out").views == ("audio",)


def test_a_conversion_that_was_killed_when_it_was_done_ends_well_again(state, tmp_path):
    save_file(state, tmp_path / "c.safetensors")
    first = convert(tmp_path / "c.safetensors", tmp_path / "out")
    assert convert(tmp_path / "c.safetensors", tmp_path / "out") == first
    (tmp_path / "out" / "card.json").write_text("{}")
    with pytest.raises(UsageError, match="there already"):
        convert(tmp_path / "c.safetensors", tmp_path / "out")
    assert (tmp_path / "out" / "card.json").read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.safetensors", "out"]


def test_another_tokenizer_is_refused(state, pieces, tmp_path):
    save_file(state, tmp_path / "c.safetensors")
    with (pieces / "vocab.txt").open("a") as stream:
        stream.write("\none\ntwo\nthree")
    with pytest.raises(DataError, match="13 tokens, the text tower 12") as raised:
        convert(tmp_path / "c.safetensors", tmp_path / "out", str(pieces))
    assert raised.value.allowed == "10 to 12"
    with pytest.raises(MissingPartError):
        convert(tmp_path / "c.safetensors", tmp_path / "out", str(tmp_path / "nowhere"))


def test_the_command(state, pieces, tmp_path):
    save_file(state, tmp_path / "c.safetensors")
    parent = typer.Typer()
    parent.add_typer(app, name="convert")
    checkpoint, output = str(tmp_path / "c.safetensors"), tmp_path / "out"
    ran = CliRunner().invoke(
        parent, ["convert", "larp", checkpoint, "--output", str(output), "--tokenizer", str(pieces)]
    )
    assert ran.exit_code == 0, ran.output
    assert f"ignored {IGNORED} tensors" in ran.output
    assert ran.output.splitlines()[-1] == f"next: larpbench run --encoders checkpoint:{output}"
    ran = CliRunner().invoke(parent, ["convert", "larp", checkpoint, "--output", str(tmp_path / "second")])
    assert "--tokenizer DIR" in ran.output
    assert ran.output.splitlines()[-1].endswith("second:audio")
    ran = CliRunner().invoke(parent, ["convert", "larp", checkpoint, "--output", str(output)])
    assert isinstance(ran.exception, UsageError)
