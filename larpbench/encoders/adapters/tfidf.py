"""TF-IDF of the caption's character n-grams: the text baseline that needs no weights.

Hashed n-grams rather than a vocabulary, so that a word never seen in train still has coordinates; the dense vector is a
sparse random projection of them (Li, Hastie & Church 2006), which keeps inner products up to noise of 1 / sqrt(1,024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec

if TYPE_CHECKING:
    from scipy import sparse

N_GRAMS = (3, 5)
BUCKETS = 2**18
DIM = 1_024
_ENTRIES_PER_BUCKET = 8
_PROJECTION_SEED = 1


class TfidfEncoder:
    """Hashed character 3- to 5-grams, sublinear tf, idf of the train captions, projected to 1,024 numbers."""

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        self._vectorizer = HashingVectorizer(
            analyzer="char_wb", ngram_range=N_GRAMS, n_features=BUCKETS, alternate_sign=False, norm=None
        )
        self._projection = _projection()
        self._idf = np.ones(BUCKETS)

    def fit(self, train: Split) -> None:
        """Count in how many train captions each bucket occurs: idf = ln((1 + n) / (1 + df)) + 1."""
        if train.tracks.height:
            counts = self._vectorizer.transform(train.tracks["caption"].to_list())
            seen = np.bincount(counts.indices, minlength=BUCKETS)
            self._idf = np.log((1 + counts.shape[0]) / (1 + seen)) + 1

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 1024) float32; a row is zero only if its caption is empty."""
        weighted = self._vectorizer.transform(batch.captions.tolist())
        weighted.data = (1 + np.log(weighted.data)) * self._idf[weighted.indices]
        return (weighted @ self._projection).toarray().astype(np.float32)


def build_tfidf(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the TF-IDF encoder."""
    return TfidfEncoder()


def _projection() -> sparse.csr_matrix:
    """Return (2**18, 1024): 8 signs in each row, each in an eighth of the columns of its own."""
    from scipy import sparse

    generator = np.random.Generator(np.random.PCG64(_PROJECTION_SEED))
    part = DIM // _ENTRIES_PER_BUCKET
    columns = generator.integers(part, size=(BUCKETS, _ENTRIES_PER_BUCKET)) + part * np.arange(_ENTRIES_PER_BUCKET)
    signs = generator.integers(2, size=columns.shape) * 2.0 - 1.0
    offsets = np.arange(0, columns.size + 1, _ENTRIES_PER_BUCKET)
    return sparse.csr_matrix(
        (signs.ravel() / np.sqrt(_ENTRIES_PER_BUCKET), columns.ravel(), offsets), shape=(BUCKETS, DIM)
    )


TFIDF = EncoderSpec(
    EncoderCard(
        name="tfidf",
        version=1,
        summary="TF-IDF of caption character n-grams",
        modalities=("text",),
        dim=DIM,
        weights="none",
        licence="Apache-2.0",
        learns="statistics",
        parameters=0,
        citation=("li2006projections",),
        tracks_per_second=10_000,
    ),
    factory=build_tfidf,
)
