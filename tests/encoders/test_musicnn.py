from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from support.compiled_librosa import compile_librosa

from larpbench.encoders.adapters.musicnn import build_musicnn, convert, musicnn_digest, weights_path
from larpbench.encoders.adapters.musicnn.checkpoint import read_checkpoint
from larpbench.encoders.adapters.musicnn.frontend import PATCH_FRAMES, SAMPLE_RATE, log_mel, mel_filters, patches
from larpbench.encoders.adapters.musicnn.model import Musicnn, load_musicnn
from larpbench.encoders.adapters.musicnn.tags import TAGS
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.errors import DataError, EmbeddingError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "musicnn" / "mtt_parity.npz"
CONTEXT = EncodeContext(0, Path())
BUILD = {tags: partial(build_musicnn, tags) for tags in ("msd", "mtt")}
# float32 sums of up to 6,000 products: TensorFlow's order is not torch's
RELATIVE, ABSOLUTE = 1e-4, 2e-5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parity():
    with np.load(FIXTURE) as arrays:
        return {name: arrays[name] for name in arrays}


@pytest.fixture(scope="module")
def msd():
    return BUILD["msd"](CONTEXT, None)


def batch(audio):
    audio = np.atleast_2d(np.asarray(audio, dtype=np.float32))
    ids = np.array([f"t{i}" for i in range(len(audio))])
    return TrackBatch(ids, ids, audio)


def noise(n, seconds, seed=0, level=0.1):
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal((n, int(seconds * SAMPLE_RATE)))).astype(np.float32)


def features(model, x):
    with torch.inference_mode():
        out = model(torch.from_numpy(x))
    names = {"penultimate": out.penultimate, "mean_pool": out.mean_pool, "max_pool": out.max_pool}
    return {name: values.numpy() for name, values in {"tags": out.logits.sigmoid(), **names}.items()}


def test_mtt_equals_tensorflow(parity):
    found = features(load_musicnn(weights_path("mtt")), parity["x"])
    for name, values in found.items():
        np.testing.assert_allclose(values, parity[name], rtol=RELATIVE, atol=ABSOLUTE, err_msg=name)


@pytest.mark.parametrize("name", TAGS)
def test_equals_the_published_architecture_written_out_in_numpy(name, parity):
    model = load_musicnn(weights_path(name))
    found = features(model, parity["x"][1:2])
    expected = written_out({key: value.numpy() for key, value in model.state_dict().items()}, parity["x"][1])
    for key, values in found.items():
        np.testing.assert_allclose(values[0], expected[key], rtol=RELATIVE, atol=ABSOLUTE, err_msg=key)
    assert ((found["tags"] > 0) & (found["tags"] < 1)).all()


def written_out(weights, x):
    """The forward pass of one patch (187, 96) in float64, as the TensorFlow code describes it."""
    weights = {name: values.astype(np.float64) for name, values in weights.items()}

    def norm(y, layer):
        y = (y - weights[f"{layer}.running_mean"]) / np.sqrt(weights[f"{layer}.running_var"] + 1e-3)
        return y * weights[f"{layer}.weight"] + weights[f"{layer}.bias"]

    def front(number, before, after):
        kernel = weights[f"front.{number}.conv.weight"][:, 0]
        windows = sliding_window_view(np.pad(inputs, ((before, after), (0, 0))), kernel.shape[1:])
        y = np.tensordot(windows, kernel, ([2, 3], [1, 2])) + weights[f"front.{number}.conv.bias"]
        return norm(np.maximum(y, 0), f"front.{number}.norm").max(axis=1)

    def middle(number, y):
        kernel = weights[f"mid.{number}.conv.weight"]
        windows = sliding_window_view(np.pad(y, ((3, 3), (0, 0))), 7, axis=0)
        y = np.tensordot(windows, kernel, ([1, 2], [1, 2])) + weights[f"mid.{number}.conv.bias"]
        return norm(np.maximum(y, 0), f"mid.{number}.norm")

    inputs = norm(x.astype(np.float64), "input_norm")
    start = np.concatenate([front(0, 3, 3), front(1, 3, 3), front(2, 63, 64), front(3, 31, 32), front(4, 15, 16)], 1)
    first = middle(0, start)
    second = middle(1, first) + first
    third = middle(2, second) + second
    dense = np.concatenate([start, first, second, third], axis=1)
    max_pool, mean_pool = dense.max(axis=0), dense.mean(axis=0)
    pooled = norm(np.stack([max_pool, mean_pool], axis=1).ravel(), "pool_norm")
    hidden = np.maximum(weights["dense.weight"] @ pooled + weights["dense.bias"], 0)
    penultimate = norm(hidden, "dense_norm")
    logits = weights["tags.weight"] @ penultimate + weights["tags.bias"]
    tags = 1 / (1 + np.exp(-logits))
    return {"tags": tags, "penultimate": penultimate, "mean_pool": mean_pool, "max_pool": max_pool}


def test_spectrogram_equals_librosa():
    librosa = pytest.importorskip("librosa")
    compile_librosa()
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=512, n_mels=96)
    np.testing.assert_allclose(mel_filters(), filters, atol=1e-8)
    for audio in (noise(1, 2)[0], noise(1, 0.04)[0], noise(1, 1, level=10)[0]):  # the last overflows float16
        mel = librosa.feature.melspectrogram(y=audio, sr=SAMPLE_RATE, n_fft=512, hop_length=256, n_mels=96).T
        np.testing.assert_allclose(
            log_mel(torch.from_numpy(audio[None]))[0], np.log10(1 + 10_000 * mel), rtol=1e-4, atol=1e-5
        )


def test_a_tone_lies_in_its_band():
    seconds = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    for hz in (220.0, 1_000.0, 5_000.0):
        tone = torch.from_numpy(np.sin(2 * np.pi * hz * seconds, dtype=np.float32))
        band = int(log_mel(tone[None])[0].mean(0).argmax())
        covered = np.flatnonzero(mel_filters()[band]) * SAMPLE_RATE / 512
        assert covered[0] - 32 <= hz <= covered[-1] + 32


@pytest.mark.parametrize(
    ("frames", "starts"),
    [
        (1, [0]),
        (100, [0]),
        (187, [0]),
        (187 + 93, [0]),
        (187 + 94, [0, 94]),
        (313, [0, 126]),
        (626, [0, 187, 374]),
        (1_876, [187 * i for i in range(10)]),
    ],
)
def test_patches(frames, starts):
    mel = torch.arange(frames, dtype=torch.float32)[None, :, None].expand(2, -1, 96)
    cut = patches(mel)
    assert cut.shape == (2, len(starts), PATCH_FRAMES, 96)
    assert cut[1, :, 0, 0].tolist() == starts
    if frames < PATCH_FRAMES:
        assert cut[0, 0, :, 5].tolist() == [i % frames for i in range(PATCH_FRAMES)]


def test_long_clips_are_transformed_in_blocks(monkeypatch):
    audio = torch.from_numpy(noise(2, 1))
    whole = log_mel(audio)
    monkeypatch.setattr("larpbench.encoders.adapters.musicnn.frontend._FRAMES_AT_ONCE", 8)
    torch.testing.assert_close(log_mel(audio), whole, rtol=1e-5, atol=1e-6)


def test_vectors_do_not_depend_on_the_batch(msd):
    audio = noise(3, 5)
    whole = msd.encode(batch(audio))
    assert whole.shape == (3, 200)
    assert whole.dtype == np.float32
    for row in range(3):
        np.testing.assert_allclose(msd.encode(batch(audio[row]))[0], whole[row], atol=1e-5)
    np.testing.assert_array_equal(msd.encode(batch(audio)), whole)


def test_the_vector_is_the_mean_over_patches(msd):
    audio = noise(1, 10)
    cut = patches(log_mel(torch.from_numpy(audio)))[0].numpy()
    assert len(cut) == 3
    expected = features(load_musicnn(weights_path("msd")), cut)["penultimate"].mean(axis=0)
    np.testing.assert_allclose(msd.encode(batch(audio))[0], expected, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 255, 4_800, 47_615])
def test_short_silent_and_loud_clips_are_finite(msd, samples):
    clips = np.concatenate([noise(1, 3)[:, :samples], np.zeros((1, samples)), np.ones((1, samples))])
    vectors = msd.encode(batch(clips))
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) > 0).all()


def test_read_only_and_strided_audio(msd):
    audio = noise(2, 1)
    expected = msd.encode(batch(audio))
    given = replace(batch(audio), audio=np.asfortranarray(audio))
    given.audio.setflags(write=False)
    np.testing.assert_allclose(msd.encode(given), expected, atol=1e-5)


def test_no_clips_and_no_audio(msd):
    assert msd.encode(batch(np.empty((0, 16_000)))).shape == (0, 200)
    with pytest.raises(EmbeddingError):
        msd.encode(TrackBatch(np.array(["a"]), np.array(["a"])))


def test_the_two_sets_of_weights_differ_and_know_tones_from_noise():
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    chords = [
        sum(0.1 * np.sin(2 * np.pi * hz * (1 + detune) * seconds) for hz in (220, 277, 330)) for detune in (0, 0.001)
    ]
    clips = batch([*chords, noise(1, 3)[0]])
    first, second = (build(CONTEXT, None).encode(clips) for build in BUILD.values())
    assert np.abs(first - second).max() > 0.1
    for vectors in (first, second):
        assert np.linalg.norm(vectors[0] - vectors[1]) < 0.5 * np.linalg.norm(vectors[0] - vectors[2])


def test_it_can_be_fine_tuned():
    torch.manual_seed(0)
    model = Musicnn().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, wanted = torch.rand(4, 64, 96), (torch.rand(4, 50) > 0.8).float()
    losses = []
    for _ in range(5):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x).logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert losses[-1] < losses[0]


def test_bundled_files():
    assert musicnn_digest("msd", CONTEXT, None) == "579e3a8f70f541610881faaf29dedd58ced9d60c5e7a82078d11fae849c22be6"
    assert musicnn_digest("mtt", CONTEXT, None) == "51f11c49378dc2e78974b6b43dada3784133d17f6bc4f20e768f281be7e30f72"
    assert "Universitat Pompeu Fabra" in weights_path("msd").with_name("NOTICE").read_text(encoding="utf-8")
    page = (Path(__file__).parents[2] / "docs" / "encoders" / "musicnn.md").read_text(encoding="utf-8")
    for digest in (musicnn_digest("msd", CONTEXT, None), musicnn_digest("mtt", CONTEXT, None), convert.WHEEL_SHA256):
        assert digest in page
    assert [len(set(tags)) for tags in TAGS.values()] == [50, 50]
    assert list(inspect.signature(BUILD["msd"]).parameters) == ["context", "argument"]


def test_conversion_is_the_inverse_of_the_bundled_weights():
    expected = load_musicnn(weights_path("mtt")).state_dict()
    variables = as_in_tensorflow({name: values.numpy() for name, values in expected.items()})
    found = convert.network_of(variables).state_dict()
    for name, values in expected.items():
        assert torch.equal(found[name], values), name


def test_another_wheel_is_refused(tmp_path, capsys):
    wheel = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"not it")
    assert convert.main([str(wheel), "--output", str(tmp_path / "out")]) == 2
    assert convert.WHEEL_SHA256 in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def as_in_tensorflow(state):
    """The variables that TensorFlow would have."""
    blocks = [f"front.{i}" for i in range(5)] + [f"mid.{i}" for i in range(3)]
    names = {"input_norm": "batch_normalization", "dense": "dense", "tags": "dense_1"}
    for number, block in enumerate(blocks):
        names |= {f"{block}.conv": "conv2d" if number == 0 else f"conv2d_{number}"}
        names |= {f"{block}.norm": f"batch_normalization_{number + 1}"}
    names |= {"pool_norm": "batch_normalization_9", "dense_norm": "batch_normalization_10"}
    variables = {}
    for layer, scope in names.items():
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        if weight.ndim == 1:
            moving = {"moving_mean": state[f"{layer}.running_mean"], "moving_variance": state[f"{layer}.running_var"]}
            parts = {"gamma": weight, "beta": bias, **moving}
        else:
            kernel = np.moveaxis(weight, [0, 1], [-1, -2])
            parts = {"kernel": kernel[:, None].swapaxes(1, 2) if weight.ndim == 3 else kernel, "bias": bias}
        variables |= {f"{scope}/{name}": values for name, values in parts.items()}
    return variables


def test_reads_checkpoints():
    tensors = {
        "conv/bias": np.arange(3, dtype="<f4"),
        "conv/kernel": np.arange(24, dtype="<f4").reshape(2, 3, 4),
        "step": np.array(300, dtype="<i8"),
    }
    index, data = written_checkpoint(tensors)
    found = read_checkpoint(index, data)
    assert list(found) == list(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


@pytest.mark.parametrize("fault", ["no index", "cut index", "cut data", "compressed"])
def test_damaged_checkpoints_are_refused(fault):
    index, data = written_checkpoint({"a": np.arange(5, dtype="<f4")})
    if fault == "no index":
        index = b"x" * 100
    elif fault == "cut index":
        index = index[:-1]
    elif fault == "cut data":
        data = data[:-1]
    else:
        index = index.replace(b"\x00crc.", b"\x01crc.")
    with pytest.raises(DataError):
        read_checkpoint(index, data)


def written_checkpoint(tensors):
    """A checkpoint as TensorFlow writes it, two entries a block, checksums left out."""

    def varint(number):
        low, rest = number & 127, number >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    def block(entries):
        body, before = b"", b""
        for key, value in entries:
            shared = next(
                (i for i, pair in enumerate(zip(key, before, strict=False)) if pair[0] != pair[1]),
                min(len(key), len(before)),
            )
            body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        return body + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")

    def add(entries):
        nonlocal index
        content = block(entries)
        handle = varint(len(index)) + varint(len(content))
        index += content + b"\x00crc."
        return handle

    index, data = b"", b""
    entries = [(b"", b"\x08\x01\x1a\x02\x08\x01")]
    for name, values in tensors.items():
        axes = b"".join(b"\x12" + varint(len(b"\x08" + varint(n))) + b"\x08" + varint(n) for n in values.shape)
        dtype = {"<f4": 1, "<i8": 9}[values.dtype.str]
        place = (b"\x20" + varint(len(data)) if data else b"") + b"\x28" + varint(values.nbytes) + b"\x35" + b"crc."
        entries.append((name.encode(), b"\x08" + varint(dtype) + b"\x12" + varint(len(axes)) + axes + place))
        data += values.tobytes()
    handles = [(entries[i : i + 2][-1][0], add(entries[i : i + 2])) for i in range(0, len(entries), 2)]
    meta, root = add([]), add(handles)
    return index + (meta + root).ljust(40, b"\x00") + bytes.fromhex("57fb808b247547db"), data
