"""What every built-in encoder must keep to, whatever it computes."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from small_data import build_split_tables
from sounds import tone

from larpbench.encoders import ENCODERS, get_encoder
from larpbench.encoders.base import EncodeContext, FitContext, TrackBatch
from larpbench.encoders.checkpoints import CARD

OF_A_FILE = ("oracle", "precomputed", "checkpoint", "same-artist")
NAMES = [name for name in ENCODERS.names() if name not in OF_A_FILE]
NAMES += ["larp-untrained:tiny"]  # LARP that hears and reads by itself, for which it need not be trained
CAPTIONS = ["The track Night Train by Alpha", "Ночь 夜 by Ωmega", "x", "a much longer caption " * 20]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    made, checkpoints = {}, {}
    for name in NAMES:
        spec = get_encoder(name)
        made[name] = spec.build(EncodeContext(3, folder))
        if spec.training:
            made[name].load(trained(spec, folder, checkpoints))
    return made


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
    if settings["training"]:
        settings["training"] = {**settings["training"], "updates": 2}
    context = FitContext(
        settings=settings,
        seed=3,
        device="cpu",
        workdir=place / "work",
        start=start,
        inputs={
            name: tuple(made_up(each, len(split.track_ids)) for each in spec.training.inputs)
            for name, split in splits.items()
        },
        score=lambda vectors: 0.0,
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


def made_up(spec, n):
    """Vectors of an encoder's length; of one whose length depends on the clips, those of noise."""
    draw = np.random.default_rng(n)
    if spec.card.dim:
        return draw.normal(size=(n, spec.card.dim)).astype(np.float32)
    noise = draw.normal(scale=0.1, size=(n, 2 * spec.card.sample_rate)).astype(np.float32)
    return spec.build(EncodeContext(3, None)).encode(TrackBatch(np.arange(n), np.full(n, ""), noise))


def batch(spec, seconds=4.0, rows=(0, 1, 2, 3)):
    audio = None
    if spec.hears_audio:
        clips = [tone(220 * (row + 1), seconds, spec.card.sample_rate) for row in range(4)]
        audio = np.stack([clips[row] for row in rows])
    return TrackBatch(
        np.array([f"t{row}" for row in rows]),
        np.array([CAPTIONS[row] for row in rows], dtype=object),
        audio,
        tuple(made_up(each, 4)[list(rows)] for each in spec.inputs),
    )


@pytest.mark.parametrize("name", NAMES)
class TestEveryEncoder:
    def test_shape_and_dtype(self, encoders, name):
        spec = get_encoder(name)
        vectors = encoders[name].encode(batch(spec))
        assert vectors.shape == (4, spec.card.dim)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert vectors.any(axis=1).all()

    def test_the_same_twice_and_one_by_one_and_in_another_order(self, encoders, name):
        spec, encoder = get_encoder(name), encoders[name]
        whole = encoder.encode(batch(spec))
        np.testing.assert_array_equal(encoder.encode(batch(spec)), whole)
        alone = np.concatenate([encoder.encode(batch(spec, rows=(row,))) for row in range(4)])
        np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-5)
        turned = encoder.encode(batch(spec, rows=(3, 1, 0, 2)))
        np.testing.assert_allclose(turned, whole[[3, 1, 0, 2]], rtol=1e-4, atol=1e-5)

    def test_silence_short_and_long_clips(self, encoders, name):
        spec = get_encoder(name)
        if not spec.hears_audio:
            pytest.skip("hears nothing itself")
        for seconds in (0.3, 1.0, 12.0):
            assert np.isfinite(encoders[name].encode(batch(spec, seconds))).all()
        silence = batch(spec)
        silence.audio[:] = 0
        assert np.isfinite(encoders[name].encode(silence)).all()

    def test_it_changes_nothing_around_it(self, encoders, name):
        spec = get_encoder(name)
        given = batch(spec)
        heard = None if given.audio is None else given.audio.copy()
        inputs = [each.copy() for each in given.inputs]
        np.random.seed(5)
        random.seed(5)
        torch.manual_seed(5)
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        expected = (np.random.RandomState(5).rand(), random.Random(5).random())
        encoders[name].encode(given)
        assert (np.random.rand(), random.random()) == expected
        torch_next = torch.rand(1)
        torch.manual_seed(5)
        assert torch.equal(torch_next, torch.rand(1))
        assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
        if given.audio is not None:
            np.testing.assert_array_equal(given.audio, heard)
        for each, own in zip(given.inputs, inputs, strict=True):
            np.testing.assert_array_equal(each, own)


@pytest.mark.parametrize("name", ENCODERS.names())
def test_cards_say_what_must_be_said(name):
    spec = ENCODERS.get(name)
    card = spec.card
    assert card.name == name
    assert card.licence
    assert card.weights
    assert card.tracks_per_second > 0
    if name not in OF_A_FILE:
        assert (card.sample_rate is not None) == spec.hears_audio
    if card.weights.startswith("pretrained"):
        assert card.training_data != "none"
        assert ENCODERS.get(name).digest is not None
