"""Encoders, recommenders and tasks that are objects: the same numbers as by name, and nothing mistaken for another."""

from __future__ import annotations

import copy
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from matplotlib import image
from matplotlib.figure import Figure
from support.small_data import Tables

import larpbench
from larpbench.datasets.schema import Dataset, Interactions
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError, MissingPartError, UnknownNameError, UsageError
from larpbench.recommenders.base import Recommender
from larpbench.recommenders.itemknn import ITEMKNN
from larpbench.tasks.continuation.task import ContinuationTask


@pytest.fixture
def data(small: Tables) -> Dataset:
    return larpbench.load_dataset(small.folder / "small")


@pytest.fixture
def known(small: Tables) -> dict[str, np.ndarray]:
    with np.load(small.vectors) as stored:
        return dict(zip(stored["ids"].tolist(), stored["embeddings"].astype(np.float32), strict=True))


def card(name: str, **changes: object) -> EncoderCard:
    facts = {"version": 1, "summary": "of a test", "modalities": ("text",), "dim": None, "weights": "none"}
    return EncoderCard.model_validate({"name": name, **facts, "licence": "none", "tracks_per_second": 1.0} | changes)


def scores(results: larpbench.Results, label: str) -> list[tuple[str, float]]:
    frame = results.to_polars().filter(pl.col("encoder") == label)
    assert frame.height
    return frame.select("metric", "value", "ci_low", "ci_high", "chance", "ceiling").rows()


def test_a_program_without_standard_error_gets_the_same_numbers(data, known, monkeypatch):
    expected = scores(larpbench.evaluate({"mine": known, "plain": "random"}, data, seeds=1), "mine")
    monkeypatch.setattr(sys, "stderr", None)
    assert scores(larpbench.evaluate({"mine": known, "plain": "random"}, data, seeds=1), "mine") == expected


@pytest.fixture
def by_file(cli, small: Tables, tmp_path) -> list[tuple[str, float]]:
    """The numbers of the command line."""
    output = tmp_path / "by-file"
    ran = cli("run", "--dataset", small.folder / "small", "--encoders", f"file=precomputed:{small.vectors}", "--output",
              output)  # fmt: skip
    assert ran.code == 0, ran.err
    return scores(larpbench.load_results(output), "file")


class Captions:
    """Looks captions up, as a sentence encoder would read them."""

    def __init__(self, data: Dataset, known: dict[str, np.ndarray]) -> None:
        tracks = data.split("test").tracks
        self.known = {text: known[name] for text, name in tracks.select("caption", "track_id").iter_rows()}

    def encode(self, sentences: list[str], show_progress_bar: bool = False) -> np.ndarray:
        assert isinstance(sentences, list)
        return np.stack([self.known[each] for each in sentences])


class Annotated:
    def __init__(self, known: dict[str, np.ndarray]) -> None:
        self.known = known

    def encode(self, batch: larpbench.TrackBatch) -> np.ndarray:
        return np.stack([self.known[each] for each in batch.track_ids.tolist()]).astype(np.float64)


class WithCard:
    card = card("with-card")

    def __init__(self, known: dict[str, np.ndarray]) -> None:
        self.known = known

    def encode(self, tracks):
        return [self.known[each].tolist() for each in tracks.track_ids.tolist()]


def test_every_kind_of_object_has_the_numbers_of_the_command_line(data, known, by_file, small, tmp_path):
    import torch

    ids, array = list(known), np.stack(list(known.values()))
    pl.DataFrame({"track_id": ids, "embedding": array.tolist()}).write_parquet(tmp_path / "v.parquet")
    encoder = SimpleNamespace(encode=lambda batch: np.stack([known[each] for each in batch.track_ids.tolist()]))
    spec = EncoderSpec(card("my-spec"), factory=lambda context, argument: encoder)
    captions = Captions(data, known)
    kinds = {
        "arrays": (ids, array),
        "tensors": (ids, torch.from_numpy(array)),
        "reversed": (ids[::-1], array[::-1].astype(np.float64)),
        "mapping": known,
        "polars": pl.DataFrame({"track_id": ids, "embedding": array.tolist()}),
        "wide": pl.DataFrame({"id": ids, **{f"d{n}": array[:, n] for n in range(array.shape[1])}}),
        "path": tmp_path / "v.parquet",
        "text-path": str(small.vectors),
        "sentences": captions,
        "annotated": Annotated(known),
        "card": WithCard(known),
        "spec": spec,
        "callable": lambda texts: torch.from_numpy(captions.encode(texts)),
        "name": f"precomputed:{small.vectors}",
    }
    results = larpbench.evaluate(kinds, data, modality="text")
    for label in kinds:
        assert scores(results, label) == by_file, label
    (table,) = results
    assert {row.group for row in table.rows} == {"a"}


def test_frames_of_pandas_if_it_is_there(data, known, by_file):
    pandas = pytest.importorskip("pandas")
    ids, array = list(known), np.stack(list(known.values()))
    by_column = pandas.DataFrame({"track_id": ids, "embedding": list(array)})
    by_index = pandas.DataFrame(array, index=ids)
    results = larpbench.evaluate({"column": by_column, "index": by_index}, data)
    assert scores(results, "column") == scores(results, "index") == by_file
    assert list(results.to_pandas().columns) == results.to_polars().columns


@pytest.mark.usefixtures("with_demo")
def test_a_callable_gets_audio_at_its_rate(home):
    seen = []

    def loudness(audio: np.ndarray) -> np.ndarray:
        seen.append((audio.shape[1], audio.dtype))
        return np.stack([np.abs(audio).mean(axis=1) + 1e-3, audio.std(axis=1)], axis=1)

    results = larpbench.evaluate(loudness, "demo", modality="audio", sample_rate=8_000, limit=3)
    assert scores(results, "loudness")
    assert set(seen) == {(8_000 * 5, np.dtype(np.float32))}
    calls = len(seen)
    larpbench.evaluate({"one": loudness, "other": loudness}, "demo", modality="audio", sample_rate=8_000, limit=3)
    assert len(seen) == 3 * calls  # each is encoded once, and nothing of it is stored
    assert not list((home / "embeddings").glob("*/*/*"))


def test_an_object_is_encoded_anew_and_known_by_its_vectors(data, known, tmp_path):
    calls = []

    class Model:
        sign = 1.0

        def encode(self, batch: larpbench.TrackBatch) -> np.ndarray:
            calls.append(len(batch))
            return self.sign * np.stack([known[each] for each in batch.track_ids.tolist()])[:, :5]

    model, output = Model(), tmp_path / "r"
    first = larpbench.plan(data, encoders={"mine": model}, output=output)
    larpbench.run(first)
    again = larpbench.plan(data, encoders={"mine": Model()}, output=output)
    assert (len(calls), [each.state for each in again.cells]) == (2, ["done"])  # encoded anew; the vectors are the same
    model.sign = -1.0
    (changed,) = larpbench.plan(data, encoders={"mine": model}, output=output).cells
    assert changed.state == "missing"
    (other,) = larpbench.plan(data, encoders={"yours": Model()}, output=output).cells
    assert other.path != first.cells[0].path
    assert not [*again.store.root.glob("mine/*/*"), *again.store.root.glob("yours/*/*")]


def test_a_cache_key_stores_vectors_and_tells_them_apart(data, known, tmp_path):
    calls = []

    class Model:
        def encode(self, batch: larpbench.TrackBatch) -> np.ndarray:
            calls.append(len(batch))
            return np.stack([known[each] for each in batch.track_ids.tolist()])

    for key, encoded in (("v1", 1), ("v1", 1), ("v2", 2)):
        larpbench.evaluate(Model(), data, name="mine", cache_key=key)
        assert len(calls) == encoded


def test_the_record_names_the_object_and_no_path(data, known, tmp_path, small):
    larpbench.evaluate({"a": Annotated(known), "b": small.vectors}, data, output=tmp_path / "r")
    records = [json.loads(path.read_text()) for path in (tmp_path / "r").glob("*/*/*/*/*.json")]
    by_label = {record["cell"]["encoder"]: record for record in records}
    assert by_label["a"]["encoder"]["origin"]["distribution"] == "in memory"
    assert by_label["a"]["encoder"]["origin"]["target"].endswith(":Annotated")
    assert len(by_label["a"]["encoder"]["weights_digest"]) == 64
    assert by_label["b"]["encoder"]["identity"] == "precomputed:vectors.npz"
    assert by_label["b"]["encoder"]["label"] == "b"
    assert not [record for record in records if str(tmp_path) in json.dumps(record)]


def test_one_encoder_of_several_that_fails_is_named_and_the_others_are_there(data, known):
    class Broken:
        def encode(self, sentences):
            raise RuntimeError("no weights")

    with pytest.warns(UserWarning, match="broken: RuntimeError: no weights"):
        results = larpbench.evaluate({"broken": Broken(), "good": known}, data)
    assert [row.encoder for row in results[0].rows] == ["good"]
    with pytest.raises(EmbeddingError, match="no weights"):
        larpbench.evaluate(Broken(), data)


def test_what_is_no_encoder_is_refused_with_what_is(data, known):
    ids, array = list(known), np.stack(list(known.values()))
    nan = array.copy()
    nan[3, 0] = np.nan
    large = array.astype(np.float64)
    large[3, 0] = 1e300
    with pytest.raises(UsageError, match="is no encoder"):
        larpbench.evaluate(object(), data)
    for wrong, kind, message in (
        (Annotated, UsageError, "is a class"),
        (lambda texts: texts, UsageError, "not known"),
        ((ids[:-1], array), DataError, "119 ids for 120 vectors"),
        ((ids[:50], array[:50]), DataError, "70 of 120 tracks have no vector"),
        ((["x", "x"], array[:2]), DataError, "more than once"),
        ((ids, nan), EmbeddingError, "NaN"),
        ((ids, large), DataError, f"the vector of '{ids[3]}' holds 1e\\+300, which is too large for float32"),
        (pl.DataFrame({"id": ids, "vector": large.tolist()}), DataError, "too large for float32"),
        (SimpleNamespace(encode=lambda texts: large[: len(texts)]), EmbeddingError, "too large for float32"),
        (SimpleNamespace(encode=lambda texts: np.float64(1e300)), EmbeddingError, "too large for float32"),
        (pl.DataFrame({"name": ids}), DataError, "no column of ids"),
        (array, UsageError, "has no track ids"),
        ((ids, np.ma.masked_greater(array, 1)), DataError, "a masked array, in which numbers are missing"),
        ("missing.npz", DataError, "no file missing.npz"),
        ({"mine": "folder/missing"}, DataError, "no file folder/missing"),
        ("mine=vectors.npz", UnknownNameError, "precomputed:FILE"),
        ("tfdif", UnknownNameError, "did you mean tfidf"),
        ({"a/b": known}, UsageError, "no label"),
        ({"tfidf": known}, UsageError, "the name of another encoder"),
        (SimpleNamespace(encode=lambda texts: [None] * len(texts)), EmbeddingError, "no array of numbers"),
        (SimpleNamespace(encode=lambda texts: np.ones((1, 2))), EmbeddingError, "of shape"),
        ([known, known], UsageError, "two encoders are called"),
        ([], MissingPartError, "nothing to run"),
        (array, UsageError, "has no track ids"),
        (SimpleNamespace(encode=lambda texts: np.ones(len(texts))), EmbeddingError, r"dim\)"),
    ):
        with pytest.raises(kind, match=message):
            pytest.fail(f"{message}: {larpbench.evaluate(wrong, data)}")
    with pytest.raises(UsageError, match="one label for 2"):
        larpbench.evaluate(["tfidf", "random"], data, name="mine")
    with pytest.raises(UsageError, match="sample_rate"):
        larpbench.evaluate(lambda audio: audio, data, modality="audio")


class Backwards(Recommender):
    """The worst first."""

    name, version, summary = "backwards", 1, "of a test"

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        return -ITEMKNN.query_vectors(seeds, embeddings)

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        return ITEMKNN.item_vectors(embeddings)


def test_recommenders_and_tasks_are_objects_too(data, known, tmp_path):
    worst = Backwards()
    results = larpbench.evaluate({"mine": known}, data, recommenders=["itemknn", worst], output=tmp_path / "r")
    rows = {row.recommender: row for row in results[0].rows}
    assert rows["backwards"].records[0].recommender.origin["target"].endswith(":Backwards")
    again, other = (
        larpbench.plan(data, encoders={"mine": known}, recommenders=each, output=tmp_path / "r").cells[0]
        for each in (worst, Backwards())
    )
    assert (again.state, other.state) == ("done", "missing")
    with pytest.raises(UsageError, match="calls itself 'itemknn'"):
        larpbench.evaluate({"mine": known}, data, recommenders=copy.copy(ITEMKNN))

    class Mine(ContinuationTask):
        name = "my-task"

    results = larpbench.evaluate({"mine": known}, data, task=Mine())
    assert [table.task for table in results] == ["my-task"]


def test_a_registered_object_is_found_by_its_name(data, known):
    larpbench.register("my-model", Annotated(known))
    larpbench.register("my-model", Annotated(known))  # as when a notebook's cell is run again
    results = larpbench.evaluate(["my-model", "my-model+random"], data, seeds=1)
    assert {row.encoder for row in results[0].rows} == {"my-model", "my-model+random"}
    assert "my-model" in larpbench.list_encoders()
    larpbench.register("my-data", data)
    assert larpbench.load_dataset("my-data") is data
    with pytest.raises(UsageError, match="taken by larpbench"):
        larpbench.register("tfidf", Annotated(known))
    with pytest.raises(UsageError, match="no label"):
        larpbench.register("my:model", Annotated(known))


def test_results_in_a_notebook(data, known, tmp_path):
    generator = np.random.default_rng(1)
    noise = {name: generator.normal(size=8) for name in known}
    results = larpbench.evaluate({"<b>mine": known, "noise": noise}, data)
    assert "<b>mine" not in results._repr_html_()
    assert "&lt;b&gt;mine" in results._repr_html_()
    assert len(repr(results)) < 250
    assert all(len(repr(each)) < 150 for each in (data, results[0]))
    frame = results.to_polars()
    assert frame.schema["value"] == pl.Float64
    compared = results.compare("<b>mine", "noise")
    assert compared.lines[0].metric == results[0].columns[0]
    assert compared.lines == larpbench.compare(results.save(tmp_path / "kept"), "<b>mine", "noise").lines
    figure = results.plot("ndcg@10")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any("chance" in text for text in texts)
    with pytest.raises(UsageError, match="no table shows"):
        results.plot("nothing")
    assert larpbench.load_results(tmp_path / "kept") == results
    folder = results.folder
    with pytest.raises(UsageError, match="temporary"):
        results.save(folder)
    del results
    assert not folder.exists() or sys.implementation.name != "cpython"


def test_tables_are_printed_and_go_into_a_paper(data, known, cli, tmp_path):
    noise = {name: np.random.default_rng(len(name) + n).normal(size=8) for n, name in enumerate(known)}
    results = larpbench.evaluate({"mine": known, "noise": noise}, data, output=tmp_path / "r")
    options = ("--caption", "Scores.", "--label", "tab:main")
    assert results.to_latex("Scores.", "tab:main") == cli("table", tmp_path / "r", "--format", "latex", *options).out
    assert f"{results}\n" == f"{results[0]}\n" == cli("table", tmp_path / "r").out
    assert f"{results.compare('mine', 'noise')}\n" == cli("compare", tmp_path / "r", "mine", "noise").out
    slices = results.by("seeds", data)
    assert f"{slices[0]}\n" == cli("table", tmp_path / "r", "--by", "seeds", "--dataset", data.folder).out
    assert slices.to_latex() == slices[0].to_latex()
    assert all(len(repr(each)) < 150 for each in (slices, slices[0]))


def test_a_notebook_shows_the_figure_without_pyplot(data, known):
    figure = larpbench.evaluate({"mine": known}, data).plot()
    assert isinstance(figure, Figure)
    assert figure._repr_png_() == figure._repr_png_()
    pixels = image.imread(io.BytesIO(figure._repr_png_()), format="png")
    assert pixels.shape[1] == figure.get_figwidth() * figure.dpi
    assert len(np.unique(pixels)) > 10  # something is drawn


def test_limits_are_marked(data, known):
    (table,) = larpbench.evaluate({"mine": known}, data, limit=5)
    assert "limit=5" in table.tested


def test_a_model_that_is_a_collection_is_a_model(data, known):
    class Layers(list):
        def encode(self, batch: larpbench.TrackBatch) -> np.ndarray:
            return np.stack([known[each] for each in batch.track_ids.tolist()])

    (table,) = larpbench.evaluate(Layers(), data)
    assert [row.encoder for row in table.rows] == ["Layers"]


def test_a_task_with_recommenders_of_its_own_takes_those(data, known):
    class Own(ContinuationTask):
        name = "own-recommenders"

        def recommenders(self, names):
            assert list(names) == ["default"]
            return {"backwards": Backwards()}

    (table,) = larpbench.evaluate({"mine": known}, data, task=Own())
    assert [row.recommender for row in table.rows] == ["backwards"]
