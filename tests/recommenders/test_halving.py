"""Fits that stop and go on, and the tuning that drops trials between their parts."""

from __future__ import annotations

import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.listener_world import planted_listeners
from support.planted_world import planted

from larpbench.datasets.schema import Interactions
from larpbench.errors import TrainingError
from larpbench.recommenders import RECOMMENDERS, dropoutnet, training, tuning
from larpbench.recommenders.base import ResumableRecommender, SearchSpace
from larpbench.recommenders.fits import do
from larpbench.recommenders.halving import resumes, rungs_of, work_of
from larpbench.recommenders.listeners.clcrec import ListenerCLCRec
from larpbench.recommenders.listeners.dropoutnet import ListenerContentTowers, ListenerDropoutNet
from larpbench.recommenders.listeners.ridge import ListenerRidge
from larpbench.recommenders.training import GradientRecommender
from larpbench.recommenders.tuning import draw, tune
from larpbench.recommenders.vectors import playlist_means
from larpbench.training.loop import Selection
from larpbench.vectors import unit_rows

RESUMABLE = ["clcrec", "dropoutnet", "dropoutnet-content"]
LISTENERS = [ListenerCLCRec, ListenerDropoutNet, ListenerContentTowers]


@pytest.fixture(scope="module")
def small():
    return planted(tracks=60, playlists=40)


@pytest.fixture(scope="module")
def listeners(tmp_path_factory):
    return planted_listeners(tmp_path_factory.mktemp("world") / "w", listeners=80, tracks=200)


def state(recommender, test_vectors, seeds):
    """All that a fit has come to."""
    found = recommender.selection
    vectors = recommender.query_vectors(seeds, test_vectors[0]), recommender.item_vectors(test_vectors[1])
    return [each.tobytes() for each in vectors], found.scores, found.spreads, found.ended


def in_parts(kind, params, seed, data, ends):
    built = kind.built(params, seed)
    for epochs in ends:
        torch.manual_seed(epochs)  # what others draw in between does not matter
        built.advance(*data, epochs)
    built.finish()
    return built


@settings(max_examples=5, deadline=None)
@given(
    name=st.sampled_from(RESUMABLE),
    ends=st.lists(st.integers(0, 8), max_size=4).map(lambda ends: [*sorted(ends), 8]),
    seed=st.integers(0, 5),
    trial=st.integers(0, 5),
)
def test_a_fit_in_parts_is_an_uninterrupted_fit_to_the_bit(small, name, ends, seed, trial):
    kind, data = RECOMMENDERS.get(name), (small.train, small.valid)
    params = draw(name, kind.search_space, 6)[trial]
    vectors = small.test_embeddings, small.test_embeddings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GradientRecommender, "epochs", 8)
        whole = kind.built(params, seed)
        whole.fit(*data)
        parts = in_parts(kind, params, seed, data, ends)
    assert state(parts, vectors, small.test.seeds) == state(whole, vectors, small.test.seeds)


@pytest.mark.parametrize("kind", LISTENERS)
def test_so_it_is_for_listeners(listeners, kind, monkeypatch):
    monkeypatch.setattr(GradientRecommender, "epochs", 3)
    data, world = (listeners.train, listeners.valid), listeners
    whole = kind({}, 1)
    whole.fit(*data)
    vectors = world.vectors["train"], world.vectors["test"]
    expected = state(whole, vectors, world.test.seeds)
    assert state(in_parts(kind(), {}, 1, data, [1, 2, 3]), vectors, world.test.seeds) == expected


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_fit_goes_on_in_another_process(small, name):
    """What is needed to go on can be sent, and holds nothing of the data."""
    kind, data = RECOMMENDERS.get(name), (small.train, small.valid)
    whole, parts = kind.built({}, 0), kind.built({}, 0)
    whole.fit(*data)
    parts.advance(*data, 2)
    sent = pickle.dumps(parts)
    assert small.train.embeddings.tobytes()[:400] not in sent
    train, valid = pickle.loads(pickle.dumps(data))
    received = pickle.loads(sent)
    received.advance(train, valid, 20)
    received.finish()
    items = [each.item_vectors(small.test_embeddings).tobytes() for each in (whole, received)]
    assert items[0] == items[1]


@pytest.mark.parametrize(("name", "cores"), [("clcrec", 3), ("clcrec", 1), ("dropoutnet", 3)])
def test_the_winner_is_its_uninterrupted_fit(small, name, cores, monkeypatch):
    monkeypatch.setattr(tuning, "cores", lambda: cores)
    monkeypatch.setattr(GradientRecommender, "epochs", 10)  # three rungs
    kind = RECOMMENDERS.get(name)
    tuned = tune(kind, small.train, small.valid, 6)
    alone = kind.built(tuned.params, 0)
    alone.fit(small.train, small.valid)
    vectors = small.test_embeddings, small.test_embeddings
    assert state(tuned.recommender, vectors, small.test.seeds) == state(alone, vectors, small.test.seeds)
    assert tuned.best.valid_recall == small.valid.recall(alone)
    assert tuned.recommender._training is None


@pytest.mark.parametrize("name", RESUMABLE)
def test_data_that_all_trials_share_are_made_once(name, monkeypatch):
    world, made = planted(tracks=60, playlists=40), []
    real = training.Entries.__init__
    monkeypatch.setattr(training.Entries, "__init__", lambda self, *args: (made.append(args), real(self, *args))[1])
    tune(RECOMMENDERS.get(name), world.train, world.valid, 4)
    assert len(made) == 1


def test_what_validation_looks_at_is_made_once(monkeypatch):
    world, calls = planted(tracks=60, playlists=40), []
    real = dropoutnet.playlist_means
    monkeypatch.setattr(dropoutnet, "playlist_means", lambda *args: (calls.append(args), real(*args))[1])
    built = RECOMMENDERS.get("dropoutnet").built({}, 0)
    built.fit(world.train, world.valid)
    assert built.selection.epochs > 2
    assert len(calls) == 2  # of train and of valid
    assert built.selection.best == world.valid.recall(built)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**16))
def test_pairs_that_are_observed_are_found_in_both_ways(playlists, tracks, seed):
    generator = np.random.default_rng(seed)
    held = generator.random((playlists, tracks)) < 0.3
    rows = Interactions(
        np.arange(playlists).astype(str), np.concatenate([[0], held.sum(axis=1).cumsum()]), np.nonzero(held)[1]
    )
    dense, sparse = training.Entries(rows, tracks), training.Entries(rows, tracks)
    assert dense._dense is not None
    sparse._dense = None
    some = generator.integers(playlists, size=9), generator.integers(tracks, size=7)
    for entries in (dense, sparse):
        found = entries.observed(*some)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, held[some[0]][:, some[1]])


class Scripted(ResumableRecommender):
    """Its recalls by epoch are told for each value of `script`; None is a failure."""

    name = "scripted"
    version = 1
    summary = "for tests"
    scripts: ClassVar[list[list[float | None]]] = []
    search_space: ClassVar[SearchSpace] = {"script": tuple(map(float, range(8)))}
    done: ClassVar[list[tuple[int, int, int]]] = []
    live: ClassVar[set[int]] = set()
    most_live: ClassVar[list[int]] = []

    def advance(self, train, valid, epochs):
        number = int(self.params["script"])
        if number not in self.live:
            self.selection = Selection([0.0])
            self.live.add(number)
        self.done.append((number, self.selection.epochs, epochs))
        while self.selection.epochs < epochs:
            if self.selection.ended == "patience":
                break
            score = self.scripts[number][self.selection.epochs]
            if score is None:
                raise RuntimeError(f"broke in epoch {self.selection.epochs + 1}")
            if score < 0:
                self.selection.ended = "patience"
                break
            self.selection.scores.append(score)
        self.most_live.append(len(self.live))

    def finish(self):
        self.live.discard(int(self.params["script"]))

    def query_vectors(self, seeds, embeddings):
        return playlist_means(seeds, unit_rows(embeddings))

    def item_vectors(self, embeddings):
        return unit_rows(embeddings)


def scripted(monkeypatch, world, scripts, budget=None):
    """Tune; scripts are given in the order of the draw, each with its last number repeated to epoch 20."""
    for name in ("done", "most_live"):
        getattr(Scripted, name).clear()
    Scripted.live.clear()
    order = [int(each["script"]) for each in draw("scripted", Scripted.search_space, 8)]
    full = [script + [script[-1]] * (20 - len(script)) for script in scripts]
    by_number = {number: full[place] for place, number in enumerate(order[: len(full)])}
    monkeypatch.setattr(Scripted, "scripts", [by_number.get(number, []) for number in range(8)])
    tuned = tune(Scripted(), world.train, world.valid, budget or len(scripts), map)
    return tuned, [order.index(number) for number, _, _ in Scripted.done]


def test_three_go_on_and_then_one(small, monkeypatch):
    scripts = [[0.1], [0.5], [0.2], [0.3, 0.3, 0.3, 0.9], [0.4], [0.0, 0.0, 0.0, 1.0]]
    tuned, done = scripted(monkeypatch, small, scripts)
    assert done == [0, 1, 2, 3, 4, 5, 1, 4, 3, 3]
    assert [[(each.epoch, each.valid_recall) for each in trial.rungs] for trial in tuned.trials] == [
        [(3, 0.1)],
        [(3, 0.5), (9, 0.5)],
        [(3, 0.2)],
        [(3, 0.3), (9, 0.9), (20, 0.9)],
        [(3, 0.4), (9, 0.4)],
        [(3, 0.0)],
    ]
    assert tuned.params == tuned.trials[3].params
    assert [trial.valid_recall for trial in tuned.trials] == [0.1, 0.5, 0.2, 0.9, 0.4, 0.0]
    assert max(Scripted.most_live) <= 4  # the best three so far, and the one at work
    assert not Scripted.live


def test_of_equals_the_earlier_draw_goes_on(small, monkeypatch):
    tuned, done = scripted(monkeypatch, small, [[0.1], [0.4], [0.4], [0.4], [0.4]])
    assert done == [0, 1, 2, 3, 4, 1, 2, 3, 1]
    assert tuned.params == tuned.trials[1].params


def test_a_fit_that_has_ended_stays_so_and_may_win(small, monkeypatch):
    tuned, _ = scripted(monkeypatch, small, [[0.5, 0.6, -1.0], [0.1], [0.2], [0.3]])
    assert [each.epoch for each in tuned.best.rungs] == [2, 2, 2]
    assert tuned.params == tuned.trials[0].params
    assert tuned.recommender.selection.scores == [0.0, 0.5, 0.6]


def test_a_trial_that_fails_is_out_and_is_not_replaced(small, monkeypatch):
    scripts = [[0.5, None], [0.4, 0.4, 0.4, None], [0.3], [0.2], [0.1]]
    tuned, done = scripted(monkeypatch, small, scripts)
    assert done == [0, 1, 2, 3, 4, 1, 2, 3, 2]
    assert tuned.params == tuned.trials[2].params
    first, second = tuned.trials[:2]
    assert (first.valid_recall, first.failure) == (None, "RuntimeError: broke in epoch 2")
    assert [(each.epoch, each.valid_recall, each.failure) for each in first.rungs] == [(1, 0.5, first.failure)]
    assert [(each.epoch, each.failure) for each in second.rungs] == [(3, None), (3, "RuntimeError: broke in epoch 4")]


def test_if_the_last_one_fails_the_next_best_takes_its_place(small, monkeypatch):
    tuned, done = scripted(monkeypatch, small, [[0.5] * 12 + [None], [0.4], [0.3]])
    assert done == [0, 1, 2, 0, 1, 2, 0, 1]
    assert tuned.params == tuned.trials[1].params
    assert tuned.best.rungs[-1].epoch == 20


def test_if_all_of_a_rung_fail_the_next_best_take_their_place(small, monkeypatch):
    broken = [[score] * 5 + [None] for score in (0.9, 0.8, 0.7)]
    tuned, done = scripted(monkeypatch, small, [*broken, [0.2], [0.1]])
    assert done == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 3]
    assert tuned.params == tuned.trials[3].params


def test_if_all_fail_that_is_an_error(small, monkeypatch):
    with pytest.raises(TrainingError, match="all 2 trials of scripted failed; the first: RuntimeError: broke in epoch"):
        scripted(monkeypatch, small, [[None], [None]])
    with pytest.raises(TrainingError, match="broke in epoch 11"):
        scripted(monkeypatch, small, [[0.1] * 10 + [None], [0.1] * 10 + [None]])


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_small_budgets_have_all_rungs(small, monkeypatch, budget):
    tuned, _ = scripted(monkeypatch, small, [[0.1], [0.2], [0.3]][:budget], budget)
    assert [each.epoch for each in tuned.best.rungs] == [3, 9, 20]
    assert tuned.best.valid_recall == max(trial.valid_recall for trial in tuned.trials)


def test_what_is_halved_and_what_is_not():
    assert [resumes(RECOMMENDERS.get(name)) for name in (*RESUMABLE, "ridge")] == [True, True, True, False]
    assert all(resumes(kind()) for kind in LISTENERS)
    assert not resumes(ListenerRidge())

    class OwnFit(Scripted):
        """Its fit does more than to train all epochs, so that parts of it are not the whole."""

        def fit(self, train, valid):
            super().fit(train, valid)

    assert not resumes(OwnFit())
    assert rungs_of(20, 6) == [(3, 6), (9, 3), (20, 1)]
    assert rungs_of(6, 2) == [(3, 2), (6, 2), (6, 1)]
    kind = RECOMMENDERS.get("clcrec")
    assert work_of(kind, 1) == 1 < work_of(kind, 2) < 2 < work_of(kind, 6) < 0.65 * 6
    assert work_of(RECOMMENDERS.get("ridge"), 6) == 6


def test_fits_are_done_by_whoever_is_given_them(small):
    """The seam for other machines: outcomes may be of copies, and their order is that of the jobs."""
    batches = []

    def elsewhere(function, jobs):
        assert function is do
        batches.append(len(jobs))
        sent = [pickle.dumps(job) for job in jobs]
        yield from (pickle.loads(pickle.dumps(function(pickle.loads(each)))) for each in sent)

    kind = RECOMMENDERS.get("clcrec")
    here, there = (tune(kind, small.train, small.valid, 4, *run) for run in ((), (elsewhere,)))
    assert batches == [4, 3, 1]
    assert here.params == there.params
    assert [each.valid_recall for each in here.trials] == [each.valid_recall for each in there.trials]
    vectors = [each.recommender.item_vectors(small.test_embeddings) for each in (here, there)]
    np.testing.assert_array_equal(*vectors)
