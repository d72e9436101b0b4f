"""Adapters of other people's encoders compute what the original code computed, and run from fetched weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from larpbench.encoders.adapters.essentia import ESSENTIA_TF
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.errors import EmbeddingError
from larpbench.testing import check_encoder, check_reference

NEEDS = {
    "essentia": "essentia",
    "mule": "mule_torch",
    "jukebox": "jukebox_infer",
    "openl3": "torchopenl3",
    "laion-clap": "transformers",
}
LEAST_NORMS_APART = 0.01


def spec_of(name):
    pytest.importorskip(NEEDS[name])
    spec = get_encoder(name)
    if spec.status().state in ("missing-package", "incompatible"):
        pytest.skip(spec.status().text)
    return spec


def by_hand(spec):
    """Put the reference's tiny checkpoint where fetched weights would lie."""
    reference = spec.reference()
    if spec.weights:
        spec.weights.folder().mkdir(parents=True)
        reference.write(spec.weights.folder())
    return reference


@pytest.mark.parametrize("name", NEEDS)
def test_as_the_original_code(name):
    """On the same weights and clips; what is allowed is 1e-4 of a vector's length."""
    stored, live = check_reference(spec_of(name))
    assert stored.outcome == "pass", stored.detail
    assert float(stored.detail.split()[2]) < 2e-5, stored.detail
    assert live.outcome == "skipped"  # it needs the real weights


@pytest.mark.parametrize("name", NEEDS)
def test_the_reference_tells_clips_apart(name):
    """Else anything would agree with it."""
    reference = get_encoder(name).reference()
    vectors = reference.expected("whole")
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[~np.eye(len(vectors), dtype=bool)]
    assert apart.min() > LEAST_NORMS_APART


@pytest.mark.parametrize("name", NEEDS)
def test_missing_then_ready_then_as_every_encoder(name, tmp_path):
    spec = spec_of(name)
    if spec.weights:
        status = spec.status()
        assert status.state == "missing-weights"
        assert status.next_step == f"larpbench fetch {name}"
        assert spec.weights.licence in status.reason
    reference = by_hand(spec)
    assert spec.status().state == "ready"
    encoder = spec.build(EncodeContext(0, tmp_path))
    batch = reference.batch(spec.card.sample_rate)
    few = TrackBatch(batch.track_ids[:2], batch.captions[:2], batch.audio[:2])
    np.testing.assert_allclose(encoder.encode(few), reference.expected("whole")[:2], rtol=1e-3, atol=1e-3)
    if name == "laion-clap":  # the others take long
        narrow = spec.card.model_copy(update={"dim": reference.expected("whole").shape[1]})
        checks = check_encoder(replace(spec, card=narrow), encoder)
        assert [each for each in checks if each.outcome == "fail"] == []


@pytest.mark.parametrize("name", NEEDS)
def test_without_audio(name, tmp_path):
    spec = spec_of(name)
    by_hand(spec)
    with pytest.raises(EmbeddingError, match="reads audio"):
        spec.build(EncodeContext(0, tmp_path)).encode(TrackBatch(np.array(["t"]), np.array(["c"], dtype=object)))


def test_the_card_of_a_verified_adapter_says_how():
    for name in (*NEEDS, "hf-audio:some/model"):
        card = get_encoder(name).card
        assert card.original
        assert card.verification
        assert not card.unverified
    assert ESSENTIA_TF.card.unverified
