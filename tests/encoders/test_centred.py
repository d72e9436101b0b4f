"""``centred:ENCODER``: another's vectors less the mean of the train tracks, of length 1; nothing is encoded twice."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables
from support.toy_training import ENCODED, place, toy, train

import larpbench
from larpbench import load_dataset
from larpbench.encoders.centred import centre
from larpbench.encoders.names import get_encoder, list_encoders, parse_name
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.errors import DataError, UnknownNameError, UsageError
from larpbench.vectors import Standardiser, unit_rows


@pytest.fixture
def data(tmp_path):
    return build_split_tables(tmp_path / "one")


@pytest.fixture
def vectors(data):
    return data.folder.with_name("one-tables") / "vectors.npz"


@pytest.fixture
def store(tmp_path):
    ENCODED.clear()
    return EmbeddingStore(tmp_path / "embeddings")


def centred(rows, reference):
    return unit_rows(rows.astype(np.float64) - reference.mean(axis=0, dtype=np.float64))


class TestNames:
    @pytest.mark.parametrize(
        ("name", "identity"),
        [
            ("centred:tfidf", "centred:tfidf"),
            ("centred:larp", "centred:larp-tpc-fusion"),
            ("centred:larp-ttc:audio", "centred:larp-ttc:audio"),
            ("centred:tfidf+centred:random", "centred:tfidf+centred:random"),
            ("centred:tfidf+random", "centred:tfidf+random"),
            ("mine=centred:tfidf", "mine"),
        ],
    )
    def test_it_stands_before_a_name(self, name, identity):
        spec = get_encoder(name)
        assert spec.identity == identity
        assert any(each.centred for each in (spec, *spec.inputs))
        assert get_encoder(spec.name).name == spec.name

    def test_a_trained_encoder_keeps_its_training(self, data):
        spec = get_encoder(f"centred:larp-ttc:text@{data.folder}")
        plain = get_encoder(f"larp-ttc:text@{data.folder}")
        assert spec.identity == "centred:larp-ttc:text@one"
        assert spec.training.settings == plain.training.settings
        assert spec.sources[0].manifest.fingerprint == data.manifest.fingerprint

    def test_a_column_of_a_file(self, tmp_path, cli, data, vectors):
        with np.load(vectors) as stored:
            np.savez(tmp_path / "two.npz", ids=stored["ids"], a=stored["embeddings"], b=stored["embeddings"] + 1)
        name = f"centred:precomputed:{tmp_path / 'two.npz'}"
        assert get_encoder(f"{name}#a").identity == "centred:precomputed:two.npz#a"
        assert [each.written for each in parse_name(f"{name}#a+tfidf")] == [f"{name}#a", "tfidf"]
        ran = cli("run", "--dataset", data.folder, "--encoders", name, "--column", "b", "--output", tmp_path / "out")
        assert ran.code == 0, ran.err
        assert larpbench.load_results(tmp_path / "out").to_polars()["encoder"][0] == "centred:precomputed:two.npz#b"

    @pytest.mark.parametrize(
        ("name", "error", "words"),
        [
            ("centred", UsageError, "needs a ENCODER"),
            ("centred:", UsageError, "needs a ENCODER"),
            ("centred:tfdf", UnknownNameError, "did you mean tfidf"),
            ("centred:centred:tfidf", UsageError, "centred once"),
            ("centred:tfidf@one", UsageError, "not trained on playlists"),
            ("centred:a=tfidf", UsageError, "label stands before"),
            ("centred:tfidf+", UsageError, "each side"),
            ("tfidf=centred:tfidf", UsageError, "name of another encoder"),
        ],
    )
    def test_what_is_no_name(self, name, error, words):
        with pytest.raises(error, match=words):
            get_encoder(name)

    def test_it_is_listed_and_described(self, cli):
        assert "centred" in list_encoders()
        assert "centred:ENCODER" in cli("list", "encoders").out
        facts = json.loads(cli("describe", "encoder", "centred:tfidf", "--json").out)
        assert (facts["name"], facts["dim"]) == ("centred:tfidf", 1024)
        assert facts["summary"].endswith("centred on the train tracks")
        assert cli("describe", "encoder", "centred").code == 0


class TestVectors:
    @pytest.mark.parametrize("split", ["train", "valid", "test"])
    @pytest.mark.parametrize("standardised", [False, True])
    def test_less_the_mean_of_train_and_of_length_1(self, data, store, split, standardised):
        plain = place(standardised=standardised)
        reference, rows = (store.embed(place(standardised=False), data, name, 0).vectors for name in ("train", split))
        if standardised:
            scale = Standardiser(reference)
            reference, rows = scale.apply(reference), scale.apply(rows)
        found = store.embed(centre(plain), data, split, 0)
        np.testing.assert_allclose(found.vectors, centred(rows, reference), atol=1e-5)
        assert found.vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)
        assert found.key != store.embed(plain, data, split, 0).key

    def test_nothing_is_encoded_or_stored_twice(self, data, store):
        plain = place(standardised=False)
        for split in ("train", "test"):
            store.embed(plain, data, split, 0)
        before, files = len(ENCODED), sorted(store.root.rglob("*.safetensors"))
        store.embed(centre(plain), data, "test", 0)
        assert (len(ENCODED), sorted(store.root.rglob("*.safetensors"))) == (before, files)
        assert store.missing_tracks(centre(plain), data, data.split("test"), 0) == 0

    def test_another_train_split_is_another_key(self, tmp_path, data, store):
        other = build_split_tables(tmp_path / "other", seeds={"train": 1})
        spec, plain = centre(place(standardised=False)), place(standardised=False)
        split = data.split("test")
        keys = [store.keys.scaled(spec, each, split, 0) for each in (data, other)]
        assert len({*keys, store.keys.scaled(plain, data, split, 0)}) == 3

    def test_side_by_side(self, data, store):
        a, b = "centred:tfidf", "centred:random"
        parts = [store.embed(get_encoder(each), data, "test", 0).vectors for each in (a, b)]
        joined = store.embed(get_encoder(f"{a}+{b}"), data, "test", 0).vectors
        np.testing.assert_allclose(joined, np.concatenate(parts, axis=1) / np.sqrt(2), atol=1e-6)

    def test_weights_trained_elsewhere_keep_their_mean(self, tmp_path, data, store):
        """That of the train tracks which they have learnt from."""
        other = build_split_tables(tmp_path / "other", seeds={"test": 3})
        spec = toy().learning_from(data)
        train(store, spec)
        reference = store.embed(spec, data, "train", 0).vectors
        rows = store.embed(spec, other, "test", 0).vectors
        found = store.embed(centre(spec), other, "test", 0).vectors
        np.testing.assert_allclose(found, centred(rows, reference), atol=1e-5)


class TestOnTheCommandLine:
    def test_common_parts_of_all_tracks_no_longer_count(self, tmp_path, cli, data, vectors):
        """Vectors behind a large constant are as good as without it."""
        with np.load(vectors) as stored:
            np.savez(tmp_path / "far.npz", ids=stored["ids"], embeddings=stored["embeddings"] + 64)
        names = f"n=centred:precomputed:{vectors},f=centred:precomputed:{tmp_path / 'far.npz'}"
        assert cli("run", "--dataset", data.folder, "--encoders", names, "--output", tmp_path / "out").code == 0
        frame = larpbench.load_results(tmp_path / "out").to_polars()
        near, far = (frame.filter(encoder=each).sort("metric")["value"].to_list() for each in "nf")
        assert near == pytest.approx(far, abs=1e-3)

    def test_a_track_that_is_the_mean_is_no_nan(self, tmp_path, cli, data, vectors):
        with np.load(vectors) as stored:
            ids, rows = stored["ids"], stored["embeddings"].astype(np.float32)
        train_rows = np.array([str(each).startswith("train") for each in ids])
        rows[train_rows] = np.tile([[1.0] * 6, [2.0] * 6], (int(train_rows.sum()) // 2, 1))
        first = int(np.flatnonzero([str(each).startswith("test") for each in ids])[0])
        rows[first] = 1.5
        np.savez(tmp_path / "mean.npz", ids=ids, embeddings=rows)
        name = f"centred:precomputed:{tmp_path / 'mean.npz'}"
        ran = cli("run", "--dataset", data.folder, "--encoders", name, "--output", tmp_path / "out")
        assert ran.code == 0, ran.err
        assert "nan" not in ran.out.lower()

    @pytest.mark.parametrize("name", ["centred:tfidf", "centred:tfidf+random", "factors:tfidf"])
    @pytest.mark.parametrize("verb", ["plan", "run"])
    def test_without_train_tracks_it_is_refused_before_anything_runs(self, tmp_path, cli, data, verb, name):
        tables = data.folder.with_name("one-tables")
        for each in ("tracks", "playlists"):
            frame = pl.read_csv(tables / f"{each}.csv")
            frame.drop("split", "role", strict=False).write_csv(tables / f"{each}.csv")
        built = cli("dataset", "build", "csv", "--tracks", tables / "tracks.csv", "--playlists",
                    tables / "playlists.csv", "--output", tmp_path / "whole", "--train-fraction", "0",
                    "--min-length", "2")  # fmt: skip
        assert built.code == 0, built.err
        ran = cli(verb, "--dataset", tmp_path / "whole", "--encoders", name)
        assert ran.code != 0
        assert "train" in ran.err
        assert "next: " in ran.err or "allowed: " in ran.err

    def test_the_store_refuses_too(self, tmp_path, store):
        empty = build_split_tables(tmp_path / "empty")
        gone = empty.tracks.filter(empty.tracks["split"] != "train")
        bare = type(empty)(empty.folder, empty.manifest, gone, empty.playlists)
        with pytest.raises(DataError, match="centred on the train tracks"):
            store.embed(get_encoder("centred:tfidf"), bare, "test", 0)


class TestObjects:
    def test_an_object_of_this_process(self, tmp_path, data):
        """Registered, or as a spec; encoded again wherever it is tested."""

        class Lengths:
            def encode(self, sentences):
                return np.array([[len(each), len(set(each)), 1.0] for each in sentences], dtype=np.float32)

        larpbench.register("lengths", Lengths(), modality="text")
        names = ["lengths", "centred:lengths", "centred:lengths+centred:tfidf"]
        results = larpbench.evaluate(names, load_dataset(data.folder))
        assert set(results.to_polars()["encoder"]) == set(names)
        spec = centre(larpbench.as_encoder(Lengths(), "own", modality="text"))
        results = larpbench.evaluate([spec], data)
        assert set(results.to_polars()["encoder"]) == {"centred:own"}
