"""Essentia: whatever the clip, either true descriptors or none."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import tone

from larpbench.encoders.adapters.essentia import without_tensorflow
from larpbench.encoders.adapters.essentia.encoder import BLOCKS, DIM, EssentiaEncoder, flatten, signed_log
from larpbench.encoders.adapters.essentia.graphs import GraphEncoder, read_graph
from larpbench.encoders.adapters.essentia.nodes import check_nodes
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError, EmbeddingError, MissingPartError, UsageError

RATE = 44_100


def varint(number):
    number &= (1 << 64) - 1
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def wire(number, value):
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def node(name, kind, *inputs, **attributes):
    content = wire(1, name.encode()) + wire(2, kind.encode())
    content += b"".join(wire(3, each.encode()) for each in inputs)
    content += b"".join(wire(5, wire(1, key.encode()) + wire(2, each)) for key, each in attributes.items())
    return wire(1, content)


def const(name, code, shape, cut=0):
    """A constant of zeros, of a type by TensorFlow's code."""
    content = bytes(int(np.prod(shape)) * {1: 4, 3: 4, 8: 8}[code] - cut)
    sizes = b"".join(wire(2, wire(1, size)) for size in shape)
    return node(name, "Const", dtype=wire(6, code), value=wire(8, wire(1, code) + wire(2, sizes) + wire(4, content)))


def batch(*clips):
    n = len(clips)
    return TrackBatch(np.arange(n).astype(str), np.full(n, "", dtype=object), np.stack(clips).astype(np.float32))


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("essentia")
    return EssentiaEncoder()


def test_the_selection():
    assert DIM == sum(block.width for block in BLOCKS) == 2_547
    assert len({block.name for block in BLOCKS}) == len(BLOCKS)
    by_part = {
        part: sum(b.width for b in BLOCKS if b.name.startswith(part)) for part in ("lowlevel", "tonal", "rhythm")
    }
    assert by_part == {"lowlevel": 1_805, "tonal": 420, "rhythm": 322}


def test_silence_has_no_descriptors_and_the_clip_beside_it_keeps_its_own(encoder):
    loud, silent = tone(220, 3.0, RATE), np.zeros(3 * RATE)
    vectors = encoder.encode(batch(silent, loud))
    assert not vectors[0].any()  # such rows are refused by the store, with the track's name
    assert vectors[1].any()
    assert np.isfinite(vectors).all()


def test_quiet_music_is_no_silence(encoder):
    """The extractor brings all clips to one loudness; a clip that it takes for silence is amplified first."""
    loud = tone(220, 3.0, RATE) + np.random.default_rng(0).normal(scale=0.05, size=3 * RATE)
    vectors = encoder.encode(batch(loud, loud * 1e-5))
    assert vectors[1].any()
    differs = np.abs(vectors[1] - vectors[0])
    assert np.median(differs) < 1e-4
    assert np.mean(differs > 0.05) < 0.01


def test_clips_that_begin_with_silence_give_the_same_numbers_twice(encoder):
    """By default the extractor puts noise of a random seed in place of silent frames."""
    clip = tone(220, 3.0, RATE)
    clip[:RATE] = 0
    first, second = encoder.encode(batch(clip, clip))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("samples", [1, 500, 2 * RATE])
def test_short_clips(encoder, samples):
    noise = np.random.default_rng(0).normal(scale=0.1, size=samples)
    if samples == 1:
        noise[:] = 0.5  # repeated, it is a constant: nothing sounds
    vector = encoder.encode(batch(noise))[0]
    assert np.isfinite(vector).all()
    assert vector.any() == (samples > 1)


def test_a_clip_with_nan(encoder):
    clip = tone(220, 3.0, RATE)
    clip[5] = np.nan
    assert np.isnan(encoder.encode(batch(clip))).all()


def test_another_version_of_essentia_is_no_silent_change():
    names = {block.name: np.zeros(block.width) for block in BLOCKS if not block.name.endswith("cov")}
    matrices = {block.name: np.ones((13, 13)) for block in BLOCKS if block.name.endswith("cov")}
    assert flatten(names | matrices).shape == (DIM,)
    with pytest.raises(EmbeddingError, match=r"no 'rhythm.bpm'"):
        flatten({name: each for name, each in (names | matrices).items() if name != "rhythm.bpm"})
    with pytest.raises(EmbeddingError, match=r"3 numbers as 'rhythm.bpm'"):
        flatten(names | matrices | {"rhythm.bpm": np.zeros(3)})


def test_signed_log_keeps_order_and_sign():
    values = np.array([-9e12, -1.0, 0.0, 1e-6, 9e12])
    logs = signed_log(values)
    assert (np.diff(logs) > 0).all()
    np.testing.assert_array_equal(np.sign(logs), np.sign(values))
    assert np.abs(logs).max() < 31


class TestGraphs:
    @pytest.fixture
    def graph(self, tmp_path):
        """A graph that gives the mean of a patch's mel bands, and its description."""
        path = tmp_path / "tiny.pb"
        path.write_bytes(mean_graph())
        outputs = [
            {"name": "model/Sigmoid", "shape": [1, 50], "output_purpose": "predictions"},
            {"name": "model/dense/BiasAdd", "shape": [1, 96], "output_purpose": "embeddings"},
        ]
        self.describe(path, "TensorflowPredictMusiCNN", outputs)
        return path

    def describe(self, path, algorithm, outputs):
        said = {"schema": {"outputs": outputs}, "inference": {"sample_rate": 16_000, "algorithm": algorithm}}
        path.with_suffix(".json").write_text(json.dumps(said))

    def test_the_card_is_what_the_description_says(self, graph):
        spec = get_encoder(f"essentia-tf:{graph}")
        card = spec.card
        assert (card.dim, card.sample_rate, card.pooling) == (96, 16_000, "mean over patches of model/dense/BiasAdd")
        before = spec.weights_digest(EncodeContext(0, graph.parent))
        graph.write_bytes(mean_graph() + b" ")
        assert spec.weights_digest(EncodeContext(0, graph.parent)) != before

    def test_it_tells_when_essentia_has_no_tensorflow(self, graph):
        pytest.importorskip("essentia")
        if without_tensorflow() is None:
            pytest.skip("essentia-tensorflow is installed")
        status = get_encoder(f"essentia-tf:{graph}").status()
        assert status.state == "incompatible"
        assert "has no TensorFlow" in status.reason
        assert "essentia-tf" in status.next_step

    def test_it_runs_the_graph(self, graph):
        pytest.importorskip("essentia")
        if without_tensorflow():
            pytest.skip(without_tensorflow())
        clips = np.random.default_rng(0).normal(scale=0.1, size=(2, 5 * 16_000)).astype(np.float32)
        found = GraphEncoder(graph, read_graph(graph)).encode(batch(*clips))
        assert found.shape == (2, 96)
        assert found.dtype == np.float32
        assert ((found > 2) & (found < 3)).all()  # log10(1 + 10,000 mel) of noise
        short = GraphEncoder(graph, read_graph(graph)).encode(batch(clips[0][:4_000]))
        assert np.isfinite(short).all()

    def test_what_is_missing(self, tmp_path, graph):
        with pytest.raises(MissingPartError, match=r"no \.pb file") as caught:
            get_encoder(f"essentia-tf:{tmp_path}/no.pb")
        assert "essentia.upf.edu" in caught.value.next_step
        graph.with_suffix(".json").unlink()
        with pytest.raises(MissingPartError, match=r"no \.json file"):
            get_encoder(f"essentia-tf:{graph}")

    def test_what_cannot_be_run(self, graph):
        self.describe(graph, "TensorflowPredict2D", [{"name": "a", "shape": [1, 2], "output_purpose": "embeddings"}])
        with pytest.raises(UsageError, match="takes no audio"):
            read_graph(graph)
        self.describe(graph, "TensorflowPredictVGGish", [{"name": "a", "shape": [1, 2]}])
        with pytest.raises(UsageError, match="0 outputs that are embeddings"):
            read_graph(graph)
        for text in ("[]", "{", '{"inference": {"algorithm": "x"}}', '{"inference": 3}'):
            graph.with_suffix(".json").write_text(text)
            with pytest.raises(DataError, match="no description"):
                read_graph(graph)


class TestNodes:
    """Of a small network: a convolution with a constant kernel and bias, and their mean."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kernel": None}, "no node 'kernel'"),
            ({"kernel": const("kernel_", 1, (3, 3, 1, 2))}, "no node 'kernel'"),
            ({"kernel": const("kernel", 3, (3, 3, 1, 2))}, "constant 'kernel' is int32, and 'conv' computes"),
            ({"bias": const("bias", 8, (2,))}, "constant 'bias' is complex64, and 'out' computes"),
            ({"kernel": const("kernel", 1, (3, 3, 1, 3), cut=24)}, "constant 'kernel' has .* not 3 x 3 x 1 x 3"),
            ({"out": None}, "no node 'out'"),
        ],
    )
    def test_a_wrong_constant_is_refused_by_name(self, tmp_path, change, message):
        path = tmp_path / "net.pb"
        parts = {
            "input": node("input", "Placeholder"),
            "kernel": const("kernel", 1, (3, 3, 1, 2)),
            "read": node("kernel/read", "Identity", "kernel"),
            "conv": node("conv", "Conv2D", "input", "kernel/read", "^input", T=wire(6, 1)),
            "bias": const("bias", 1, (2,)),
            "out": node("out", "BiasAdd", "conv:0", "bias", T=wire(6, 1)),
        }
        path.write_bytes(b"".join(parts.values()))
        check_nodes(path, "out")
        check_nodes(path, "out:0")
        path.write_bytes(b"".join(each for each in (parts | change).values() if each))
        with pytest.raises(DataError, match=message) as caught:
            check_nodes(path, "out")
        assert caught.value.where == str(path)
        assert caught.value.next_step

    @given(st.binary(max_size=60))
    def test_other_files(self, content):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.pb"
            path.write_bytes(content)
            with pytest.raises(DataError):
                check_nodes(path, "out")


def mean_graph():
    """The bytes of a frozen graph: the mean over time of patches of 187 frames of 96 bands."""
    number, whole, boolean = (wire(6, code) for code in (1, 3, 10))
    patch = wire(7, b"".join(wire(2, wire(1, size)) for size in (-1, 187, 96)))
    axis = wire(8, wire(1, 3) + wire(2, b"") + wire(4, np.array(1, dtype=np.int32).tobytes()))
    return (
        node("model/Placeholder", "Placeholder", dtype=number, shape=patch)
        + node("model/Placeholder_1", "Placeholder", dtype=boolean, shape=wire(7, b""))
        + node("axis", "Const", dtype=whole, value=axis)
        + node("model/dense/BiasAdd", "Mean", "model/Placeholder", "axis", T=number, Tidx=whole, keep_dims=wire(5, 0))
    )
