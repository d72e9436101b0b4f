"""What every built-in encoder must keep to, whatever it computes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from sounds import tone

from larpbench.encoders import ENCODERS
from larpbench.encoders.base import EncodeContext, TrackBatch

NAMES = [name for name in ENCODERS.names() if name not in ("oracle", "precomputed", "same-artist")]  # these read a file
CAPTIONS = ["The track Night Train by Alpha", "Ночь 夜 by Ωmega", "x", "a much longer caption " * 20]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    return {name: ENCODERS.get(name).build(EncodeContext(3, folder)) for name in NAMES}


def batch(card, seconds=4.0, rows=(0, 1, 2, 3)):
    audio = None
    if "audio" in card.modalities:
        clips = [tone(220 * (row + 1), seconds, card.sample_rate) for row in range(4)]
        audio = np.stack([clips[row] for row in rows])
    return TrackBatch(
        np.array([f"t{row}" for row in rows]), np.array([CAPTIONS[row] for row in rows], dtype=object), audio
    )


@pytest.mark.parametrize("name", NAMES)
class TestEveryEncoder:
    def test_shape_and_dtype(self, encoders, name):
        card = ENCODERS.get(name).card
        vectors = encoders[name].encode(batch(card))
        assert vectors.shape == (4, card.dim)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert vectors.any(axis=1).all()

    def test_the_same_twice_and_one_by_one_and_in_another_order(self, encoders, name):
        card, encoder = ENCODERS.get(name).card, encoders[name]
        whole = encoder.encode(batch(card))
        np.testing.assert_array_equal(encoder.encode(batch(card)), whole)
        alone = np.concatenate([encoder.encode(batch(card, rows=(row,))) for row in range(4)])
        np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-5)
        turned = encoder.encode(batch(card, rows=(3, 1, 0, 2)))
        np.testing.assert_allclose(turned, whole[[3, 1, 0, 2]], rtol=1e-4, atol=1e-5)

    def test_silence_short_and_long_clips(self, encoders, name):
        card = ENCODERS.get(name).card
        if "audio" not in card.modalities:
            pytest.skip("hears nothing")
        for seconds in (0.3, 1.0, 12.0):
            assert np.isfinite(encoders[name].encode(batch(card, seconds))).all()
        silence = batch(card)
        silence.audio[:] = 0
        assert np.isfinite(encoders[name].encode(silence)).all()

    def test_it_changes_nothing_around_it(self, encoders, name):
        card = ENCODERS.get(name).card
        given = batch(card)
        before = None if given.audio is None else given.audio.copy()
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
        if before is not None:
            np.testing.assert_array_equal(given.audio, before)


@pytest.mark.parametrize("name", ENCODERS.names())
def test_cards_say_what_must_be_said(name):
    card = ENCODERS.get(name).card
    assert card.name == name
    assert card.licence
    assert card.weights
    assert card.tracks_per_second > 0
    assert (card.sample_rate is not None) == ("audio" in card.modalities)
    if card.weights.startswith("pretrained"):
        assert card.training_data != "none"
        assert ENCODERS.get(name).digest is not None
