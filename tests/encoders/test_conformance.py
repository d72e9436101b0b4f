"""Every built-in encoder passes the conformance tests."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from support.compiled_librosa import compile_librosa
from support.small_data import build_split_tables

from larpbench.encoders.checkpoint_folder import CARD
from larpbench.encoders.encoder import EncodeContext, FitContext
from larpbench.encoders.names import ENCODERS, get_encoder
from larpbench.tasks.validation import validation_recall
from larpbench.testing import check_encoder
from larpbench.testing.toys import toy_vectors

OF_A_FILE = (
    *("oracle", "precomputed", "checkpoint", "same-artist", "text", "hf-audio", "essentia-tf", "centred"),
    *("text-like", "audio-like", "provided", "shuffled"),
)
SLOW = ("clap-random", "essentia")  # many seconds; larpbench check takes them
NAMES = [
    name
    for name in ENCODERS.names()
    if name not in (*OF_A_FILE, *SLOW) and ENCODERS.get(name).status().state == "ready"
]
NAMES += ["larp-untrained:tiny"]  # LARP that reads audio and text itself, which needs no training


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Build an encoder; what it trains is trained once."""
    folder, checkpoints = tmp_path_factory.mktemp("context"), {}

    def build_one(spec):
        encoder = spec.build(EncodeContext(3, folder))
        if spec.training:
            encoder.load(trained(spec, folder, checkpoints))
        return encoder

    return build_one


def trained(spec, folder, checkpoints):
    """Train on a few tracks with made-up vectors in place of what it builds upon; return the folder of its weights."""
    if spec.identity in checkpoints:
        return checkpoints[spec.identity]
    start = trained(spec.training.start, folder, checkpoints) if spec.training.start else None
    place = folder / spec.identity.replace(":", "-")
    (place / "work").mkdir(parents=True)
    data = build_split_tables(place / "data")
    splits = {name: data.split(name) for name in ("train", "valid")}
    settings = dict(spec.training.settings)
    if settings.get("training"):
        settings["training"] = {**settings["training"], "updates": 1}
    context = FitContext(
        settings=settings,
        seed=3,
        device="cpu",
        workdir=place / "work",
        start=start,
        inputs={
            name: tuple(toy_vectors(each, len(split.track_ids)) for each in spec.training.inputs)
            for name, split in splits.items()
        },
        score=validation_recall(splits["valid"]),
    )
    encoder = spec.build(EncodeContext(3, folder))
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    summary = encoder.fit(*splits.values(), context)
    after = random.random(), np.random.rand(), torch.rand(1)
    torch.manual_seed(5)
    assert after == (random.Random(5).random(), np.random.RandomState(5).rand(), torch.rand(1)), "fit drew for others"
    weights = place / "weights"
    weights.mkdir()
    encoder.save(weights)
    (weights / CARD).write_text(json.dumps(summary))
    checkpoints[spec.identity] = weights
    return weights


@pytest.mark.parametrize("name", NAMES)
def test_built_in_encoders_conform(build, name):
    if name == "handcrafted":
        compile_librosa()
    spec = get_encoder(name)
    checks = check_encoder(spec, build(spec))
    assert [each for each in checks if each.outcome == "fail"] == []
    assert {each.name for each in checks if each.outcome == "pass"} > {"shape and dtype", "deterministic", "row order"}


@pytest.mark.parametrize("name", ENCODERS.names())
def test_cards_are_complete(name):
    spec = ENCODERS.get(name)
    card = spec.card
    assert card.name == name
    assert card.licence
    assert card.weights
    assert card.tracks_per_second > 0
    if name not in OF_A_FILE:
        assert (card.sample_rate is not None) == spec.reads_audio
    if card.weights.startswith("pretrained"):
        assert card.training_data != "none"
        assert spec.digest or spec.weights or spec.takes
