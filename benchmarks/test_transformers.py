"""HTS-AT at its true size, with random weights: what surrounds the model, and what bfloat16 brings."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from paired import paired_ratio

from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.sources.folder.build import build_folder
from larpbench.encoders.adapters.clap.encoder import ClapFrontEnd
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.reference import clips
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.towers.hub_models import Place, load_model

CLIPS = 16
IN_FILES = 64  # several batches: what runs ahead of the first cannot be hidden
RATE = 48_000
ROUNDS = 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP of the size of laion/clap-htsat-unfused, as it is before training."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    folder = tmp_path_factory.mktemp("clap")
    torch.manual_seed(0)
    ClapModel(ClapConfig()).save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return folder


def of(name: str, weights: Path) -> EncoderSpec:
    """The encoder with these weights."""
    spec = get_encoder(name)
    assert spec.weights is not None
    files = ("config.json", "model.safetensors", "preprocessor_config.json")
    return replace(spec, weights=replace(spec.weights, elsewhere=(str(weights),), required=files))


def batches() -> list[TrackBatch]:
    """All clips in batches of the pipeline."""
    audio, ids = clips(CLIPS, 10.0, RATE), np.arange(CLIPS).astype(str)
    return [TrackBatch(ids[i : i + 16], ids[i : i + 16], audio[i : i + 16]) for i in range(0, CLIPS, 16)]


@torch.inference_mode()
def bare_forward(weights: Path, dtype: torch.dtype, count: int = CLIPS) -> Callable[[], object]:
    """The model alone on spectrograms that lie ready."""
    from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor

    front_end = ClapFrontEnd(ClapFeatureExtractor.from_pretrained(weights))
    model = load_model(
        ClapAudioModelWithProjection, weights, Place("cpu", dtype), unused=("text_*", "logit_scale_*")
    ).audio_model
    mels = front_end(torch.from_numpy(clips(count, 10.0, RATE))).flatten(0, 1).to(dtype)

    @torch.inference_mode()
    def run() -> object:
        return [model(input_features=part).pooler_output for part in mels.split(8)]

    return run


def test_encode_against_the_bare_forward(weights: Path, figure: Callable[[str, str, str], None]) -> None:
    encoder = of("htsat", weights).build(EncodeContext(0, weights))
    given = batches()
    ratio = paired_ratio(bare_forward(weights, torch.float32), lambda: [encoder.encode(each) for each in given], ROUNDS)
    figure("htsat: bare forward / encode(), float32, 16 clips of 10 s", ">= 0.95", ratio)


def test_bfloat16_against_float32(weights: Path, figure: Callable[[str, str, str], None]) -> None:
    exact, rough = (of(name, weights).build(EncodeContext(0, weights)) for name in ("htsat", "htsat:bf16"))
    given = batches()
    ratio = paired_ratio(
        lambda: [exact.encode(each) for each in given], lambda: [rough.encode(each) for each in given], ROUNDS
    )
    one, other = (np.concatenate([each.encode(part) for part in given]) for each in (exact, rough))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.99
    figure("htsat: encode() in float32 / in bfloat16", ">= 3", ratio)
    figure(
        "htsat: smallest cosine of bfloat16 with float32", ">= 0.999", f"{cosine.min():.5f}", value=float(cosine.min())
    )
    forward = paired_ratio(bare_forward(weights, torch.float32), bare_forward(weights, torch.bfloat16), ROUNDS)
    figure("htsat: bare forward in float32 / in bfloat16", "none", forward)


@pytest.mark.parametrize(
    ("name", "target"), [("htsat:openvino", ">= 2"), ("htsat:bf16:openvino", "none: >= 5 with AMX")]
)
def test_openvino_against_torch(name: str, target: str, weights: Path, figure: Callable[[str, str, str], None]) -> None:
    pytest.importorskip("openvino")
    eager, compiled = (of(each, weights).build(EncodeContext(0, weights)) for each in ("htsat", name))
    given = batches()
    ratio = paired_ratio(
        lambda: [eager.encode(each) for each in given], lambda: [compiled.encode(each) for each in given], ROUNDS
    )
    one, other = (np.concatenate([each.encode(part) for part in given]) for each in (eager, compiled))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    figure(f"{name}: speed / htsat, with the front end, 16 clips of 10 s", target, ratio)
    figure(f"{name}: smallest cosine with htsat", ">= 0.9999", f"{cosine.min():.6f}", value=float(cosine.min()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["htsat", "htsat:bf16"])
def test_pipeline_against_the_bare_forward(
    name: str, weights: Path, tmp_path: Path, figure: Callable[[str, str, str], None]
) -> None:
    """Wall clock, from files to stored vectors: run it on a quiet machine."""
    (tmp_path / "audio").mkdir()
    for number, clip in enumerate(clips(IN_FILES, 10.0, RATE)):
        soundfile.write(tmp_path / "audio" / f"{number:03d}.flac", clip, RATE)
    (tmp_path / "lists").mkdir()
    names = [f"{number:03d}" for number in range(IN_FILES)]
    (tmp_path / "lists" / "all.m3u").write_text("".join(f"../audio/{each}.flac\n" for each in names))
    options = BuildOptions(name="library", source="benchmark", licence="none", train_fraction=0, min_length=2)
    data = build_folder(tmp_path / "audio", tmp_path / "lists", options, AudioPolicy(), tmp_path / "data")
    forward = bare_forward(weights, torch.bfloat16 if name.endswith("bf16") else torch.float32, IN_FILES)
    spec, ratios = of(name, weights), []
    encoder = spec.build(EncodeContext(0, weights))
    spec = replace(spec, factory=lambda context, argument: encoder)  # the start is no part of the throughput
    forward()
    for number in range(ROUNDS + 1):
        started = time.perf_counter()
        forward()
        alone = time.perf_counter() - started
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        started = time.perf_counter()
        EmbeddingStore(tmp_path / "store").embed(spec, data, "test", 0)
        if number:
            ratios.append(alone / (time.perf_counter() - started))
    shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    figure(
        f"{name}: pipeline speed / bare forward, one thread, wall clock",
        ">= 0.95",
        shown,
        value=statistics.median(ratios),
    )
