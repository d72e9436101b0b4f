from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from larpbench.datasets.schema import Split
from larpbench.encoders.adapters.tfidf import DIM, TfidfEncoder
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.errors import UnknownNameError, UsageError


def batch(captions):
    return TrackBatch(np.array([f"t{i}" for i in range(len(captions))]), np.array(captions, dtype=object))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def train(captions):
    return Split("train", pl.DataFrame({"track_id": [str(i) for i in range(len(captions))], "caption": captions}), None)


def test_random_vectors_depend_on_seed_and_id_and_on_nothing_else(tmp_path):
    encoder = get_encoder("random").build(EncodeContext(7, tmp_path))
    whole = encoder.encode(batch(["x"] * 2_000))
    np.testing.assert_array_equal(whole[5:7], encoder.encode(TrackBatch(np.array(["t5", "t6"]), np.array(["", ""]))))
    other = get_encoder("random").build(EncodeContext(8, tmp_path)).encode(batch(["x"] * 2_000))
    assert abs((unit(whole) * unit(other)).sum(axis=1)).max() < 0.5
    assert abs(whole.mean()) < 0.01
    assert whole.std() == pytest.approx(1, abs=0.01)
    assert whole.dtype == np.float32


def test_tfidf_is_near_for_near_captions_and_never_zero_for_unseen_words():
    encoder = TfidfEncoder()
    encoder.fit(train(["The track Night Train by Alpha", "The track Night Boat by Beta"] * 20))
    vectors = unit(
        encoder.encode(batch(["The track Night Train by Alpha", "The track Night Trains by Alpha", "Žluťoučký 🐎 kůň"]))
    )
    assert vectors.shape == (3, DIM)
    assert vectors[0] @ vectors[1] > 0.6
    assert abs(vectors[0] @ vectors[2]) < 0.3
    alone = TfidfEncoder().encode(batch(["a", "ß", "日本"]))
    assert (np.linalg.norm(alone, axis=1) > 0).all()


def test_idf_comes_from_train_and_weighs_common_words_down():
    captions = ["The track Night by Alpha", "The track Night by Beta", "The track Boat by Alpha"]
    plain, fitted = TfidfEncoder(), TfidfEncoder()
    fitted.fit(train(["The track X by Y"] * 50))
    before, after = unit(plain.encode(batch(captions))), unit(fitted.encode(batch(captions)))
    assert after[1] @ after[2] < before[1] @ before[2]  # they share only what every caption has


def test_projection_keeps_inner_products():
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("abcdefghijklmnop"), 6)) for _ in range(40)]
    captions = [" ".join(generator.choice(words, 8)) for _ in range(60)]
    encoder = TfidfEncoder()
    counts = encoder._vectorizer.transform(captions)
    counts.data = 1 + np.log(counts.data)
    exact = unit(counts.toarray())
    found = unit(encoder.encode(batch(captions)))
    np.testing.assert_allclose(found @ found.T, exact @ exact.T, atol=6 / np.sqrt(DIM))


def test_names():
    assert get_encoder("precomputed:a/b.npz").identity == "precomputed:a/b.npz"
    with pytest.raises(UnknownNameError, match="did you mean tfidf"):
        get_encoder("tf-idf")
    with pytest.raises(UsageError, match="needs a FILE"):
        get_encoder("precomputed")
    with pytest.raises(UsageError, match="takes nothing"):
        get_encoder("random:3")


def test_same_artist_continues_with_the_artists_of_the_seeds(tmp_path):
    artists = ["Ann", " ann", "Bob", "", "", "BOB "]
    pl.DataFrame({"track_id": [f"t{i}" for i in range(6)], "artist": artists}).write_parquet(
        tmp_path / "tracks.parquet"
    )
    spec, context = get_encoder("same-artist"), EncodeContext(0, tmp_path)
    vectors = spec.build(context).encode(batch(["x"] * 6))
    assert vectors.dtype == np.float32
    assert set(np.unique(vectors)) == {-1, 1}
    products = vectors @ vectors.T / 256
    same = np.array([[a.strip().lower() == b.strip().lower() != "" or i == j for j, b in enumerate(artists)]
                     for i, a in enumerate(artists)])  # fmt: skip
    assert (products[same] == 1).all()
    assert (abs(products[~same]) < 0.3).all()
    before = spec.weights_digest(context)
    pl.DataFrame(
        {"track_id": ["t0"], "artist": [None]}, schema={"track_id": pl.String, "artist": pl.String}
    ).write_parquet(tmp_path / "tracks.parquet")
    assert spec.weights_digest(context) != before
    assert spec.build(context).encode(batch(["x"])).shape == (1, 256)
    assert spec.card.control
