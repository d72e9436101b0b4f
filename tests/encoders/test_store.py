from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from larpbench import load_dataset
from larpbench.encoders import pipeline
from larpbench.encoders import store as store_module
from larpbench.encoders.base import EncodeContext, EncoderCard, EncoderSpec
from larpbench.encoders.keys import embedding_key
from larpbench.encoders.store import EmbeddingStore
from larpbench.errors import DataError, EmbeddingError

CALLS: list[int] = []


class Counting:
    def __init__(self, fail_after: int = 10**9, shape: int = 4) -> None:
        self.fail_after, self.shape = fail_after, shape

    def encode(self, batch):
        CALLS.append(len(batch))
        if sum(CALLS) > self.fail_after:
            raise KeyboardInterrupt
        vectors = np.ones((len(batch), self.shape), dtype=np.float32)
        vectors[:, 0] = [int(track_id[1:]) for track_id in batch.track_ids]
        return vectors


def spec(modalities=(), **more):
    card = EncoderCard(
        name="counting", version=1, summary="s", modalities=modalities, dim=4, weights="none", licence="none",
        tracks_per_second=1,
    )  # fmt: skip
    return EncoderSpec(card, factory=lambda context, argument: Counting(**more))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    CALLS.clear()
    monkeypatch.setattr(store_module, "TEXT_SHARD", 32)
    monkeypatch.setattr(pipeline, "TEXT_BATCH", 8)


@pytest.fixture
def data(small):
    return load_dataset(small.folder / "small")


def test_vectors_are_computed_once_and_in_the_order_of_the_tracks(data, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    first = store.embed(spec(), data, "test", 0)
    assert sum(CALLS) == 120
    np.testing.assert_array_equal(first.vectors[:, 0], np.arange(120))
    second = store.embed(spec(), data, "test", 0)
    assert sum(CALLS) == 120
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert second.cost.wall_s == first.cost.wall_s > 0


def test_an_interrupted_encode_goes_on_at_the_next_shard(data, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    with pytest.raises(KeyboardInterrupt):
        store.embed(spec(fail_after=80), data, "test", 0)
    assert store.missing_tracks(spec(), data, data.split("test"), 0) == 120 - 64
    CALLS.clear()
    whole = store.embed(spec(), data, "test", 0)
    assert sum(CALLS) == 120 - 64
    np.testing.assert_array_equal(whole.vectors[:, 0], np.arange(120))


def test_an_edited_caption_re_encodes_text_encoders_only(data):
    edited = replace(data, tracks=data.tracks.with_columns(caption=pl.col("caption") + "!"))
    for modalities, same in (((), True), (("text",), False)):
        keys = {embedding_key(spec(modalities), each, each.split("test"), 0) for each in (data, edited)}
        assert (len(keys) == 1) is same


def test_the_key_holds_version_seed_and_train_captions(data):
    def key(seed=0, dataset=data, **changes):
        changed = replace(spec(), card=spec().card.model_copy(update=changes))
        return embedding_key(changed, dataset, dataset.split("test"), seed)

    assert key(seed=1) == key()
    assert key(version=2) != key()
    assert key(stochastic=True, seed=1) != key(stochastic=True)
    moved = replace(data, tracks=data.tracks.with_columns(split=pl.lit("train")).vstack(data.tracks))
    assert key(dataset=moved) == key()
    assert key(dataset=moved, learns="statistics") != key(learns="statistics")


def test_a_wrong_shape_is_refused_and_nothing_is_kept(data, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    with pytest.raises(EmbeddingError, match=r"float32 array of shape \(8, 5\)"):
        store.embed(spec(shape=5), data, "test", 0)
    assert not list((tmp_path / "e").rglob("*.safetensors"))


def test_a_damaged_shard_is_named(data, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    store.embed(spec(), data, "test", 0)
    shard = sorted((tmp_path / "e").rglob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(DataError, match="shard is damaged"):
        store.embed(spec(), data, "test", 0)
    shard.unlink()
    CALLS.clear()
    store.embed(spec(), data, "test", 0)
    assert sum(CALLS) == 32


def test_fit_sees_the_train_split(data, tmp_path):
    seen = []

    class Fitted(Counting):
        def fit(self, train):
            seen.append(train.name)

    fitted = replace(
        spec(), card=spec().card.model_copy(update={"learns": "statistics"}), factory=lambda c, a: Fitted()
    )
    EmbeddingStore(tmp_path / "e").embed(fitted, data, "test", 0)
    assert seen == ["train"]
    unfit = replace(fitted, factory=lambda c, a: Counting())
    with pytest.raises(EmbeddingError, match="no fit method"):
        EmbeddingStore(tmp_path / "f").embed(unfit, data, "test", 0)


def test_context_reaches_the_factory(data, tmp_path):
    seen: list[EncodeContext] = []

    def factory(context, argument):
        seen.append(context)
        return Counting()

    EmbeddingStore(tmp_path / "e").embed(replace(spec(), factory=factory), data, "test", 3)
    assert (seen[0].seed, seen[0].dataset_folder) == (3, data.folder)
