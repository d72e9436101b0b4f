"""Towers run by OpenVINO: the vectors of torch within float32, chosen by name or by ``--backend``."""

from __future__ import annotations

import importlib
import socket

import numpy as np
import pytest
import torch
from support.resuming import heard_data

import larpbench
from larpbench.benchmark.config import read_config
from larpbench.encoders import precision
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.reference import clips
from larpbench.errors import MissingPartError, UsageError
from larpbench.testing import check_reference
from larpbench.testing.references import build_on

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("clap")
    get_encoder("htsat").reference.write(made)
    return made


@pytest.fixture(scope="module")
def ours(folder):
    """The encoder in float32, built without the network."""

    def refuse(*arguments, **options):
        raise AssertionError("OpenVINO wanted the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        built = build_on(get_encoder("htsat:openvino"), folder)
        built.encode(batch(1))
        return built


def batch(n):
    return TrackBatch(np.array([f"t{row}" for row in range(n)]), np.full(n, "x", dtype=object), clips(n, 4.0, 48_000))


@pytest.mark.parametrize("name", ["laion-clap:openvino"])
def test_as_the_original_code(name):
    stored, _ = check_reference(get_encoder(name))
    assert stored.outcome == "pass", stored.detail


def test_vectors_are_those_of_torch_and_do_not_depend_on_the_batch(folder, ours):
    torch_s = build_on(get_encoder("htsat"), folder)
    given = batch(9)  # more than fit into one call
    one, other = torch_s.encode(given), ours.encode(given)
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.9999
    alone = TrackBatch(given.track_ids[8:], given.captions[8:], given.audio[8:])
    np.testing.assert_array_equal(ours.encode(alone)[0], other[8])
    np.testing.assert_array_equal(ours.encode(given), other)
    converter = importlib.import_module("openvino.tools.ovc.convert_impl")
    assert converter.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


def test_bfloat16_is_computed_in_it_where_the_processor_can(folder, ours):
    if not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("no bfloat16 here")
    rough = build_on(get_encoder("htsat:bf16:openvino"), folder)
    given = batch(2)
    one, other = ours.encode(given), rough.encode(given)
    assert not np.array_equal(one, other)
    assert ((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)).min() > 0.9


def test_names(monkeypatch):
    assert precision.named_for("htsat", "openvino") == "htsat:openvino"
    assert precision.named_for("htsat:bf16", "openvino") == "htsat:bf16:openvino"
    assert precision.named_for("clap-pt:audio", "torch") == "clap-pt:audio"
    for without in ("tfidf", "clap-pt:text", "htsat:openvino", "all", "no-such-encoder", "random"):
        assert precision.named_for(without, "openvino") == without
    for whole, expected in {
        "htsat+tfidf": "htsat:openvino+tfidf",
        "tfidf+0.5*htsat": "tfidf+0.5*htsat:openvino",
        "htsat+clap-pt:audio": "htsat:openvino+clap-pt:audio:openvino",
        "both=htsat:bf16+tfidf": "both=htsat:bf16:openvino+tfidf",
        "centred:htsat": "centred:htsat:openvino",
        "2*centred:(htsat+tfidf)+clap-pt:audio": "2*centred:(htsat:openvino+tfidf)+clap-pt:audio:openvino",
        "precomputed:a+b.npz": "precomputed:a+b.npz",
        "mine=precomputed:vectors.npz#x": "mine=precomputed:vectors.npz#x",
        "text:maker/of-models": "text:maker/of-models",
        "hf-audio:maker/of-models+htsat": "hf-audio:maker/of-models+htsat:openvino",
        "htsat+": "htsat+",
    }.items():
        assert precision.named_for(whole, "openvino") == expected
    with pytest.raises(UsageError, match="no backend 'onnx'"):
        precision.named_for("htsat", "onnx")
    spec = get_encoder("htsat:openvino")
    assert spec.identity == "htsat:openvino"
    assert "OpenVINO" in spec.card.weights
    with pytest.raises(UsageError, match="has no variant"):
        get_encoder("htsat:openvino:bf16")


def test_without_the_package_the_status_says_what_to_install(monkeypatch):
    monkeypatch.setattr("larpbench.packages.importable", lambda name: name != "openvino")
    assert get_encoder("htsat").status().state == "missing-weights"
    assert get_encoder("mine=htsat").status().next_step == "larpbench fetch htsat"
    status = get_encoder("htsat:openvino").status()
    assert (status.state, status.next_step) == ("missing-package", "pip install 'larpbench[openvino]'")


def test_the_backend_reaches_what_all_stands_for_and_the_second_encoder(tmp_path):
    """Without weights nothing of it runs; the plan says by which name it would."""
    data = heard_data(tmp_path)
    planned = larpbench.plan(data, encoders=["all"], backend="openvino", output=tmp_path / "r")
    named = {each.cell.encoder for each in planned.cells} | {each.name for each in planned.unavailable}
    assert {"htsat:openvino", "laion-clap:openvino", "tfidf"} <= named
    assert not {"htsat", "laion-clap"} & named
    with pytest.raises(MissingPartError, match="htsat:openvino"):
        larpbench.plan(data, encoders="tfidf", similarity_by="htsat", backend="openvino", output=tmp_path / "r")
    with pytest.raises(UsageError, match="no backend 'onnx'"):
        larpbench.plan(data, encoders="tfidf", backend="onnx", output=tmp_path / "r")


def test_the_backend_of_a_file_and_of_the_command_line(cli, tmp_path):
    (tmp_path / "bench.toml").write_text('encoders = ["htsat", "tfidf"]\nbackend = "openvino"\n')
    assert read_config(tmp_path / "bench.toml").encoder_names == ["htsat:openvino", "tfidf"]
    wrong = cli("plan", "--encoders", "tfidf", "--backend", "onnx")
    assert wrong.code == 2
    assert "torch or openvino" in wrong.err
    refused = cli("encode", "--encoder", "htsat", "--backend", "onnx")
    assert refused.code == 2
    assert "torch, openvino" in refused.err
