"""Layers of a model: names, one pass for all of them, the best on valid, and the command that compares them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from support.resuming import heard_data

import larpbench
from larpbench import load_dataset
from larpbench.benchmark.layers import compare_layers
from larpbench.benchmark.run import run
from larpbench.encoders.adapters.hf_audio.reference import HUBERT
from larpbench.encoders.adapters.text.encoder import TextModel
from larpbench.encoders.adapters.text.sentences import EMBEDDINGGEMMA
from larpbench.encoders.layers import every_layer
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import pipeline
from larpbench.encoders.run.keys import Keys
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.together import Need, encode_together
from larpbench.encoders.towers.hub_audio import HubModel
from larpbench.errors import DataError, UsageError
from larpbench.results.store import read_record

LAYERS = 4  # 0 to 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny-hubert"
    HUBERT.write(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text model with dense layers behind its last layer."""
    folder = tmp_path_factory.mktemp("weights") / "tiny-gemma"
    EMBEDDINGGEMMA.write(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return heard_data(tmp_path_factory.mktemp("heard"))


@pytest.fixture
def model(checkpoint):
    return f"hf-audio:{checkpoint}"


@pytest.fixture
def passes(monkeypatch):
    """How many clips went through the model, and how often it was loaded."""
    monkeypatch.setattr(pipeline, "cores", lambda: 1)
    count: Counter[str] = Counter()
    states, loaded = HubModel.states, HubModel.__init__

    def counted(self, *arguments):
        count["clips"] += 1
        return states(self, *arguments)

    def counted_loading(self, *arguments):
        count["loaded"] += 1
        loaded(self, *arguments)

    monkeypatch.setattr(HubModel, "states", counted)
    monkeypatch.setattr(HubModel, "__init__", counted_loading)
    return count


def vectors(name, data, root, split="test"):
    return EmbeddingStore(root).embed(get_encoder(name), data, split, 0).vectors


def test_all_layers_come_from_one_pass_with_the_vectors_and_keys_of_each_alone(model, data, passes, tmp_path):
    names = every_layer(f"{model}@all")
    assert names == [f"{model}@{layer}" for layer in range(LAYERS)]
    specs = [get_encoder(name) for name in names]
    store = EmbeddingStore(tmp_path / "together")
    encode_together(store, [Need(spec, data, "test", 0) for spec in specs])
    assert passes == {"clips": len(data.split("test").track_ids), "loaded": 1}
    for number, (name, spec) in enumerate(zip(names, specs, strict=True)):
        assert store.missing_tracks(spec, data, data.split("test"), 0) == 0
        alone = vectors(name, data, tmp_path / str(number))
        np.testing.assert_array_equal(store.embed(spec, data, "test", 0).vectors, alone)
    last = store.keys.embedding(get_encoder(model), data, data.split("test"), 0)
    assert last == store.keys.embedding(specs[-1], data, data.split("test"), 0), "the default is the last layer"
    shares = [store.embed(spec, data, "test", 0).cost.wall_s for spec in specs]
    assert max(shares) < 1.5 * min(shares)


def test_means_ranges_and_poolings(model, data, tmp_path):
    layers = [vectors(f"{model}@{layer}", data, tmp_path / "e") for layer in range(LAYERS)]
    for name, among in (("mean", range(4)), ("0-3", range(4)), ("1-2", (1, 2)), ("2-2", (2,))):
        found = vectors(f"{model}@{name}", data, tmp_path / "e")
        np.testing.assert_allclose(found, np.mean([layers[each] for each in among], axis=0), atol=1e-6)
    cards = [get_encoder(f"{model}@{name}").card for name in ("mean", "0-3", "2-2", "2", "2:pool=mean")]
    assert cards[0] == cards[1]
    assert cards[2] == cards[3] == cards[4]
    assert "the mean of hidden states 0 to 3 of 3" in cards[0].pooling
    both = vectors(f"{model}@2:pool=mean+std", data, tmp_path / "e")
    np.testing.assert_array_equal(both[:, :16], layers[2])
    assert get_encoder(f"{model}@2:pool=mean+std").card.dim == both.shape[1] == 32
    assert (both[:, 16:] >= 0).all()
    ends = {how: vectors(f"{model}@2:pool={how}", data, tmp_path / "e") for how in ("max", "first", "last")}
    assert (ends["max"] >= np.maximum(ends["first"], ends["last"])).all()
    assert (ends["first"] != ends["last"]).any()


def test_what_stands_around_a_layer(model, data, tmp_path):
    assert every_layer(f"m=centred:{model}@all:pool=max")[1] == f"m 1=centred:{model}@1:pool=max"
    assert every_layer(f"shuffled:({model}@all+tfidf)")[3] == f"shuffled:({model}@3+tfidf)"
    assert every_layer("larp-ttc@demo") == ["larp-ttc@demo"]
    joined = vectors(f"{model}@1+0.5*{model}@mean", data, tmp_path / "e")
    assert joined.shape == (16, 32)
    with pytest.raises(UsageError, match="stands once"):
        every_layer(f"{model}@all+{model}@all")


@pytest.mark.parametrize("name", ["@4", "@3-1", "@0-4", "@-1", "@", "@middle", "@1:pool=", "@1:pool=sum", ":pool=x"])
def test_layers_and_poolings_that_there_are_not(model, name):
    with pytest.raises(UsageError) as caught:
        get_encoder(f"{model}{name}")
    assert caught.value.allowed


def test_the_best_layer_is_chosen_on_valid_and_recorded(model, data, passes, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    recalls, names = compare_layers(model, data, store)
    assert passes["clips"] == len(data.split("valid").track_ids)
    assert recalls.values.shape[0] == len(names) == LAYERS
    passes.clear()
    plan = larpbench.plan(
        data, encoders=[f"{model}@best", f"centred:{model}@best", "tfidf"], output=tmp_path / "r", store=store
    )
    assert not run(plan).failed
    cells = {each.cell.encoder: read_record(each.path) for each in plan.cells}
    record = cells["hf-audio:tiny-hubert@best"]
    (part,) = record.layers
    assert part.layer == recalls.best
    assert part.valid_recall == tuple(recalls.means.tolist())
    assert part.chance == recalls.chance
    assert cells["centred:hf-audio:tiny-hubert@best"].layers[0].layer == recalls.best
    assert cells["tfidf"].layers == ()
    plan = larpbench.plan(data, encoders=[f"{model}@{recalls.best}"], output=tmp_path / "r", store=store)
    assert plan.cells[0].tracks_to_encode == 0, "test was encoded at that layer alone"
    other = get_encoder(f"{model}@{(recalls.best + 1) % LAYERS}")
    assert store.missing_tracks(other, data, data.split("test"), 0) == len(data.split("test").track_ids)
    assert not run(plan).failed
    assert read_record(plan.cells[0].path).metrics == record.metrics


def test_the_key_of_the_best_layer_holds_valid_and_nothing_of_what_it_gives(model, data):
    spec = get_encoder(f"{model}@best")

    def key(of):
        return Keys().embedding(spec, of, of.split("test"), 0)

    valid = pl.col("split") == "valid"
    moved = data.playlists.with_columns(
        role=pl.when(valid & (pl.col("role") == "seed")).then(pl.lit("heldout")).otherwise(pl.col("role"))
    )
    assert key(data) == key(load_dataset(data.folder))
    assert key(replace(data, playlists=moved)) != key(data)
    captions = data.tracks.with_columns(caption=pl.lit("x"))
    assert key(replace(data, tracks=captions)) == key(data)


def test_without_valid_playlists_there_is_no_best_layer(model, data, tmp_path):
    bare = replace(data, playlists=data.playlists.filter(pl.col("split") != "valid"))
    plan = larpbench.plan(bare, encoders=[f"{model}@best"], output=tmp_path)
    assert "the valid split of 'heard' has no playlists" in plan.unavailable[0].reason
    with pytest.raises(DataError, match="no playlists"):
        compare_layers(model, bare, EmbeddingStore(tmp_path / "e"))


def test_layers_on_the_command_line_never_read_test(cli, checkpoint, data, tmp_path, passes):
    gone = [data.split("test").audio.root / name for name in data.split("test").audio.files["audio"]]
    for path in gone:
        path.rename(path.with_suffix(".away"))
    try:
        done = cli("layers", f"hf-audio:{checkpoint}", "--dataset", data.folder, "--output", tmp_path / "f.svg")
        table = cli("layers", f"hf-audio:{checkpoint}", "--dataset", data.folder, "--json")
    finally:
        for path in gone:
            path.with_suffix(".away").rename(path)
    assert done.code == 0, done.err
    assert "Best on valid: layer" in done.out
    assert "<svg" in (tmp_path / "f.svg").read_text()
    (found,) = json.loads(table.out)["tables"]
    assert len(found["rows"]) == LAYERS + 1
    assert passes["clips"] == len(data.split("valid").track_ids), "once, for both calls"
    assert cli("layers", "tfidf", "--dataset", data.folder).code != 0
    assert "no layers to compare" in cli("layers", f"hf-audio:{checkpoint}@2", "--dataset", data.folder).err
    assert ".svg or .png" in cli("layers", "mert-95m", "--output", "x.pdf").err


def test_a_run_of_all_layers_is_one_row_each(cli, model, data, tmp_path, passes):
    done = cli("run", "--dataset", data.folder, "--encoders", f"{model}@all", "--output", tmp_path / "r", "--json")
    assert done.code == 0, done.err
    assert [each["encoder"] for each in json.loads(done.out)["computed"]] == [
        f"hf-audio:tiny-hubert@{layer}" for layer in range(LAYERS)
    ]
    assert passes["clips"] == len(data.split("test").track_ids)
    encoded = cli("encode", "--encoder", f"{model}@all,tfidf", "--dataset", data.folder, "--split", "valid", "--json")
    assert [each["dim"] for each in json.loads(encoded.out)][:LAYERS] == [16] * LAYERS


class TestCaptions:
    """Text models: the same names, the same single pass."""

    @pytest.fixture
    def batches(self, monkeypatch):
        """How many captions went through the model, and how often it was loaded."""
        count: Counter[str] = Counter()
        ran, loaded = TextModel.run, TextModel.__init__

        def counted(self, batch, wanted):
            count["captions"] += len(batch)
            return ran(self, batch, wanted)

        def counted_loading(self, *arguments):
            count["loaded"] += 1
            loaded(self, *arguments)

        monkeypatch.setattr(TextModel, "run", counted)
        monkeypatch.setattr(TextModel, "__init__", counted_loading)
        return count

    def test_all_layers_come_from_one_pass_with_the_vectors_of_each_alone(self, folder, data, batches, tmp_path):
        names = every_layer(f"text:{folder}@all:pool=max:prompt=query")
        assert names == [f"text:{folder}@{layer}:pool=max:prompt=query" for layer in range(3)]
        names += [f"text:{folder}@mean:prompt=query", f"text:{folder}:prompt=query", f"text:{folder}:prompt=none"]
        specs, store = [get_encoder(name) for name in names], EmbeddingStore(tmp_path / "together")
        encode_together(store, [Need(spec, data, "test", 0) for spec in specs])
        test = data.split("test")
        assert batches == {"captions": len(test.track_ids), "loaded": 1}
        assert [store.missing_tracks(spec, data, test, 0) == 0 for spec in specs] == [True] * 5 + [False]
        for number, (name, spec) in enumerate(zip(names, specs, strict=True)):
            alone = vectors(name, data, tmp_path / str(number))
            np.testing.assert_array_equal(store.embed(spec, data, "test", 0).vectors, alone)
        assert np.abs(vectors(names[4], data, tmp_path / "e") - vectors(names[5], data, tmp_path / "e")).max() > 1e-3

    def test_the_best_layer(self, folder, data, batches, tmp_path):
        store = EmbeddingStore(tmp_path / "e")
        plan = larpbench.plan(data, encoders=[f"text:{folder}@best:prompt=none"], output=tmp_path / "r", store=store)
        assert not run(plan).failed
        (cell,) = plan.cells
        assert cell.cell.encoder == "text:tiny-gemma@best:prompt=none"
        (part,) = read_record(cell.path).layers
        assert part.valid_recall == tuple(compare_layers(f"text:{folder}:prompt=none", data, store)[0].means.tolist())
        assert part.layer == int(np.argmax(part.valid_recall))
        assert batches["captions"] == len(data.split("valid").track_ids) + len(data.split("test").track_ids)
        pooling = get_encoder(f"text:{folder}@best").card.pooling
        assert pooling.startswith("the layer of the best recall@10 (itemknn) on valid, mean over tokens")

    def test_on_the_command_line(self, cli, folder, data, batches):
        done = cli("layers", f"text:{folder}:prompt=none", "--dataset", data.folder, "--json")
        assert done.code == 0, done.err
        assert all(f"text:tiny-gemma@{layer}:prompt=none" in done.out for layer in range(3))
        assert batches["captions"] == len(data.split("valid").track_ids)
