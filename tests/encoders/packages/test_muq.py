"""MuQ and MusicFM: what their authors' code computes at every layer, from checkpoints that are exactly theirs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.weights_server import serving

from larpbench.checkpoint_tensors import TensorFacts, facts_of, require_tensors
from larpbench.encoders.adapters.muq.checkpoint import PREFIX, UNUSED, read_muq, read_musicfm
from larpbench.encoders.adapters.muq.encoder import Conformer
from larpbench.encoders.adapters.muq.front_end import log_mel
from larpbench.encoders.adapters.muq.model import Network, Sizes
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.layered import LayeredEncoder, SharedModel
from larpbench.encoders.layers import Readout
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError, UsageError
from larpbench.testing import check_encoder

FIXTURES = Path(__file__).parents[2] / "fixtures" / "muq"
LEARNED = 316_343_296
RATE = 24_000
FILES = {"muq": "model.safetensors", "musicfm-fma": "pretrained_fma.pt", "musicfm-msd": "pretrained_msd.pt"}
STATISTICS = {"muq": "config.json", "musicfm-fma": "fma_stats.json", "musicfm-msd": "msd_stats.json"}
TENSORS = (
    "conv.conv.1.bn1.weight",
    "conv.linear.weight",
    "conformer.embed_positions.inv_freq",
    "conformer.layer_norm.weight",
    "conformer.layers.11.conv_module.depthwise_conv.weight",
)


@pytest.fixture(scope="module", params=["muq", "musicfm-msd"])
def name(request):
    """One of each family."""
    return request.param


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    made = {}
    for each in FILES:
        made[each] = tmp_path_factory.mktemp(each)
        get_encoder(each).reference.write(made[each])
    return made


@pytest.fixture(scope="module")
def encoders(checkpoints):
    return {each: built(each, folder) for each, folder in checkpoints.items()}


@pytest.fixture
def small(checkpoints, name, tmp_path):
    """A copy that may be spoilt."""
    for path in checkpoints[name].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def built(name, folder):
    spec = get_encoder(name)
    return spec.factory(replace(EncodeContext(0, folder), weights=folder), spec.argument)


def clips(*waves):
    audio = np.stack(waves).astype(np.float32)
    return TrackBatch(np.arange(len(audio)), np.full(len(audio), "", dtype=object), audio)


def rewrite(name, folder, change):
    """Change the tensors of a checkpoint, given by their names without ``model.``."""
    path = folder / FILES[name]
    content = load_file(path) if name == "muq" else torch.load(path, weights_only=True)
    state = content if name == "muq" else content["state_dict"]
    state = {
        f"{PREFIX}{key}": each for key, each in change({k.removeprefix(PREFIX): v for k, v in state.items()}).items()
    }
    if name == "muq":
        save_file(state, path)
    else:
        torch.save(content | {"state_dict": state}, path)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", FILES)
def test_as_the_original_code_at_every_layer(checkpoints, name):
    reference = get_encoder(name).reference
    batch = reference.batch(RATE)
    folder = checkpoints[name]
    read = read_muq(folder) if name == "muq" else read_musicfm(folder / FILES[name], folder / STATISTICS[name])
    for layer in range(13) if name == "muq" else (0, 7):
        shared = SharedModel(Conformer(read, "cpu"))
        found = LayeredEncoder(name, shared, Readout(layer, layer)).encode(batch)
        expected = reference.expected(f"@{layer}")
        differences = np.abs(found - expected).max(axis=1) / np.linalg.norm(expected, axis=1)
        assert differences.max() < 5e-6, layer
        unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        assert (unit @ unit.T)[~np.eye(4, dtype=bool)].max() < 0.98, "else anything would agree with it"


def test_the_check_of_the_command_line(cli):
    done = cli("check", "musicfm-msd@6", "--golden")
    assert done.code == 0, done.err
    assert "1 pass, 1 skipped" in done.out


@pytest.mark.parametrize(("family", "tensors"), [("muq", 525), ("musicfm", 465)])
def test_the_tensors_of_the_published_checkpoints(family, tensors):
    """Those of the network by name and shape, and none that is unknown; the size of MuQ's file was compared, too."""
    listed = json.loads((FIXTURES / f"{family}.json").read_text())
    assert len(listed) == tensors
    assert all(each.startswith(PREFIX) for each in listed)
    found = {each.removeprefix(PREFIX): TensorFacts(tuple(shape)) for each, shape in listed.items()}
    with torch.device("meta"):
        network = Network(Sizes())
    require_tensors(found, facts_of(network.state_dict()), family, FIXTURES, unused=UNUSED)
    assert sum(each.numel() for each in network.parameters()) == LEARNED
    if family == "muq":
        header = {each: 4 * math.prod(shape) for each, shape in listed.items()}
        counters = sum(each.endswith("num_batches_tracked") for each in listed)
        assert sum(header.values()) + 4 * counters == 1_333_761_808  # of 1,333,825,096 bytes, header and all


class TestTensors:
    @pytest.mark.parametrize("tensor", TENSORS)
    def test_one_that_is_missing_renamed_or_of_another_kind(self, checkpoints, tmp_path, tensor):
        name = "muq" if TENSORS.index(tensor) % 2 else "musicfm-msd"  # both read by the same function

        def refused(change, *messages):
            for path in checkpoints[name].iterdir():
                (tmp_path / path.name).write_bytes(path.read_bytes())
            rewrite(name, tmp_path, change)
            with pytest.raises(DataError) as caught:
                built(name, tmp_path)
            assert FILES[name] in caught.value.where
            for message in messages:
                assert message in caught.value.what

        def without(state):
            return {key: each for key, each in state.items() if key != tensor}

        def with_(change):
            return lambda state: state | {tensor: change(state[tensor])}

        refused(lambda state: without(state) | {f"{tensor}_": state[tensor]}, f"missing: '{tensor}'", f"'{tensor}_'")
        refused(with_(lambda each: each[:-1]), f"'{tensor}'")
        refused(with_(lambda each: each.long()), f"'{tensor}'", "int64")
        refused(with_(lambda each: each.to(torch.complex64)), f"'{tensor}'", "complex64")

    def test_one_that_is_unknown(self, small, name):
        rewrite(name, small, lambda state: state | {"conformer.adapter.weight": torch.zeros(3)})
        with pytest.raises(DataError, match=r"unexpected: 'conformer\.adapter\.weight'"):
            built(name, small)

    def test_heads_and_codebooks_may_be_gone(self, small, encoders, name):
        kept = ("conv.", "conformer.layer", "conformer.embed")
        rewrite(name, small, lambda state: {key: each for key, each in state.items() if key.startswith(kept)})
        batch = get_encoder(name).reference.batch(RATE)
        np.testing.assert_array_equal(built(name, small).encode(batch), encoders[name].encode(batch))

    def test_half_precision_changes_vectors_by_its_rounding_only(self, checkpoints, encoders, tmp_path):
        for path in checkpoints["muq"].iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        rewrite("muq", tmp_path, lambda state: {key: each.bfloat16() for key, each in state.items()})
        batch = get_encoder("muq").reference.batch(RATE)
        assert cosines(built("muq", tmp_path).encode(batch), encoders["muq"].encode(batch)).min() > 0.998

    @pytest.mark.parametrize(
        ("constant", "values"),
        [
            ("conformer.embed_positions.inv_freq", torch.tensor([1.0, 0.1])),  # heads of another size would fit
            ("preprocessor_melspec_2048.mel_stft.mel_scale.fb", torch.ones(1_025, 128)),
        ],
    )
    def test_constants_of_another_design(self, checkpoints, tmp_path, constant, values):
        for path in checkpoints["musicfm-fma"].iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        rewrite("musicfm-fma", tmp_path, lambda state: state | {constant: values})
        with pytest.raises(DataError, match=f"'{constant}' has other values"):
            built("musicfm-fma", tmp_path)


def cosines(one, other):
    one, other = (np.asarray(each, dtype=np.float64) for each in (one, other))
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_nothing_of_a_file_is_executed(checkpoints, tmp_path, monkeypatch):
    """Sets and shapes, which lie beside the published weights, are let through."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / FILES["musicfm-msd"]
    content = torch.load(checkpoints["musicfm-msd"] / path.name, weights_only=True)
    assert isinstance(content["shared_params"], set)
    (tmp_path / STATISTICS["musicfm-msd"]).write_bytes(
        (checkpoints["musicfm-msd"] / STATISTICS["musicfm-msd"]).read_bytes()
    )
    torch.save(content | {"x": Evil()}, path)
    with pytest.raises(DataError, match="nothing of it was executed"):
        built("musicfm-msd", tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("mean", "deviation"), [(None, 1.0), (1.0, None), (1.0, 0), (1.0, -2.0), ("6.7", 1.0), (True, 1.0), (math.nan, 1.0)]
)
def test_statistics_that_cannot_be(small, name, mean, deviation):
    path = small / STATISTICS[name]
    facts = {"melspec_2048_mean": mean, "melspec_2048_std": deviation}
    edit(path, **({"stat": facts} if name == "muq" else facts))
    with pytest.raises(DataError, match="the spectrograms cannot be normalised: melspec_2048_mean is") as caught:
        built(name, small)
    assert caught.value.where == str(path)


def test_statistics_that_are_no_file(small, name):
    path = small / STATISTICS[name]
    for content in ("[1, 2]", "{", b"\xff"):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DataError, match="is no JSON"):
            built(name, small)
    path.unlink()
    with pytest.raises(DataError, match=f"has no {path.name}"):
        built(name, small)


def test_the_statistics_matter(small, encoders, name):
    facts = {"melspec_2048_mean": 5.0, "melspec_2048_std": 9.0}
    edit(small / STATISTICS[name], **({"stat": facts} if name == "muq" else facts))
    batch = get_encoder(name).reference.batch(RATE)
    assert cosines(built(name, small).encode(batch), encoders[name].encode(batch)).max() < 0.9999


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_rate": 50}, "label_rate is 50"),
        ({"n_mels": 64}, "n_mels is 64"),
        ({"w2v2_config": {"position_embeddings_type": "relative"}}, "position_embeddings_type is 'relative'"),
    ],
)
def test_designs_that_are_not_these(checkpoints, tmp_path, changes, message):
    for path in checkpoints["muq"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    edit(tmp_path / "config.json", **changes)
    with pytest.raises(DataError, match=f"not the design of MuQ: {message}"):
        built("muq", tmp_path)


class TestPrecision:
    def test_silence_loud_and_short_clips_give_numbers(self, encoders, name):
        encoder = encoders[name]
        loud = 1e3 * np.sin(np.arange(2 * RATE))
        vectors = encoder.encode(clips(np.zeros(2 * RATE), loud, np.sign(loud)))
        assert np.isfinite(vectors).all()
        assert np.isfinite(encoder.encode(clips(np.zeros(1)))).all()

    def test_float32_is_kept_where_the_caller_asks_for_less(self, encoders, name):
        encoder, batch = encoders[name], get_encoder(name).reference.batch(RATE)
        expected = encoder.encode(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            np.testing.assert_array_equal(encoder.encode(batch), expected)

    def test_bfloat16_would_change_the_vectors(self, checkpoints):
        """A thousand times more than float32 does, against float64."""
        audio = torch.from_numpy(get_encoder("muq").reference.batch(RATE).audio)

        def mean_states(dtype):
            read = read_muq(checkpoints["muq"])
            mel = (log_mel(audio) - read.mean) / read.deviation
            return read.network.to(dtype)(mel.to(dtype), 12)[12].double().mean(dim=1)

        with torch.inference_mode():
            exact, single, rough = map(mean_states, (torch.float64, torch.float32, torch.bfloat16))
        apart, far = (1 - cosines(each, exact).min() for each in (single, rough))
        assert apart < 1e-9
        assert far > 1e3 * max(apart, 1e-9)

    def test_bfloat16_is_refused(self, name):
        for asked in (f"{name}:bf16", f"{name}@6:bf16"):
            with pytest.raises(UsageError, match=f"{name} computes in float32 only"):
                get_encoder(asked)


def test_long_clips_are_cut_into_windows_and_short_ones_repeated(checkpoints):
    encoder = built("muq@2", checkpoints["muq"])
    random = np.random.default_rng(0)
    long = random.uniform(-0.1, 0.1, 40 * RATE)
    parts = encoder.encode(clips(long[: 30 * RATE], long[10 * RATE :]))
    np.testing.assert_allclose(encoder.encode(clips(long))[0], parts.mean(axis=0), rtol=1e-5, atol=1e-6)
    short = long[: RATE // 2]
    np.testing.assert_array_equal(encoder.encode(clips(short)), encoder.encode(clips(np.concatenate([short, short]))))


def test_frames_a_second():
    assert log_mel(torch.zeros(1, 30 * RATE)).shape == (1, 128, 3_000)
    assert log_mel(torch.zeros(2, RATE)).unique().tolist() == [-100.0]
    tone = torch.sin(2 * torch.pi * 1_000 * torch.arange(RATE) / RATE)[None]
    assert log_mel(tone)[0, :, 50].argmax() == 38  # of the HTK scale: 1,000 mel are 1,000 Hz, of 3,266 mel in 129 steps


def test_as_every_encoder(checkpoints):
    spec = get_encoder("muq@4")
    narrow = replace(spec, card=spec.card.model_copy(update={"dim": 32}))
    checks = check_encoder(narrow, built("muq@4", checkpoints["muq"]))
    assert [each for each in checks if each.outcome == "fail"] == []


class TestNames:
    def test_layers(self, name):
        default, same, other = (get_encoder(f"{name}{at}") for at in ("", "@12", "@6"))
        assert [each.identity for each in (default, same, other)] == [name, f"{name}@12", f"{name}@6"]
        assert default.card == same.card, "one key"
        with pytest.raises(UsageError, match="no layer '06'"):
            get_encoder(f"{name}@06")
        assert default.card.pooling.startswith("mean over time of hidden states 12 of 12, then over windows of 30 s")
        assert other.card.pooling.startswith("mean over time of hidden states 6 of 12")

    @pytest.mark.parametrize("rest", ["@13", "@", "@-1", "@last", "@demo", "@٣", ":6", ":tiny"])
    def test_layers_that_there_are_not(self, name, rest):
        with pytest.raises(UsageError, match=f"{name} has no layer") as caught:
            get_encoder(f"{name}{rest}")
        assert "@" in caught.value.allowed

    @pytest.mark.parametrize("name", FILES)
    def test_cards(self, cli, name):
        facts = json.loads(cli("describe", "encoder", f"{name}@6", "--json").out)
        assert (facts["dim"], facts["sample_rate"], facts["window_s"]) == (1_024, 24_000, 30.0)
        assert facts["parameters"] == (333_401_472 if name == "muq" else 328_932_480)
        assert facts["citation"][0] == ("zhu2025muq" if name == "muq" else "won2024musicfm")
        assert facts["overlaps"] == ([] if name == "musicfm-fma" else ["aotm", "lfm", "mpd"])
        assert facts["status"].startswith("missing-weights")
        assert facts["next"] == f"larpbench fetch {name}@6"
        assert "1.3 GB" in facts["weights_from"]
        assert facts["unverified"] is False
        assert facts["licence"] == ("MIT, CC-BY-NC-4.0" if name == "muq" else "MIT, MIT")


def test_what_is_fetched_must_be_what_is_known(cli, monkeypatch, checkpoints):
    """Another file of the same name at the pinned commit is refused before a byte of it is fetched."""
    with serving() as hub:
        hub.commit = get_encoder("muq").weights.pinned
        hub.models["OpenMuQ/MuQ-large-msd-iter"] = {
            path.name: path.read_bytes() for path in checkpoints["muq"].iterdir()
        }
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        done = cli("fetch", "muq@6")
        asked = [path for path, _ in hub.asked]
    assert done.code != 0
    assert "model.safetensors has changed: expected sha256 273febab2be0" in done.err
    assert [each for each in asked if "/resolve/" in each] == []
    assert any("/revision/0562a57814f6f8bbd9fdea0a25921a2fce1a841a" in each for each in asked)
