"""What tells encoders apart that are objects: names, cache keys, vectors, seeds; and what stays of them."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables

import larpbench
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError, UsageError


@pytest.fixture
def data(home) -> Dataset:
    return build_split_tables(home / "datasets" / "there")


class Model:
    """Vectors of a generator of its own, on ids; different for each sign."""

    def __init__(self, sign: int = 1, **card: object) -> None:
        self.sign = sign
        facts = {"version": 1, "summary": "of a test", "modalities": ("text",), "dim": None, "weights": "none"}
        rest = {"name": "model", "licence": "none", "tracks_per_second": 1.0}
        self.card = EncoderCard.model_validate(facts | rest | card)

    def encode(self, batch: larpbench.TrackBatch) -> np.ndarray:
        seeds = [abs(hash_of(each)) for each in batch.track_ids.tolist()]
        rows = np.stack([np.random.default_rng(each).normal(size=6) for each in seeds])
        return (rows if self.sign > 0 else -rows * np.arange(1, 7)).astype(np.float32)


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode(), "big") % 2**31


def spec(sign: int) -> EncoderSpec:
    model = Model(sign)
    return EncoderSpec(model.card, factory=lambda context, argument: model)


def scores(results: larpbench.Results) -> dict[str, list[float]]:
    frame = results.to_polars()
    return {name: frame.filter(pl.col("encoder") == name)["value"].to_list() for name in frame["encoder"].unique()}


def test_one_cache_key_for_two_objects_mixes_nothing(data):
    plain = scores(larpbench.evaluate({"a": Model(1), "b": Model(-1)}, data))
    assert plain["a"] != plain["b"]
    for one, other in ((Model(1), Model(-1)), (spec(1), spec(-1))):
        both = {"a": one, "b": other}
        assert scores(larpbench.evaluate(both, data, cache_key="v1")) == plain
        assert scores(larpbench.evaluate(both, data, cache_key="v1")) == plain


def test_an_object_runs_over_the_seeds_of_a_learned_recommender(data, tmp_path):
    output = tmp_path / "r"
    larpbench.evaluate({"mine": Model()}, data, output=output)
    learned = {"recommenders": ["itemknn", "ridge", "clcrec"], "seeds": 2, "budget": 1}
    results = larpbench.evaluate({"mine": Model()}, data, output=output, **learned)
    (table,) = results
    assert {row.recommender: row.random_seeds for row in table.rows} == {"itemknn": 1, "ridge": 2, "clcrec": 2}
    assert table.omissions.cells == 0  # the vectors are the same, whatever else is read beside them


def test_a_combination_is_scaled_on_train_tracks_at_every_level(data):
    larpbench.register("features", Model(standardised=True))
    larpbench.register("pair", larpbench.as_encoder("features+random"))
    results = larpbench.evaluate(["pair", "pair+tfidf"], data, seeds=1, similarity_by="pair")
    assert {row.encoder for row in results[0].rows} == {"pair", "pair+tfidf"}


def test_nothing_stays_of_an_object_without_a_cache_key(data):
    results = larpbench.evaluate({"mine": Model()}, data)
    folder = results.folder
    assert not [each for each in (Path(os.environ["LARPBENCH_HOME"]) / "embeddings").rglob("*") if each.is_file()]
    del results
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["a/b", "a=b", "a+b", "a:b", "x@y", "a,b", "", " x", "a\nb", "\u202eb", "all", "larp"])
def test_what_is_no_label(data, name):
    for call in (
        lambda: larpbench.evaluate({name: "random"}, data),
        lambda: larpbench.evaluate({name: Model()}, data),
        lambda: larpbench.register(name, Model()),
    ):
        with pytest.raises(UsageError, match=r"is no label|is the name of another encoder|is short for"):
            call()


@pytest.mark.parametrize("name", ["a/b", "", "a\nb"])
def test_what_is_no_name_of_an_object(data, name):
    with pytest.raises(UsageError, match="is no label"):
        larpbench.evaluate(Model(name=name), data)


def test_annotations_and_collections(data):
    model = Model()

    class Optional:
        def encode(self, batch: larpbench.TrackBatch | None = None) -> np.ndarray:
            return model.encode(batch)

    class Text:
        def encode(self, batch: "larpbench.TrackBatch | None" = None) -> np.ndarray:  # noqa: UP037
            return model.encode(batch)

    for several in ([Optional(), Text()], {Optional(), Text()}, (each for each in (Optional(), Text()))):
        found = scores(larpbench.evaluate(several, data))
        assert found["Optional"] == found["Text"]


def test_wrong_shapes_and_exits_are_named(data):
    class Leaves:
        def encode(self, sentences):
            raise SystemExit(3)

    ids = data.split("test").track_ids.tolist()
    for shape in ((len(ids),), (len(ids), 2, 1)):
        with pytest.raises(DataError, match="array of shape"):
            larpbench.evaluate((ids, np.ones(shape)), data)
    with pytest.raises(EmbeddingError, match="SystemExit"):
        larpbench.evaluate(Leaves(), data)
