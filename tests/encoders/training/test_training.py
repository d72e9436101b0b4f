"""Training of any encoder: once a key, from train and valid alone."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from support.small_data import build_split_tables
from support.toy_training import (
    ENCODED,
    FITS,
    PLACE,
    Toy,
    number_of,
    place,
    toy,
    train,
)

from larpbench.encoders.adapters.tfidf import TfidfEncoder
from larpbench.encoders.checkpoint_folder import CARD, read_card
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.training import untrained
from larpbench.errors import MissingPartError
from larpbench.tasks.validation import validation_recall
from larpbench.vectors import Standardiser


class TestOnce:
    def test_an_encoder_is_trained_once_a_seed_and_kept(self, data, store):
        spec = toy().learning_from(data)
        assert untrained(store, spec, 0) == [spec]
        folder = train(store, spec)
        assert folder == store.checkpoint(spec, 0)
        assert untrained(store, spec, 0) == []
        assert [fit.context.seed for fit in FITS] == [0]
        before = (folder / CARD).stat().st_mtime_ns
        assert train(store, spec) == folder
        assert len(FITS) == 1
        assert (folder / CARD).stat().st_mtime_ns == before
        assert untrained(store, spec, 1) == [spec]
        assert train(store, spec, seed=1) != folder
        assert [fit.context.seed for fit in FITS] == [0, 1]

    def test_the_card_of_the_checkpoint_says_how_it_came_about(self, data, store):
        spec = toy(rate=3).learning_from(data)
        found = read_card(train(store, spec, seed=2))
        assert {name: found[name] for name in ("encoder", "method", "settings", "seed", "updates", "start")} == {
            "encoder": "toy@one",
            "method": "toy 1",
            "settings": {"rate": 3},
            "seed": 2,
            "updates": 7,
            "start": None,
        }
        assert found["trained_on"] == "one"
        assert found["trained_on_fingerprint"] == data.manifest.fingerprint
        assert found["trained_on_folder"] == str(data.folder)
        assert found["wall_s"] >= 0

    def test_what_it_goes_on_from_is_trained_first_and_given_to_it(self, data, store):
        first = toy("first", rate=1)
        second = toy("second", rate=2, start=first)
        third = toy("third", rate=3, start=second).learning_from(data)
        assert [each.identity for each in untrained(store, third, 5)] == ["first@one", "second@one", "third@one"]
        folder = train(store, third, seed=5)
        assert [fit.context.settings["rate"] for fit in FITS] == [1, 2, 3]
        starts = [fit.context.start and fit.context.start.parent.name for fit in FITS]
        assert starts == [None, "first", "second"]
        assert json.loads((folder / "weights.json").read_text()) == ["1, seed 5", "2, seed 5", "3, seed 5"]
        assert read_card(folder)["start"] == FITS[2].context.start.name
        train(store, toy("other", rate=4, start=second).learning_from(data), seed=5)
        assert [fit.context.settings["rate"] for fit in FITS] == [1, 2, 3, 4]

    def test_an_encoder_that_is_not_trained_needs_nothing(self, data, store):
        assert train(store, get_encoder("tfidf")) is None
        assert untrained(store, get_encoder("tfidf"), 0) == []
        assert not store.checkpoints.exists()

    def test_vectors_come_from_the_weights_that_were_kept(self, data, store):
        spec = toy("second", start=toy("first", rate=1), rate=2).learning_from(data)
        with pytest.raises(MissingPartError, match="'second@one' has not been trained with seed 0"):
            store.embed(spec, data, "test", 0)
        train(store, spec)
        vectors = store.embed(spec, data, "test", 0).vectors
        assert (vectors[:, -1] == 2).all()
        assert len(FITS) == 2

    def test_two_at_once_train_it_once(self, data, store):
        class Slow(Toy):
            def fit(self, train, valid, context):
                time.sleep(0.2)
                return super().fit(train, valid, context)

        spec = toy(factory=Slow).learning_from(data)
        folders = []
        threads = [threading.Thread(target=lambda: folders.append(train(store, spec))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert folders == [store.checkpoint(spec, 0)] * 2
        assert len(FITS) == 1

    def test_a_second_seed_that_starts_does_not_sweep_away_what_the_first_is_saving(self, data, store):
        beside: list[threading.Thread] = []

        class Watched(Toy):
            def save(self, folder):
                if not beside:  # the first seed; the second one trains and saves while this one is not done
                    other = threading.Thread(target=train, args=(store, spec, 1))
                    beside.append(other)
                    other.start()
                    deadline = time.monotonic() + 30
                    while len(FITS) < 2 and time.monotonic() < deadline:
                        time.sleep(0.01)
                    time.sleep(0.2)
                super().save(folder)

        spec = toy(factory=Watched).learning_from(data)
        train(store, spec, 0)
        beside[0].join(timeout=30)
        for seed in (0, 1):
            assert json.loads((store.checkpoint(spec, seed) / "weights.json").read_text()) == [f"1, seed {seed}"]


class TestWhatTrainingSees:
    def test_nothing_of_test(self, data, store):
        train(store, toy(inputs=(PLACE, get_encoder("tfidf"))).learning_from(data))
        (fit,) = FITS
        assert fit.train == set(data.split("train").track_ids)
        assert fit.valid == set(data.split("valid").track_ids)
        assert set(fit.context.inputs) == {"train", "valid"}
        assert [len(rows) for rows in fit.context.inputs["train"]] == [len(fit.train)] * 2
        assert [len(rows) for rows in fit.context.inputs["valid"]] == [len(fit.valid)] * 2
        assert set(ENCODED) == fit.train | fit.valid
        for name in ("train", "test"):
            with pytest.raises(ValueError, match=f"selection sees the valid split only, not {name}"):
                validation_recall(data.split(name))

    def test_the_score_is_the_recall_of_the_valid_playlists(self, data, store):
        train(store, toy().learning_from(data))
        vectors = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        split = data.split("valid")
        seeds, heldout = split.interactions("seed"), split.interactions("heldout")
        recalls = []
        for row in range(len(seeds)):
            given, sought = (set(each.tracks[each.offsets[row] : each.offsets[row + 1]]) for each in (seeds, heldout))
            scores = unit @ unit[sorted(given)].mean(axis=0)
            ranked = [track for track in np.argsort(-scores) if track not in given][:10]
            recalls.append(len(sought & set(ranked)) / len(sought))
        assert FITS[0].context.score(vectors) == pytest.approx(np.mean(recalls))
        assert 0 < np.mean(recalls) < 1

    def test_inputs_are_those_of_the_store(self, data, store):
        train(store, toy().learning_from(data))
        for name in ("train", "valid"):
            (rows,) = FITS[0].context.inputs[name]
            expected = store.embed(PLACE, data, name, 0).vectors
            np.testing.assert_array_equal(rows[np.array([3, 0])], expected[[3, 0]])

    def test_inputs_too_large_for_memory_are_read_row_by_row(self, data, store, monkeypatch):
        monkeypatch.setattr("larpbench.encoders.run.store.TEXT_SHARD", 7)
        train(store, toy(inputs=(place(large=True, standardised=False),)).learning_from(data))
        (rows,) = FITS[0].context.inputs["train"]
        assert len(rows) == 24
        wanted = np.array([23, 0, 7, 6, 7])
        expected = [[number_of(name), 1] for name in data.split("train").track_ids[wanted]]
        np.testing.assert_array_equal(rows[wanted], np.array(expected, dtype=np.float32))


class TestStatisticsOfItsInputs:
    """A transferred encoder builds upon what was learnt where it was trained, not where it is tested."""

    @pytest.fixture
    def other(self, tmp_path):
        return build_split_tables(tmp_path / "two", seeds={"train": 5, "valid": 5, "test": 5})

    def test_standardising(self, data, other, store):
        spec = toy().learning_from(data)
        train(store, spec)
        found = store.embed(spec, other, "test", 0).vectors[:, :-1]
        learnt, tested = (
            np.array([[number_of(name), 1] for name in split.track_ids], dtype=np.float32)
            for split in (data.split("train"), other.split("test"))
        )
        np.testing.assert_allclose(found, Standardiser(learnt).apply(tested), rtol=1e-5)
        own = store.embed(PLACE, other, "test", 0).vectors
        assert np.abs(found[:, 0] - own[:, 0]).max() > 0.01

    def test_document_frequencies(self, data, other, store):
        spec = toy(inputs=(get_encoder("tfidf"),)).learning_from(data)
        train(store, spec)
        found = store.embed(spec, other, "test", 0).vectors[:, :-1]
        tested = other.split("test")
        expected = []
        for source in (data, other):
            tfidf = TfidfEncoder()
            tfidf.fit(source.split("train"))
            expected.append(tfidf.encode(TrackBatch(tested.track_ids, tested.tracks["caption"].to_numpy())))
        np.testing.assert_allclose(found, expected[0], rtol=1e-5, atol=1e-6)
        assert np.abs(expected[0] - expected[1]).max() > 1e-3

    def test_another_test_split_of_the_same_data_shares_the_statistics(self, data, tmp_path, store):
        spec = toy().learning_from(data)
        other = build_split_tables(tmp_path / "two", seeds={"test": 1})
        train(store, spec)
        assert untrained(store, toy().learning_from(other), 0) == []
        same = [store.embed(toy().learning_from(each), other, "test", 0).vectors for each in (data, other)]
        np.testing.assert_array_equal(*same)
