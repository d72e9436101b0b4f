"""Training of any encoder: once a key, from train and valid alone, and never half a checkpoint."""

from __future__ import annotations

import errno
import json
import resource
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from small_data import build_split_tables

from larpbench.encoders import get_encoder
from larpbench.encoders.base import EncodeContext, EncoderCard, EncoderSpec, FitContext, TrackBatch, Training
from larpbench.encoders.checkpoints import CARD, read_card
from larpbench.encoders.keys import checkpoint_key, embedding_key
from larpbench.encoders.scaling import Standardiser
from larpbench.encoders.store import EmbeddingStore
from larpbench.encoders.tfidf import TfidfEncoder
from larpbench.encoders.training import ensure_trained, untrained
from larpbench.errors import DataError, EmbeddingError, MissingPartError, StorageError
from larpbench.planning import make_plan
from larpbench.runner import carry_out
from larpbench.tasks.validation import validation_recall


@dataclass(frozen=True)
class Fit:
    """What one training was given."""

    train: set[str]
    valid: set[str]
    context: FitContext


FITS: list[Fit] = []
ENCODED: list[str] = []


class Toy:
    """Its weights say which settings it went through; its vectors are its first input's, and how often it learnt."""

    def __init__(self, context: EncodeContext, argument: str | None) -> None:
        self.weights: list[str] = []

    def fit(self, train, valid, context):
        FITS.append(Fit(set(train.track_ids), set(valid.track_ids), context))
        before = json.loads((context.start / "weights.json").read_text()) if context.start else []
        self.weights = [*before, f"{context.settings['rate']}, seed {context.seed}"]
        return {"updates": 7, "best": context.score(np.eye(len(valid.track_ids), 3, dtype=np.float32) + 1)}

    def save(self, folder):
        (folder / "weights.json").write_text(json.dumps(self.weights))

    def load(self, folder):
        self.weights = json.loads((folder / "weights.json").read_text())

    def encode(self, batch: TrackBatch) -> np.ndarray:
        return np.append(batch.inputs[0], np.full((len(batch), 1), len(self.weights), np.float32), axis=1)


class Place:
    """A track's number, in units that ask for standardising, and 1."""

    def encode(self, batch):
        ENCODED.extend(batch.track_ids)
        numbers = [[number_of(name), 1] for name in batch.track_ids]
        return np.array(numbers, dtype=np.float32)


def number_of(track_id: str) -> int:
    """A number that depends on nothing but the letters."""
    return sum(place * ord(letter) for place, letter in enumerate(track_id, start=1)) % 1_009


def card(name, **changes):
    made = EncoderCard(
        name=name, version=1, summary="s", modalities=("text",), dim=None, weights="none", licence="none",
        tracks_per_second=1,
    )  # fmt: skip
    return made.model_copy(update=changes)


def place(**changes):
    made = card("place", modalities=(), **{"standardised": True, **changes})
    return EncoderSpec(made, factory=lambda context, argument: Place())


PLACE = place()


def toy(name="toy", *, inputs=(PLACE,), factory=Toy, rate=1, **training):
    made = Training("toy 1", {"rate": rate}, inputs=tuple(inputs), **training)
    return EncoderSpec(card(name, stochastic=True), factory=factory, inputs=tuple(inputs), training=made)


@pytest.fixture(autouse=True)
def forget():
    FITS.clear()
    ENCODED.clear()


@pytest.fixture
def data(tmp_path):
    return build_split_tables(tmp_path / "one")


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "home" / "embeddings")


def train(store, spec, seed=0):
    return ensure_trained(store, spec, seed, validation_recall)


def left_behind(store):
    found = (path.name for path in store.checkpoints.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".lock"))


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


def key_of(spec, data, seed=0):
    return checkpoint_key(spec.learning_from(data), seed)


def with_captions(data, split, mark="!"):
    edited = pl.when(pl.col("split") == split).then(pl.col("caption") + mark).otherwise(pl.col("caption"))
    return replace(data, tracks=data.tracks.with_columns(caption=edited))


class TestKey:
    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(toy(rate=2), id="settings"),
            pytest.param(replace(toy(), training=replace(toy().training, method="toy 2")), id="method"),
            pytest.param(replace(toy(), plugin="toys 1.0"), id="plugin"),
            pytest.param(toy(start=toy("before")), id="start"),
            pytest.param(toy(weights_digest=lambda: "other"), id="initial-weights"),
            pytest.param(toy(inputs=(place(version=2),)), id="version-of-input"),
            pytest.param(toy(inputs=(place(standardised=False),)), id="scaling-of-input"),
            pytest.param(toy(inputs=(PLACE, get_encoder("tfidf"))), id="one-more-input"),
            pytest.param(toy(reads_captions=True), id="captions"),
        ],
    )
    def test_it_changes_with_all_that_is_set(self, data, changed):
        assert key_of(changed, data) != key_of(toy(), data)

    def test_it_changes_with_the_seed_and_with_what_it_goes_on_from(self, data):
        assert key_of(toy(), data, seed=1) != key_of(toy(), data)
        starts = [toy(start=toy("before", rate=rate)) for rate in (1, 2)]
        assert key_of(starts[0], data) != key_of(starts[1], data)
        assert len(key_of(toy(), data)) == 32

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_it_changes_with_the_playlists_and_tracks_that_it_learns_from(self, data, tmp_path, split):
        playlists = build_split_tables(tmp_path / "a" / "one", playlist_seeds={split: 1})
        assert playlists.tracks.equals(data.tracks)
        tracks = build_split_tables(tmp_path / "b" / "one", seeds={split: 1})
        assert len({key_of(toy(), each) for each in (data, playlists, tracks)}) == 3

    def test_it_does_not_change_with_the_test_split(self, data, tmp_path):
        other = build_split_tables(tmp_path / "two", seeds={"test": 1})
        assert other.manifest.fingerprint != data.manifest.fingerprint
        assert set(other.split("test").track_ids).isdisjoint(data.split("test").track_ids)
        for spec in (toy(), toy(inputs=(PLACE, get_encoder("tfidf"))), toy(reads_captions=True, start=toy("before"))):
            assert key_of(spec, other) == key_of(spec, data)
        assert key_of(toy(reads_captions=True), with_captions(data, "test")) == key_of(toy(reads_captions=True), data)

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_captions_count_where_they_are_read(self, data, split):
        edited = with_captions(data, split)
        assert key_of(toy(), edited) == key_of(toy(), data)
        assert key_of(toy(reads_captions=True), edited) != key_of(toy(reads_captions=True), data)
        through_input = toy(inputs=(get_encoder("tfidf"),))
        assert key_of(through_input, edited) != key_of(through_input, data)

    def test_it_changes_with_the_vectors_of_a_file_that_it_learns_from(self, data, tmp_path):
        path = tmp_path / "vectors.npz"
        ids = np.concatenate([data.split(name).track_ids for name in ("train", "valid", "test")])
        keys = set()
        for value in (1.0, 2.0):
            np.savez(path, ids=ids, embeddings=np.full((len(ids), 4), value, dtype=np.float32))
            keys.add(key_of(toy(inputs=(get_encoder(f"precomputed:{path}"),)), data))
        assert len(keys) == 2

    def test_a_view_has_the_same_weights_and_other_vectors(self, data, store):
        whole = toy(inputs=(PLACE, get_encoder("tfidf"))).learning_from(data)
        view = replace(
            whole, argument="left", card=whole.card.model_copy(update={"modalities": ()}), inputs=whole.inputs[:1]
        )
        assert checkpoint_key(view, 0) == checkpoint_key(whole, 0)
        assert store.checkpoint(view, 0) == store.checkpoint(whole, 0)
        keys = {embedding_key(each, data, data.split("test"), 0) for each in (whole, view)}
        assert len(keys) == 2
        train(store, whole)
        assert untrained(store, view, 0) == []
        assert view.identity == "toy:left@one"

    def test_vectors_of_other_weights_have_another_key(self, data):
        test = data.split("test")
        keys = {embedding_key(toy(rate=rate).learning_from(data), data, test, 0) for rate in (1, 2)}
        keys |= {embedding_key(toy().learning_from(data), data, test, seed) for seed in (0, 1)}
        assert len(keys) == 3


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
        monkeypatch.setattr("larpbench.encoders.store.TEXT_SHARD", 7)
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


class TestWhatGoesWrong:
    def test_the_work_folder_survives_a_failure_and_goes_after_a_success(self, data, store):
        seen: list[str] = []

        class Interrupted(Toy):
            def fit(self, train, valid, context):
                half = context.workdir / "half-done"
                seen.append(half.read_text() if half.is_file() else "")
                half.write_text("up to here")
                if len(seen) < 3:
                    raise (RuntimeError("too hot"), KeyboardInterrupt)[len(seen) - 1]
                return super().fit(train, valid, context)

        spec = toy(factory=Interrupted).learning_from(data)
        for kind in (RuntimeError, KeyboardInterrupt):
            with pytest.raises(kind):
                train(store, spec)
            assert left_behind(store) == ["half-done"]
            assert untrained(store, spec, 0) == [spec]
        folder = train(store, spec)
        assert seen == ["", "up to here", "up to here"]
        assert left_behind(store) == [CARD, "weights.json"]
        assert [path for path in store.checkpoints.rglob("*") if path.is_dir()] == [folder.parent, folder]

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_a_data_set_without_playlists_to_learn_from_is_refused_before_any_work(self, tmp_path, store, split):
        data = build_split_tables(tmp_path / "one", without=(split,))
        with pytest.raises(
            DataError, match=f"learns from playlists, and the {split} split of 'one' has none"
        ) as caught:
            train(store, toy().learning_from(data))
        assert "--train-fraction" in str(caught.value)
        assert FITS == []
        assert ENCODED == []
        assert not store.root.exists()
        assert not store.checkpoints.exists()

    @pytest.mark.parametrize("lacking", ["fit", "save", "load"])
    def test_an_encoder_that_cannot_be_trained_is_named(self, data, store, lacking):
        class Lacking(Toy):
            pass

        setattr(Lacking, lacking, None)
        spec = toy(factory=Lacking).learning_from(data)
        with pytest.raises(EmbeddingError, match="'toy@one' says that it is trained, but it cannot be"):
            train(store, spec)
        assert left_behind(store) == []

    @pytest.mark.parametrize("size", [0, 60])
    def test_a_full_disk_leaves_no_half_checkpoint(self, data, store, size):
        class Heavy(Toy):
            def save(self, folder):
                with no_file_over(size):
                    (folder / "numbers.bin").write_bytes(b"x" * 60)
                    super().save(folder)  # 10 bytes
                    (folder / "more.bin").write_bytes(b"x" * 61)

        spec = toy(factory=Heavy).learning_from(data)
        with pytest.raises(StorageError, match="cannot write: File too large") as caught:
            train(store, spec)
        assert caught.value.next_step
        assert left_behind(store) == []
        assert untrained(store, spec, 0) == [spec]
        train(store, toy().learning_from(data))
        assert left_behind(store) == [CARD, "weights.json"]

    def test_a_kill_between_saving_and_tidying_up_leaves_nothing_for_ever(self, data, store, monkeypatch):
        spec = toy().learning_from(data)
        with monkeypatch.context() as killed:
            killed.setattr("shutil.rmtree", lambda *arguments, **options: None)
            folder = train(store, spec)
        (work,) = (path for path in folder.parent.iterdir() if path.is_dir() and path != folder)
        assert train(store, spec) == folder
        assert len(FITS) == 1
        assert not work.exists()

    def test_what_a_killed_process_was_saving_is_swept(self, data, store):
        spec = toy().learning_from(data)
        half = store.checkpoint(spec, 0).parent / ".larpbench-tmp-killed"
        half.mkdir(parents=True)
        (half / "weights.json").write_text("[")
        train(store, spec)
        assert not half.exists()

    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
    def test_a_damaged_card_is_named_with_what_to_do(self, data, store, text):
        folder = train(store, toy().learning_from(data))
        (folder / CARD).write_text(text)
        with pytest.raises(StorageError, match="the card of a checkpoint is damaged") as caught:
            read_card(folder)
        assert str(folder / CARD) in str(caught.value)
        assert caught.value.next_step == "delete that folder; the encoder is trained anew"

    @pytest.mark.parametrize("raised", [FileNotFoundError(errno.ENOENT, "no such wordlist"), RuntimeError("too hot")])
    def test_an_error_of_the_encoder_is_not_taken_for_one_of_the_store(self, data, store, raised):
        class Failing(Toy):
            def fit(self, train, valid, context):
                raise raised

        with pytest.raises(type(raised), match=str(raised.args[-1])):
            train(store, toy(factory=Failing).learning_from(data))

    def test_a_failed_training_fails_its_cells_and_no_others(self, data, store, tmp_path, monkeypatch):
        from larpbench.encoders import ENCODERS

        class Failing(Toy):
            def fit(self, train, valid, context):
                raise OSError(errno.EIO, "the fan broke")

        monkeypatch.setitem(ENCODERS._builtins, "toy", "nowhere:TOY")
        monkeypatch.setitem(ENCODERS._loaded, "toy", toy(factory=Failing))
        plan = make_plan(data, encoders=["toy", "tfidf"], seeds=2, output=tmp_path / "r", store=store)
        summary = carry_out(plan, store)
        assert [planned.cell.encoder for planned, _ in summary.failed] == ["toy@one", "toy@one"]
        assert ["the fan broke" in message for _, message in summary.failed] == [True, True]
        assert [planned.cell.encoder for planned in summary.computed] == ["tfidf"]


@contextmanager
def no_file_over(size: int):
    """Let no file of this process grow over `size` bytes: the way in which a full disk shows, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_validation_takes_no_playlists_that_ask_nothing(tmp_path):
    from larpbench.errors import ProtocolError

    data = build_split_tables(tmp_path / "one", lengths=(1, 1))
    with pytest.raises(ProtocolError, match="no playlist of the valid split has both a seed and a held-out track"):
        validation_recall(data.split("valid"))
