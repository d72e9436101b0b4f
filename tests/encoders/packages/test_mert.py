"""MERT-v1: as the paper and the configuration say, with the stored weights, and without the checkpoint's own code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from larpbench.encoders.adapters.hf_audio.mert_reference import (
    OLDER_NAMES,
    PUBLISHED,
    SIZES,
    WEIGHTS_FILE,
    all_states,
    tensor_shapes,
)
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError, UsageError
from larpbench.testing import check_encoder, check_reference

FIXTURES = Path(__file__).parents[2] / "fixtures" / "mert"
PARAMETERS = {size: get_encoder(f"mert-{size}").card.parameters for size in ("95m", "330m")}
CONVOLUTION = "encoder.pos_conv_embed.conv"


@pytest.fixture(scope="module", params=SIZES)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    made = {}
    for size in SIZES:
        made[size] = tmp_path_factory.mktemp(size)
        get_encoder(f"mert-{size}").reference.write(made[size])
    return made


@pytest.fixture
def small(checkpoints, tmp_path):
    """A copy of the smaller one that may be spoilt."""
    for path in checkpoints["95m"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def built(name, folder):
    spec = get_encoder(name)
    return spec.factory(replace(EncodeContext(0, folder), weights=folder), spec.argument)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(folder, change):
    path = folder / WEIGHTS_FILE
    torch.save(change(torch.load(path, weights_only=True)), path)


def test_the_tensors_of_the_published_checkpoints(size):
    """Names, shapes and number of parameters: those of transformers' HuBERT, and of the reference."""
    from transformers import HubertConfig, HubertModel

    fixture = json.loads((FIXTURES / f"{size}.json").read_text())
    config = PUBLISHED | SIZES[size]
    assert {name: list(shape) for name, shape in tensor_shapes(config).items()} == fixture
    assert sum(int(np.prod(shape)) for shape in fixture.values()) == PARAMETERS[size]
    with torch.device("meta"):
        state = HubertModel(HubertConfig.from_dict(config)).state_dict()
    for newer, older in OLDER_NAMES:
        state = {name.replace(newer, older): each for name, each in state.items()}
    assert {name: list(each.shape) for name, each in state.items()} == fixture


def test_every_layer_is_what_the_paper_and_the_configuration_say(size, checkpoints):
    reference = get_encoder(f"mert-{size}").reference
    batch = reference.batch(None)
    states = all_states(checkpoints[size], batch.audio)
    depth = SIZES[size]["num_hidden_layers"]
    assert states.shape == (4, depth + 1, 32)
    stored = np.stack([reference.expected(f"@{layer}") for layer in range(depth + 1)], axis=1)
    np.testing.assert_allclose(stored, states, rtol=1e-6, atol=1e-6)
    for layer in (0, 1, depth // 2, depth):
        found = built(f"mert-{size}@{layer}", checkpoints[size]).encode(batch)
        differences = np.abs(found - states[:, layer]).max(axis=1) / np.linalg.norm(states[:, layer], axis=1)
        assert differences.max() < 2e-6, layer


@pytest.mark.parametrize("name", ["mert-95m", "mert-95m@5", "mert-330m", "mert-330m@12"])
def test_against_the_stored_reference(name):
    stored, live = check_reference(get_encoder(name))
    assert (stored.outcome, live.outcome) == ("pass", "skipped")
    assert float(stored.detail.split()[2]) < 2e-6
    assert "larpbench fetch" in live.advice


def test_through_hf_audio(size, checkpoints):
    """Any such folder: the same numbers, and the comparison runs on its own weights."""
    spec = get_encoder(f"hf-audio:{checkpoints[size]}@3")
    assert (spec.card.dim, spec.card.sample_rate) == (32, 24_000)
    assert [each.outcome for each in check_reference(get_encoder(f"hf-audio:{checkpoints[size]}"))] == ["pass", "pass"]
    assert [each.outcome for each in check_reference(spec)] == ["pass", "pass"]
    batch = spec.reference.batch(None)
    one, other = spec.build(EncodeContext(0, None)), built(f"mert-{size}@3", checkpoints[size])
    np.testing.assert_array_equal(one.encode(batch), other.encode(batch))


def test_as_every_encoder(checkpoints):
    checks = check_encoder(get_encoder(f"hf-audio:{checkpoints['95m']}@7"))
    assert [each for each in checks if each.outcome == "fail"] == []


@pytest.mark.parametrize("format_", ["bin", "safetensors"])
def test_older_and_newer_names_of_the_positional_convolution(small, format_):
    batch = get_encoder("mert-95m").reference.batch(None)
    expected = built("mert-95m", small).encode(batch)
    state = torch.load(small / WEIGHTS_FILE, weights_only=True)
    assert f"{CONVOLUTION}.weight_g" in state
    for newer, older in OLDER_NAMES:
        state = {name.replace(older, newer): each for name, each in state.items()}
    if format_ == "bin":
        torch.save(state, small / WEIGHTS_FILE)
    else:
        (small / WEIGHTS_FILE).unlink()
        save_file(state, small / "model.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(built("mert-95m", small).encode(batch), expected)


@pytest.mark.parametrize("name", ["hf-audio:{}", "mert-95m"])
def test_a_positional_convolution_of_random_numbers_is_refused(small, monkeypatch, name):
    """As where the older names are not known: nothing is said to be missing."""
    from transformers import HubertModel

    load = HubertModel.from_pretrained.__func__

    def careless(cls, *given, **named):
        model, loading = load(cls, *given, **named)
        torch.nn.init.normal_(model.encoder.pos_conv_embed.conv.parametrizations.weight.original1, std=0.1)
        return model, loading

    monkeypatch.setattr(HubertModel, "from_pretrained", classmethod(careless))
    with pytest.raises(DataError, match=r"weight of 'encoder\.pos_conv_embed\.conv' is not the stored one"):
        built(name.format(small), small)


def test_a_positional_convolution_that_is_stored_twice(small):
    rewrite(small, lambda state: state | {f"{CONVOLUTION}.{OLDER_NAMES[0][0]}": state[f"{CONVOLUTION}.weight_g"] * 2})
    with pytest.raises(DataError, match="is not stored once"):
        built("mert-95m", small)


def test_half_of_a_positional_convolution(small):
    rewrite(small, lambda state: {name: each for name, each in state.items() if not name.endswith("weight_g")})
    with pytest.raises(
        DataError, match=r"missing: 'encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0'"
    ):
        built("mert-95m", small)


def test_no_code_of_the_checkpoint_runs_and_nothing_is_asked(small, monkeypatch, capfd):
    for name in ("configuration_MERT", "modeling_MERT", "feature"):
        (small / f"{name}.py").write_text("raise SystemExit('executed')")
    edit(small / "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "feature.Extractor"})
    assert "auto_map" in json.loads((small / "config.json").read_text())
    monkeypatch.setattr("builtins.input", lambda *given: pytest.fail("a question"))
    for name in (f"hf-audio:{small}", "mert-95m"):
        built(name, small).encode(get_encoder("mert-95m").reference.batch(None))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize("part", ["feature_extractor_cqt", "deepnorm"])
def test_what_hubert_has_not_is_refused(small, part):
    edit(small / "config.json", **{part: True})
    with pytest.raises(UsageError, match=f"{part} is True"):
        get_encoder(f"hf-audio:{small}")
    with pytest.raises(UsageError, match=f"{part} is True"):
        built("mert-95m", small)


def test_another_model_in_its_place(small):
    edit(small / "preprocessor_config.json", sampling_rate=16_000)
    with pytest.raises(DataError, match="16000 Hz"):
        built("mert-95m", small)
    edit(small / "config.json", num_hidden_layers=4)
    with pytest.raises(UsageError, match="no layer '7'"):
        built("mert-95m", small)


class TestNames:
    def test_layers(self):
        default, same, other = (get_encoder(name) for name in ("mert-95m", "mert-95m@7", "mert-95m@5"))
        assert [each.identity for each in (default, same, other)] == ["mert-95m", "mert-95m@7", "mert-95m@5"]
        assert default.card == same.card, "one key"
        assert default.card.pooling != other.card.pooling
        assert "7 of 12" in default.card.pooling
        assert "genre" in default.card.pooling
        assert "24 of 24" in get_encoder("mert-330m").card.pooling
        assert get_encoder("centred:mert-95m@5").identity == "centred:mert-95m@5"
        assert get_encoder("mert-95m@5+bert").identity == "mert-95m@5+bert"
        assert get_encoder("m=mert-330m@3").identity == "m"

    @pytest.mark.parametrize("name", ["mert-95m@13", "mert-95m@", "mert-95m@-1", "mert-95m@last", "mert-95m:5"])
    def test_layers_that_there_are_not(self, name):
        with pytest.raises(UsageError, match="mert-95m has no layer") as caught:
            get_encoder(name)
        assert "@" in caught.value.allowed

    def test_other_encoders_take_no_layer(self):
        with pytest.raises(UsageError, match="nothing follows an @"):
            get_encoder("clap-pt@5")

    def test_the_command_line(self, cli):
        done = cli("describe", "encoder", "mert-95m@5", "--json")
        facts = json.loads(done.out)
        assert facts["name"] == "mert-95m@5"
        assert "5 of 12" in facts["pooling"]
        assert facts["summary"].endswith("layer 5")
        assert facts["licence"].endswith("CC-BY-NC-4.0")
        assert "revision 12af15fef9d0" in facts["weights_from"]
        assert "20,000 hours" in facts["training_data"]
        assert "larpbench fetch mert-95m" in facts["next"]
        assert "mert-330m[@LAYER" in cli("list", "encoders", "--json").out


def test_the_vector_of_a_clip_does_not_depend_on_its_level(checkpoints):
    """As its feature extractor says: mean 0, variance 1."""
    batch = get_encoder("mert-95m").reference.batch(None)
    encoder = built("mert-95m", checkpoints["95m"])
    quiet = replace(batch, audio=batch.audio / 4)
    np.testing.assert_allclose(encoder.encode(quiet), encoder.encode(batch), rtol=1e-4, atol=1e-4)
