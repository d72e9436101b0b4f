"""``factors``: it finds what the frozen views do not show, loses nothing where there is nothing, and is kept."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from support.factor_world import write_world
from support.small_data import build_split_tables

import larpbench
from larpbench import load_dataset
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.factors.encoder import frozen_vectors
from larpbench.encoders.factors.specs import factors_spec
from larpbench.encoders.names import get_encoder, parse_name
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.training import ensure_trained, untrained
from larpbench.errors import DataError, MissingPartError, UnknownNameError, UsageError
from larpbench.tasks.validation import validation_recall


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world") / "one")


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world") / "shuffled", shuffled=True)


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "embeddings")


def names_of(world):
    a, b = world.views
    return {"factors": f"factors:{a}+{b}", "frozen": f"centred:{a}+centred:{b}", "one": f"factors:{a}"}


def trained(world, store, name=None):
    spec = get_encoder(name or names_of(world)["factors"]).learning_from(world.data)
    return spec, ensure_trained(store, spec, 0, validation_recall)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("factors:tfidf+random", ["factors:tfidf+random"]),
            ("factors:tfidf+random@x+tfidf", ["factors:tfidf+random@x", "tfidf"]),
            ("tfidf+factors:tfidf+random", ["tfidf", "factors:tfidf+random"]),
            ("factors+tfidf", ["factors", "tfidf"]),
            ("factors@x+tfidf", ["factors@x", "tfidf"]),
            ("factors:precomputed:a+b.npz+tfidf", ["factors:precomputed:a+b.npz+tfidf"]),
            ("centred:factors:tfidf+random@x+tfidf", ["centred:factors:tfidf+random@x", "tfidf"]),
            ("larp-ttc:audio+tfidf", ["larp-ttc:audio", "tfidf"]),
        ],
    )
    def test_a_plus_sign_joins_views(self, name, parts):
        assert [each.written for each in parse_name(name)] == parts

    def test_views_are_centred_inputs(self):
        spec = get_encoder("factors:tfidf+random")
        assert spec.identity == "factors:tfidf+random"
        assert [each.identity for each in spec.inputs] == ["centred:tfidf", "centred:random"]
        assert spec.training.inputs == spec.inputs
        assert spec.card.stochastic
        assert not get_encoder("factors:tfidf").card.stochastic
        assert get_encoder("factors:tfidf").card.modalities == ("text",)
        assert get_encoder("factors:centred:tfidf+random").identity == spec.identity

    def test_views_by_default(self):
        spec = get_encoder("factors")
        assert spec.identity == get_encoder("factors:handcrafted+tfidf").identity == "factors"
        assert spec.card.modalities == ("audio", "text")

    def test_where_it_learns(self, tmp_path):
        data = build_split_tables(tmp_path / "there")
        spec = get_encoder(f"factors:tfidf+random@{data.folder}")
        assert spec.identity == "factors:tfidf+random@there"
        assert {each.source.name for each in (spec, *spec.inputs, *spec.training.inputs)} == {"there"}
        assert get_encoder(f"mine=factors:tfidf@{data.folder}").identity == "mine"

    def test_files_lose_their_folders(self, world):
        assert get_encoder(names_of(world)["factors"]).identity == "factors:precomputed:view0.npz+precomputed:view1.npz"

    @pytest.mark.parametrize(
        ("name", "error", "words"),
        [
            ("factors:", UsageError, "no view"),
            ("factors:tfidf+", UsageError, "each side"),
            ("factors:+tfidf", UsageError, "each side"),
            ("factors:tfdf", UnknownNameError, "did you mean tfidf"),
            ("factors:tfidf+tfidf", UsageError, "twice"),
            ("factors:larp-ttc", UsageError, "trained on playlists"),
            ("factors:factors:tfidf", UsageError, "trained on playlists"),
            ("factors:a=tfidf", UsageError, "no view"),
            ("factors:tfidf@", UsageError, "data set must follow"),
        ],
    )
    def test_what_is_no_view(self, name, error, words):
        with pytest.raises(error, match=words):
            get_encoder(name)

    def test_an_object_of_this_process_needs_a_key(self):
        larpbench.register("keyless", lambda captions: np.ones((len(captions), 2)), modality="text")
        with pytest.raises(UsageError, match="object in memory"):
            get_encoder("factors:keyless")
        larpbench.register("keyed", lambda captions: np.ones((len(captions), 2)), modality="text", cache_key="1")
        assert get_encoder("factors:keyed").identity == "factors:keyed"


class TestWhatItLearns:
    def test_it_finds_what_playlists_follow(self, world, tmp_path):
        """Frozen, centred views show it in part; and their plain vectors even less."""
        names = names_of(world)
        results = larpbench.evaluate(list(names.values()), world.data, output=tmp_path / "results")
        frame = results.to_polars().filter(metric="recall@10")
        found = {row["encoder"]: row for row in frame.iter_rows(named=True)}
        factors, frozen, one = (
            found[name]
            for name in (
                "factors:precomputed:view0.npz+precomputed:view1.npz@world",
                "centred:precomputed:view0.npz+centred:precomputed:view1.npz",
                "factors:precomputed:view0.npz@world",
            )
        )
        assert factors["ci_low"] > 1.3 * frozen["ci_high"]
        assert frozen["value"] > 1.2 * frozen["chance"]
        assert factors["value"] > one["value"]
        assert results.compare(factors["encoder"], frozen["encoder"])

    def test_where_there_is_nothing_to_learn_nothing_is_lost(self, shuffled, store):
        spec, folder = trained(shuffled, store)
        card = read_card(folder)
        assert card["weight"] == 0
        frozen = get_encoder(names_of(shuffled)["frozen"])
        np.testing.assert_array_equal(
            store.embed(spec, shuffled.data, "test", 0).vectors, store.embed(frozen, shuffled.data, "test", 0).vectors
        )

    @pytest.mark.parametrize("seed", range(1, 4))
    def test_it_is_never_far_below_the_frozen_vectors_on_valid(self, tmp_path, store, seed):
        world = write_world(tmp_path / "w", seed, shuffled=True, tracks=80)
        card = read_card(trained(world, store)[1])
        chosen = next(each for each in card["weights"] if each["weight"] == card["weight"])
        assert chosen["below_best"] <= chosen["standard_error"] + 1e-12
        assert card["valid"]["best"] >= card["valid"]["frozen"]

    def test_the_vector_is_the_frozen_one_and_the_weighted_prediction(self, world, store):
        spec, folder = trained(world, store)
        card = read_card(folder)
        assert card["weight"] > 0
        found = store.embed(spec, world.data, "test", 0).vectors
        frozen = frozen_vectors([store.embed(each, world.data, "test", 0).vectors for each in spec.inputs])
        width = frozen.shape[1]
        assert found.shape == (len(frozen), width + card["factors"])
        np.testing.assert_allclose(found[:, :width], frozen, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found[:, :width], axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found[:, width:], axis=1), card["weight"], rtol=1e-5)

    def test_the_facts(self, world, store):
        card = read_card(trained(world, store)[1])
        assert card["method"] == "factors 2"
        assert card["frozen"] == ["precomputed:view0.npz", "precomputed:view1.npz"]
        assert [each["weight"] for each in card["weights"]] == [0, 0.25, 0.5, 1, 2, 4]
        assert card["l2"] in [each["l2"] for each in card["penalties"]]
        assert card["valid"]["chance"] == validation_recall(world.data.split("valid")).chance
        assert card["valid"]["frozen"] == card["weights"][0]["recall@10"] < card["valid"]["best"] == card["best"]
        for each in (*card["weights"], *card["penalties"]):
            assert set(each) >= {"recall@10", "below_best", "standard_error"}
        assert str(world.data.folder.parent) not in json.dumps({**card, "trained_on_folder": ""})

    def test_it_sees_neither_test_nor_the_seed(self, tmp_path, world, store):
        spec = get_encoder(names_of(world)["factors"]).learning_from(world.data)
        others = world.data.playlists.filter(pl.col("split") != "test")
        blind = type(world.data)(world.data.folder, world.data.manifest, world.data.tracks, others)
        keys = {
            store.keys.checkpoint(each, 0)
            for each in (spec, get_encoder(names_of(world)["factors"]).learning_from(blind))
        }
        assert len(keys) == 1
        weights = [
            (trained(world, EmbeddingStore(tmp_path / each))[1] / "model.safetensors").read_bytes() for each in "ab"
        ]
        assert weights[0] == weights[1]


class TestOnTheCommandLine:
    def test_train_run_and_checkpoint(self, world, tmp_path, cli):
        data, out = world.data.folder, tmp_path / "results"
        views = ",".join(world.views)
        done = cli("train", "factors", "--dataset", data, "--views", views)
        assert done.code == 0, done.err
        line, folder = done.out.splitlines()
        assert line.startswith("factors: ")
        assert all(word in line for word in ("weight", "l2", "validation recall@10", "frozen", "chance"))
        folder = folder.strip()
        again = cli("train", "factors", "--dataset", data, "--views", views.replace(",", "+"))
        assert again.out == done.out
        names = f"factors:{'+'.join(world.views)},trained=checkpoint:{folder}"
        ran = cli("run", "--dataset", data, "--encoders", names, "--output", out)
        assert ran.code == 0, ran.err
        assert "train factors" not in ran.err
        frame = larpbench.load_results(out).to_polars().sort("metric")
        values = [
            frame.filter(encoder=each)["value"].to_list() for each in frame["encoder"].unique(maintain_order=True)
        ]
        assert len(values) == 2
        assert values[0] == values[1]
        records = [json.loads(path.read_text()) for path in out.rglob("*.json")]
        facts = next(each["training"]["facts"] for each in records if each.get("training"))
        assert {"l2", "weight", "valid", "frozen", "weights", "penalties"} <= set(facts)
        assert str(tmp_path) not in json.dumps([each.get("training") for each in records])

    def test_run_trains_what_is_missing(self, world, tmp_path, cli, store):
        name = names_of(world)["one"]
        planned = cli("plan", "--dataset", world.data.folder, "--encoders", name)
        assert planned.code == 0
        assert "train" in planned.out
        assert cli("run", "--dataset", world.data.folder, "--encoders", name, "--output", tmp_path / "r").code == 0
        spec = get_encoder(name).learning_from(world.data)
        assert untrained(store, spec, 0) == [spec]

    def test_a_side_of_it_is_refused(self, world, store):
        folder = trained(world, store)[1]
        with pytest.raises(UsageError, match="no sides"):
            get_encoder(f"checkpoint:{folder}:audio")
        assert get_encoder(f"checkpoint:{folder}").card.dim > 36

    def test_without_audio_the_default_views_say_what_is_missing(self, tmp_path, cli):
        data = build_split_tables(tmp_path / "silent")
        ran = cli("run", "--dataset", data.folder, "--encoders", "factors")
        assert ran.code != 0
        assert "needs audio" in ran.err
        assert "factors:tfidf" in ran.err

    def test_it_is_listed(self, cli):
        assert "factors" in cli("list", "encoders", "factors*").out
        facts = json.loads(cli("describe", "encoder", "factors:tfidf", "--json").out)
        assert facts["name"] == "factors:tfidf"
        assert "ridge over frozen tfidf" in facts["weights"]


class TestTroubles:
    def test_a_checkpoint_of_an_earlier_version_is_refused(self, world, store):
        _, folder = trained(world, store)
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, "method": "factors 1"}))
        with pytest.raises(DataError, match="'factors 1'") as refused:
            get_encoder(f"checkpoint:{folder}")
        assert refused.value.next_step == "larpbench train factors"

    def test_damaged_weights(self, world, store):
        spec, folder = trained(world, store)
        encoder = spec.build(EncodeContext(0, world.data.folder))
        with pytest.raises(MissingPartError, match="no weights yet"):
            encoder.encode(None)
        settings = json.loads((folder / "settings.json").read_text())
        (folder / "settings.json").write_text(json.dumps({**settings, "factors": 3}))
        with pytest.raises(DataError, match="not those of the model that the settings describe"):
            encoder.load(folder)
        (folder / "model.safetensors").write_bytes(b"no")
        with pytest.raises(DataError, match="damaged"):
            encoder.load(folder)

    def test_playlists_that_are_all_the_same(self, tmp_path, store):
        data = build_split_tables(tmp_path / "same", playlists=1)
        spec = factors_spec(["tfidf"]).learning_from(load_dataset(data.folder))
        with pytest.raises(DataError, match="nothing to learn"):
            ensure_trained(store, spec, 0, validation_recall)
        assert not (store.checkpoint(spec, 0) / "card.json").exists()

    def test_few_playlists_and_more_numbers_than_tracks(self, tmp_path, store):
        data = build_split_tables(tmp_path / "few", playlists=3)
        spec = factors_spec(["tfidf"]).learning_from(data)
        card = read_card(ensure_trained(store, spec, 0, validation_recall))
        assert card["factors"] == 2
        assert np.isfinite(store.embed(spec, data, "test", 0).vectors).all()
