from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from larpbench import load_dataset
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.run import pipeline
from larpbench.encoders.run import store as store_module
from larpbench.encoders.run.keys import Keys
from larpbench.encoders.run.shards import Shard
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import EmbeddingError
from larpbench.runtime import Cost

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
        keys = {Keys().embedding(spec(modalities), each, each.split("test"), 0) for each in (data, edited)}
        assert (len(keys) == 1) is same


def test_the_key_holds_version_seed_and_train_captions(data):
    def key(seed=0, dataset=data, **changes):
        changed = replace(spec(), card=spec().card.model_copy(update=changes))
        return Keys().embedding(changed, dataset, dataset.split("test"), seed)

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


def whole(store, data):
    vectors = store.embed(spec(), data, "test", 0).vectors
    np.testing.assert_array_equal(vectors[:, 0], np.arange(120))
    np.testing.assert_array_equal(vectors[:, 1:], np.ones((120, 3)))


def shards_in(folder):
    return sorted(folder.rglob("*.safetensors"))


def cut(shard):
    shard.write_bytes(shard.read_bytes()[:-5])


def flip_a_vector(shard):
    data = bytearray(shard.read_bytes())
    data[-2] ^= 0x40
    shard.write_bytes(data)


def flip_a_cost(shard):
    data = shard.read_bytes()
    place = data.index(b'"wall_s":"') + len(b'"wall_s":"')
    shard.write_bytes(data[:place] + b"9" + data[place + 1 :])


def of_other_rows(shard):
    shard.write_bytes(shard.with_name("shard-000002.safetensors").read_bytes())


def of_another_type(shard):
    with safe_open(shard, framework="numpy") as archive:
        facts, vectors = archive.metadata(), archive.get_tensor("embeddings")
    save_file({"embeddings": vectors.view(np.int32)}, shard, facts)


def of_another_dimension(shard):
    with safe_open(shard, framework="numpy") as archive:
        facts, vectors = archive.metadata(), archive.get_tensor("embeddings")
    save_file({"embeddings": vectors.reshape(16, 8)}, shard, facts)


def of_an_earlier_version(shard):
    with safe_open(shard, framework="numpy") as archive:
        vectors = archive.get_tensor("embeddings")
    save_file({"embeddings": vectors + 1}, shard, {"wall_s": "1.0", "cpu_s": "1.0"})


def without_metadata(shard):
    save_file({"embeddings": np.zeros((32, 4), np.float32)}, shard)


def empty(shard):
    shard.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        *(cut, flip_a_vector, flip_a_cost, of_other_rows, of_another_type, of_another_dimension),
        *(of_an_earlier_version, without_metadata, empty),
    ],
)
def test_a_shard_that_cannot_be_trusted_is_encoded_anew_with_a_warning(data, tmp_path, capsys, damage):
    store = EmbeddingStore(tmp_path / "e")
    whole(store, data)
    damage(shards_in(tmp_path / "e")[1])
    CALLS.clear()
    capsys.readouterr()
    whole(store, data)
    assert sum(CALLS) == 32
    said = capsys.readouterr().err
    assert "warning: 1 stored shards of counting (test) cannot be trusted and are encoded anew" in said
    assert ("earlier version" in said) is (damage in (of_an_earlier_version, without_metadata))
    CALLS.clear()
    whole(store, data)
    assert not CALLS
    assert "warning" not in capsys.readouterr().err


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 10**6), change=st.integers(1, 255))
def test_no_flipped_byte_is_taken_for_vectors(tmp_path_factory, place, change):
    shard = Shard(tmp_path_factory.mktemp("shard") / "a.safetensors", "key", 4, 8)
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    shard.write(vectors, Cost(1.5, 2.5))
    data = bytearray(shard.path.read_bytes())
    data[place % len(data)] ^= change
    shard.path.write_bytes(data)
    if shard.fault() is None:  # such as a blank of the header
        found, cost = shard.read()
        np.testing.assert_array_equal(found, vectors)
        assert (cost.wall_s, cost.cpu_s) == (1.5, 2.5)


def test_a_shard_of_another_encoder_or_split_is_not_taken(data, tmp_path, capsys):
    store, other = EmbeddingStore(tmp_path / "e"), EmbeddingStore(tmp_path / "other")
    whole(store, data)
    stranger = replace(spec(), card=spec().card.model_copy(update={"version": 2}))
    other.embed(stranger, data, "test", 0)
    for mine, strange in zip(shards_in(tmp_path / "e"), shards_in(tmp_path / "other"), strict=True):
        mine.write_bytes(strange.read_bytes())
    assert store.missing_tracks(spec(), data, data.split("test"), 0) == 120
    CALLS.clear()
    whole(store, data)
    assert sum(CALLS) == 120
    assert "of other tracks or another encoder" in capsys.readouterr().err


def test_a_plan_counts_shards_of_an_earlier_version_as_missing(data, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    whole(store, data)
    of_an_earlier_version(shards_in(tmp_path / "e")[0])
    cut(shards_in(tmp_path / "e")[2])
    assert store.missing_tracks(spec(), data, data.split("test"), 0) == 64


def test_rows_that_stay_on_disk_are_checked_too(data, tmp_path, capsys):
    store = EmbeddingStore(tmp_path / "e")
    large = replace(spec(), card=spec().card.model_copy(update={"large": True}))
    store.rows(large, data, "test", 0)
    flip_a_vector(shards_in(tmp_path / "e")[3])
    rows = store.rows(large, data, "test", 0)
    np.testing.assert_array_equal(rows[np.arange(119, -1, -1)][:, 0], np.arange(119, -1, -1))
    np.testing.assert_array_equal(rows[np.arange(120)][:, 1:], np.ones((120, 3)))
    assert "encoded anew" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ids.json", "card.json"])
def test_a_folder_that_does_not_say_what_it_holds_says_it_after_a_rerun(data, tmp_path, name):
    store = EmbeddingStore(tmp_path / "e")
    with pytest.raises(KeyboardInterrupt):
        store.embed(spec(fail_after=80), data, "test", 0)
    (described,) = (tmp_path / "e").rglob(name)  # there from the start, whenever the kill comes
    text = described.read_text()
    whole(store, data)
    described.unlink()
    whole(store, data)
    assert described.read_text() == text
    assert json.loads(described.with_name("ids.json").read_text()) == data.split("test").track_ids.tolist()


def test_vectors_of_one_split_have_one_length(data, tmp_path):
    class Growing(Counting):
        def encode(self, batch):
            vectors = super().encode(batch)
            return np.hstack([vectors, vectors]) if batch.track_ids[0] >= "t00064" else vectors

    growing = replace(
        spec(), card=spec().card.model_copy(update={"dim": None}), factory=lambda context, argument: Growing()
    )
    with pytest.raises(EmbeddingError, match=r"shape \(8, 8\)"):
        EmbeddingStore(tmp_path / "e").embed(growing, data, "test", 0)


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
