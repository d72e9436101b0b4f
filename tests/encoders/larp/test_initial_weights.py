from __future__ import annotations

import pytest
import torch
import transformers
from safetensors.torch import save_file

from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.initial_weights import load_initial, weights_digest
from larpbench.encoders.towers.settings import BertSettings, MelSettings, SwinSettings
from larpbench.encoders.towers.text_tower import TextTower
from larpbench.errors import DataError, MissingPartError
from larpbench.fingerprint import digest_file

SWIN = SwinSettings(mel=MelSettings(n_mels=16), width=8, depths=(2, 2), heads=(2, 4), window=4, spec_size=64)
BERT = BertSettings(vocabulary=50, hidden=32, layers=2, heads=4, intermediate=64, max_tokens=10, positions=40)
COMMIT = "0" * 40


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty hub cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub, name):
    """Folder of a checkpoint in the hub cache."""
    model = hub / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    folder = model / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def seeded(tower, settings, seed):
    torch.manual_seed(seed)
    made = tower(settings).eval()
    for each in made.parameters():
        each.data.normal_(std=0.2)
    return made


def clap():
    """transformers' own audio model, with statistics that differ from those of a new one."""
    torch.manual_seed(1)
    config = transformers.ClapAudioConfig(
        num_mel_bins=16, spec_size=64, window_size=4, depths=[2, 2], num_attention_heads=[2, 4], hidden_size=16,
        patch_embeds_hidden_size=8, num_hidden_layers=2,
    )  # fmt: skip
    model = transformers.ClapAudioModel(config).eval()
    model.audio_encoder.batch_norm.running_mean.normal_()
    return model


def bert():
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=40,
    )  # fmt: skip
    return transformers.BertModel(config).eval()


def as_htsat(tower):
    """The names of the published HTS-AT, query, key and value in one."""
    state = {}
    for name, values in tower.state_dict().items():
        if name.startswith("norm."):
            name = f"bn0.{name.removeprefix('norm.')}"
        name = name.removeprefix("swin.")
        for ours, theirs in (
            ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("attention.output.dense", "attn.proj"),
            ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
            ("attention.self.relative", "attn.relative"),
        ):  # fmt: skip
            name = name.replace(ours, theirs)
        block, separator, rest = name.partition(".attention.self.")
        if separator:
            part, kind = rest.split(".")
            state.setdefault(f"{block}.attn.qkv.{kind}", {})[part] = values
        else:
            state[name] = values
    return {
        name: values if isinstance(values, torch.Tensor) else torch.cat([values[p] for p in ("query", "key", "value")])
        for name, values in state.items()
    }


def mels():
    return torch.randn(3, 100, 16, generator=torch.Generator().manual_seed(0))


def ids():
    return torch.randint(50, (3, 10), generator=torch.Generator().manual_seed(0)), torch.ones(3, 10).long()


def test_random_weights_stay():
    for tower in (AudioTower(SWIN), TextTower(BERT)):
        before = {name: each.clone() for name, each in tower.state_dict().items()}
        matched = load_initial(tower, "random")
        assert matched.matched == 0
        assert matched.total > 20
        assert matched.digest is weights_digest("random") is None
        assert all(torch.equal(each, before[name]) for name, each in tower.state_dict().items())


@pytest.mark.parametrize("prefix", ["audio_model.", ""])
def test_a_clap_checkpoint_matches_whole(prefix, tmp_path):
    model = clap()
    save_file(
        {f"{prefix}{name}": each for name, each in model.state_dict().items()}
        | {"text_model.embeddings.word_embeddings.weight": torch.zeros(3, 4)},
        tmp_path / "model.safetensors",
    )
    tower = AudioTower(SWIN).eval()
    matched = load_initial(tower, str(tmp_path))
    assert matched.matched == matched.total > 50
    assert matched.digest == weights_digest(str(tmp_path)) == digest_file(tmp_path / "model.safetensors")
    with torch.inference_mode():
        expected = model(mels()[:, None]).pooler_output
        torch.testing.assert_close(tower(mels()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("prefix", "wrapper"), [("sed_model.", "state_dict"), ("", None), ("module.audio_branch.", None)]
)
def test_an_htsat_checkpoint_matches_whole(prefix, wrapper, tmp_path):
    donor = seeded(AudioTower, SWIN, 1)
    donor.norm.running_var.fill_(3)
    extra = {
        "spectrogram_extractor.stft.conv_real.weight": torch.ones(513, 1, 1024),
        "logmel_extractor.melW": torch.ones(513, 16),
        "layers.0.blocks.1.attn_mask": torch.ones(16, 16, 16),
        "tscam_conv.weight": torch.ones(5, 16, 2, 3),
        "head.weight": torch.ones(5, 5),
    }
    state = {f"{prefix}{name}": each for name, each in (as_htsat(donor) | extra).items()}
    path = tmp_path / "htsat.ckpt"
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    tower = AudioTower(SWIN).eval()
    matched = load_initial(tower, str(path))
    assert matched.matched == matched.total
    with torch.inference_mode():
        torch.testing.assert_close(tower(mels()), donor(mels()))


@pytest.mark.parametrize("layout", ["bare", "bert.", "old names", "binary"])
def test_a_bert_checkpoint_matches_whole(layout, tmp_path):
    model = bert()
    state = {name: each.contiguous() for name, each in model.state_dict().items()}
    if layout == "bert.":
        state = {f"bert.{name}": each for name, each in state.items()} | {"cls.predictions.bias": torch.zeros(50)}
    if layout == "old names":
        state = {
            f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): e
            for name, e in state.items()
        }
    if layout == "binary":
        torch.save(state, tmp_path / "pytorch_model.bin")
    else:
        save_file(state, tmp_path / "model.safetensors")
    tower = TextTower(BERT).eval()
    matched = load_initial(tower, str(tmp_path))
    assert matched.matched == matched.total > 30
    with torch.inference_mode():
        expected = model(*ids()).last_hidden_state[:, 0]
        torch.testing.assert_close(tower(*ids()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_token_types_of_bert_are_dropped(name, hub):
    save_file(bert().state_dict(), cached(hub, "google-bert/bert-base-uncased") / "model.safetensors")
    tower = TextTower(BERT)
    matched = load_initial(tower, name)
    assert matched.matched == matched.total
    assert not tower.bert.embeddings.token_type_embeddings.weight.any()


def test_absent_token_types_are_zero(tmp_path):
    state = bert().state_dict()
    del state["embeddings.token_type_embeddings.weight"]
    save_file(state, tmp_path / "model.safetensors")
    tower = TextTower(BERT)
    matched = load_initial(tower, str(tmp_path))
    assert matched.matched == matched.total - 1
    assert not tower.bert.embeddings.token_type_embeddings.weight.any()


def test_shards_are_one_checkpoint(hub):
    state, folder = bert().state_dict(), cached(hub, "someone/bert")
    names = sorted(state)
    for number, part in enumerate((names[:7], names[7:])):
        save_file({name: state[name] for name in part}, folder / f"model-0000{number + 1}-of-00002.safetensors")
    matched = load_initial(TextTower(BERT), "someone/bert")
    assert matched.matched == matched.total
    assert len(matched.digest) == 64


def test_fewer_layers_match_in_part(tmp_path):
    save_file(bert().state_dict(), tmp_path / "model.safetensors")
    matched = load_initial(TextTower(BERT.model_copy(update={"layers": 3})), str(tmp_path))
    assert 0 < matched.matched < matched.total


def test_a_checkpoint_that_matches_nothing_is_an_error(tmp_path):
    save_file(bert().state_dict(), tmp_path / "model.safetensors")
    tower = AudioTower(SWIN)
    before = {name: each.clone() for name, each in tower.state_dict().items()}
    with pytest.raises(DataError, match=r"not one tensor of the audio tower.*embeddings\.LayerNorm\.bias") as raised:
        load_initial(tower, str(tmp_path))
    assert "sed_model.patch_embed.proj.weight" in raised.value.allowed
    assert all(torch.equal(each, before[name]) for name, each in tower.state_dict().items())
    with pytest.raises(DataError, match="not one tensor of the text tower"):
        save_file(clap().state_dict(), tmp_path / "model.safetensors")
        load_initial(TextTower(BERT), str(tmp_path))


def test_a_checkpoint_of_another_size_is_an_error(tmp_path):
    save_file(bert().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"another size: 1 of \d+ .*word_embeddings\.weight is \(50, 32\) and not \(51"):
        load_initial(TextTower(BERT.model_copy(update={"vocabulary": 51})), str(tmp_path))
    save_file(clap().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="another size"):
        load_initial(AudioTower(SWIN.model_copy(update={"width": 16})), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "next_step"),
    [
        ("someone/nothing", "hf download someone/nothing"),
        ("bert-base-uncased", "hf download bert-base-uncased"),
        ("./not there", "name a folder that is there"),
        ("a/b/c", "name a folder that is there"),
    ],
)
def test_a_checkpoint_that_is_not_here(name, next_step):
    with pytest.raises(MissingPartError) as raised:
        load_initial(TextTower(BERT), name)
    assert name in raised.value.what
    assert raised.value.next_step == next_step


def test_an_empty_folder_and_a_damaged_file(tmp_path):
    with pytest.raises(MissingPartError):
        load_initial(TextTower(BERT), str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match="no readable safetensors file"):
        load_initial(TextTower(BERT), str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"no weights")
    with pytest.raises(DataError, match="nothing of it was executed"):
        load_initial(TextTower(BERT), str(tmp_path))
