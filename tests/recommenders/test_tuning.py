from __future__ import annotations

import itertools
import json
import signal
import threading
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.planted_world import planted
from support.small_data import build_split_tables
from threadpoolctl import threadpool_info, threadpool_limits

from larpbench.errors import StorageError, TrainingError, UsageError
from larpbench.recommenders import RECOMMENDERS, training, tuning
from larpbench.recommenders.base import LearnedRecommender, SearchSpace, TrainData, ValidData
from larpbench.recommenders.tuning import Learner, draw, tune
from larpbench.recommenders.vectors import playlist_means
from larpbench.vectors import unit_rows


class Mixer(LearnedRecommender):
    """ItemKNN on the first `keep` numbers of the embeddings; fails where `breaks` says so."""

    name = "mixer"
    version = 1
    summary = "for tests"
    search_space: ClassVar[SearchSpace] = {"keep": (24.0, 12.0, 3.0, 1.0), "breaks": (0.0, 1.0)}
    seen: ClassVar[list[tuple[TrainData, ValidData]]] = []
    error: type[Exception] = RuntimeError

    def fit(self, train, valid):
        self.seen.append((train, valid))
        if self.params["breaks"]:
            raise self.error(f"broke at {self.params['keep']:.0f}")

    def query_vectors(self, seeds, embeddings):
        return playlist_means(seeds, self.item_vectors(embeddings))

    def item_vectors(self, embeddings):
        return unit_rows(embeddings[:, : int(self.params["keep"])])


@pytest.fixture(scope="module")
def world():
    return planted(tracks=120, playlists=80)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), budget=st.integers(1, 40), name=st.text(max_size=5))
def test_trials_are_the_defaults_and_then_others_none_twice(sizes, budget, name):
    space = {f"p{i}": tuple(float(10 * i + value) for value in range(size)) for i, size in enumerate(sizes)}
    trials = draw(name, space, budget)
    assert trials[0] == {parameter: values[0] for parameter, values in space.items()}
    assert len(trials) == min(budget, int(np.prod(sizes)))
    assert len({tuple(trial.items()) for trial in trials}) == len(trials)
    assert all(trial[parameter] in values for trial in trials for parameter, values in space.items())
    assert draw(name, space, budget) == trials
    assert draw(name, space, max(1, budget - 1)) == trials[: max(1, min(budget - 1, len(trials)))]


def test_a_large_budget_tries_everything():
    space = RECOMMENDERS.get("clcrec").search_space
    every = {tuple(zip(space, values, strict=True)) for values in itertools.product(*space.values())}
    assert {tuple(trial.items()) for trial in draw("clcrec", space, 1_000)} == every


def test_a_budget_below_1():
    with pytest.raises(UsageError, match="budget is 0"):
        draw("x", {"a": (1.0,)}, 0)


def test_the_best_on_valid_is_chosen_and_all_trials_are_told(world):
    tuned = tune(Mixer(), world.train, world.valid, 100)
    assert len(tuned.trials) == 8
    failed = [trial for trial in tuned.trials if trial.params["breaks"]]
    assert [trial.valid_recall for trial in failed] == [None] * 4
    assert failed[0].failure.startswith("RuntimeError: broke at ")
    worked = [trial for trial in tuned.trials if not trial.params["breaks"]]
    for trial in worked:
        assert trial.failure is None
        assert trial.valid_recall == world.valid.recall(Mixer(trial.params))
    best = max(worked, key=lambda trial: trial.valid_recall)
    assert tuned.params == best.params == tuned.best.params
    assert tuned.recommender.params == tuned.params


def test_of_equals_the_first_is_chosen(world, monkeypatch):
    monkeypatch.setattr(ValidData, "recall", lambda self, recommender: 0.5)
    assert tune(Mixer(), world.train, world.valid, 100).params == {"keep": 24.0, "breaks": 0.0}


def test_every_encoder_is_offered_the_same_trials(world):
    other = planted(seed=9, tracks=120, playlists=80, dim=40)
    first, second = (tune(Mixer(), w.train, w.valid, 4).trials for w in (world, other))
    assert [trial.params for trial in first] == [trial.params for trial in second]


def test_nothing_but_train_and_valid_is_handed_to_a_fit(world):
    Mixer.seen.clear()
    tune(Mixer(), world.train, world.valid, 3)
    for train, valid in Mixer.seen:
        assert train is world.train
        assert valid is world.valid
        assert {train.split.name, valid.split.name} == {"train", "valid"}


def test_if_all_fail_that_is_an_error(world, monkeypatch):
    monkeypatch.setattr(Mixer, "search_space", {"keep": (24.0, 1.0), "breaks": (1.0,)})
    with pytest.raises(TrainingError, match=r"all 2 trials of mixer failed; the first: RuntimeError: broke at 24"):
        tune(Mixer(), world.train, world.valid, 5)


def test_a_full_disk_is_no_failed_trial(world, monkeypatch):
    monkeypatch.setattr(Mixer, "search_space", {"keep": (24.0, 1.0), "breaks": (1.0,)})
    monkeypatch.setattr(Mixer, "error", StorageError)
    with pytest.raises(StorageError):
        tune(Mixer(), world.train, world.valid, 5)


@pytest.mark.parametrize("name", ["ridge", "clcrec"])
def test_trials_side_by_side_are_the_same_as_one_after_another(name, monkeypatch):
    world, kind = planted(tracks=60, playlists=40), RECOMMENDERS.get(name)
    outcomes = []
    for cores in (1, 3):
        monkeypatch.setattr(tuning, "cores", lambda n=cores: n)
        tuned = tune(kind, world.train, world.valid, 3)
        outcomes.append([(trial.params, trial.valid_recall) for trial in tuned.trials])
        vectors = tuned.recommender.item_vectors(world.test_embeddings)
        assert np.isfinite(vectors).all()
        outcomes[-1].append(vectors.tobytes())
    assert outcomes[0] == outcomes[1]


def test_only_fits_that_promise_it_share_a_process(world, monkeypatch):
    monkeypatch.setattr(tuning, "cores", lambda: 4)
    assert tuning.at_once(Mixer(), world.train) == 1  # it may draw from torch's own generator
    for name in ("clcrec", "dropoutnet", "dropoutnet-content", "ridge"):
        assert tuning.at_once(RECOMMENDERS.get(name), world.train) == 4


def test_side_by_side_fits_leave_the_threads_of_blas_as_they_were(world, monkeypatch):
    def limits():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    monkeypatch.setattr(tuning, "cores", lambda: 4)
    tune(RECOMMENDERS.get("ridge"), world.train, world.valid, 1)  # loads what it needs
    with threadpool_limits(3, "blas"):
        before = limits()
        tune(RECOMMENDERS.get("ridge"), world.train, world.valid, 6)
        assert limits() == before


def test_an_interrupted_tuning_stops_its_fits_at_once(monkeypatch):
    world = planted(tracks=2_000, playlists=2_000)
    main = threading.main_thread().ident
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        threading.Timer(1.0, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):  # all trials would take minutes
            tune(RECOMMENDERS.get("dropoutnet"), world.train, world.valid, 12)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not training.INTERRUPTED.is_set()


def test_a_learner_tunes_once_and_fits_every_seed(world):
    Mixer.seen.clear()
    learner, data = Learner(3), (world.train, world.valid)
    assert not learner.knows("e x mixer")
    learner.tune("e x mixer", Mixer(), *data)
    assert len(Mixer.seen) == 3
    first = learner.fitted("e x mixer", Mixer(), 0, *data)
    assert len(Mixer.seen) == 3  # seed 0 was fitted by its trial
    other = learner.fitted("e x mixer", Mixer(), 2, *data)
    assert len(Mixer.seen) == 4
    assert other.recommender.seed == 2
    assert first.recommender.params == other.recommender.params == first.tuning.params
    assert first.tuning.trials == other.tuning.trials
    assert other.seconds > 0
    for fit in (first, other):
        assert fit.valid_recall == world.valid.recall(fit.recommender)


@pytest.mark.parametrize("name", ["ridge", "clcrec"])
def test_seeds_fitted_ahead_are_the_same_as_one_after_another(name, monkeypatch):
    world, kind = planted(tracks=60, playlists=40), RECOMMENDERS.get(name)
    monkeypatch.setattr(tuning, "cores", lambda: 2)
    data = (world.train, world.valid)
    outcomes = []
    for ahead in (False, True):
        learner = Learner(2)
        learner.tune("e", kind, *data)
        assert [learner.is_fitted("e", seed) for seed in (0, 1, 2)] == [True, False, False]
        if ahead:
            learner.fit_ahead("e", kind, {1: data, 2: data})
            assert learner.is_fitted("e", 1)
            assert learner.is_fitted("e", 2)
        found = [learner.fitted("e", kind, seed, *data).recommender for seed in (0, 1, 2)]
        assert [each.seed for each in found] == [0, 1, 2]
        assert not learner.is_fitted("e", 2)  # it is given away once
        outcomes.append([each.item_vectors(world.test_embeddings).tobytes() for each in found])
    assert outcomes[0] == outcomes[1]


def test_a_fit_that_fails_ahead_fails_where_it_belongs(world, monkeypatch):
    learner, data = Learner(1), (world.train, world.valid)
    learner.tune("e", Mixer(), *data)
    monkeypatch.setattr(Mixer, "fit", lambda self, train, valid: (_ for _ in ()).throw(TrainingError("it diverged")))
    learner.fit_ahead("e", Mixer(), {1: data, 2: data})
    assert not learner.is_fitted("e", 1)
    with pytest.raises(TrainingError, match="it diverged"):
        learner.fitted("e", Mixer(), 2, *data)


def test_a_failed_tuning_fails_every_seed_without_another_try(world, monkeypatch):
    monkeypatch.setattr(Mixer, "search_space", {"keep": (24.0, 1.0), "breaks": (1.0,)})
    Mixer.seen.clear()
    learner, data = Learner(2), (world.train, world.valid)
    learner.tune("e x mixer", Mixer(), *data)
    for seed in (0, 1):
        with pytest.raises(TrainingError, match="all 2 trials"):
            learner.fitted("e x mixer", Mixer(), seed, *data)
    assert len(Mixer.seen) == 2


class Centred(LearnedRecommender):
    """Learns the mean train vector; it has no hyper-parameters."""

    name = "centred"
    version = 1
    summary = "for tests"

    def fit(self, train, valid):
        self.mean = train.embeddings.mean(axis=0)

    def query_vectors(self, seeds, embeddings):
        return playlist_means(seeds, self.item_vectors(embeddings))

    def item_vectors(self, embeddings):
        return unit_rows(embeddings - self.mean)


CENTRED = Centred()


def test_without_hyper_parameters_there_is_one_trial(cli, tmp_path, monkeypatch):
    assert draw("centred", {}, 5) == [{}]
    with pytest.raises(UsageError, match="has no parameter 'l2'"):
        Centred({"l2": 1.0})
    monkeypatch.setitem(RECOMMENDERS._builtins, "centred", f"{__name__}:CENTRED")
    build_split_tables(tmp_path / "data")
    vectors = tmp_path / "data-tables" / "vectors.npz"
    output = tmp_path / "r"
    done = cli(
        "run", "--dataset", tmp_path / "data", "--encoders", f"precomputed:{vectors}", "--recommenders", "centred",
        "--seeds", "2", "--output", output,
    )  # fmt: skip
    assert done.code == 0, done.err
    records = [json.loads(path.read_text()) for path in output.rglob("*.json")]
    assert [record["status"] for record in records] == ["ok", "ok"]
    for record in records:
        assert record["recommender"]["params"] == {}
        assert [trial["params"] for trial in record["recommender"]["trials"]] == [{}]
