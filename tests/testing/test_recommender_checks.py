"""The conformance tests of recommenders: all built-ins pass, and each check finds a recommender that is wrong so."""

from __future__ import annotations

import os
from types import MappingProxyType

import numpy as np
import pytest

from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import LearnedRecommender, Recommender, ResumableRecommender
from larpbench.recommenders.tuning import draw
from larpbench.recommenders.vectors import playlist_means
from larpbench.testing import check_recommender
from larpbench.training.loop import Selection


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))


class Means(Recommender):
    """Mean of the seeds, and right."""

    name, version, summary = "means", 1, "mean of the seeds"

    def query_vectors(self, seeds, embeddings):
        return playlist_means(seeds, self.item_vectors(embeddings))

    def item_vectors(self, embeddings):
        return unit(embeddings)


class Centred(LearnedRecommender):
    """Vectors less a share of the train mean, with a random sign; right, and without a paper."""

    name, version, summary = "centred", 1, "cosine of centred vectors"
    search_space = MappingProxyType({"share": (1.0, 0.5)})

    def fit(self, train, valid):
        sign = np.random.default_rng(self.seed).choice([-1, 1], size=train.embeddings.shape[1])
        self.mean, self.sign = self.params["share"] * train.embeddings.mean(axis=0), sign * (1 + self.seed)

    def query_vectors(self, seeds, embeddings):
        return playlist_means(seeds, self.item_vectors(embeddings))

    def item_vectors(self, embeddings):
        return unit(((embeddings - self.mean) * self.sign).astype(np.float32))


class NoParameters(Centred):
    search_space = LearnedRecommender.search_space

    def fit(self, train, valid):
        self.mean, self.sign = train.embeddings.mean(axis=0), 1.0 + self.seed + np.arange(train.embeddings.shape[1])


class Steps(ResumableRecommender):
    """Vectors whose dimensions are scaled at random, a little more in each epoch; right."""

    name, version, summary = "steps", 1, "cosine of scaled vectors"

    def begin(self, train):
        self.generator, self.scale = np.random.default_rng(self.seed), np.ones(train.embeddings.shape[1])
        self.selection = Selection([0.0])

    def advance(self, train, valid, epochs):
        if self.selection is None:
            self.begin(train)
        while self.selection.epochs < epochs:
            self.scale += self.generator.random(len(self.scale))
            self.selection.scores.append(self.selection.epochs / 20)

    def finish(self):
        self.generator = None

    def query_vectors(self, seeds, embeddings):
        return playlist_means(seeds, self.item_vectors(embeddings))

    def item_vectors(self, embeddings):
        return unit((embeddings * self.scale).astype(np.float32))


def forgetful_advance(self, train, valid, epochs):
    if self.selection is not None:
        self.generator = np.random.default_rng(self.seed)
    Steps.advance(self, train, valid, epochs)


def changed(base, **methods):
    """Return a recommender with other methods or attributes."""
    return type("Wrong", (base,), methods)()


def outcomes(recommender):
    return {each.name: each for each in check_recommender(recommender)}


@pytest.mark.parametrize("name", RECOMMENDERS.names())
def test_built_in_recommenders_conform(name):
    assert [each for each in check_recommender(RECOMMENDERS.get(name)) if each.outcome in ("fail", "warning")] == []


@pytest.mark.parametrize("kind", [Means, Centred, NoParameters, Steps])
def test_a_right_recommender_conforms(kind):
    assert [each for each in check_recommender(kind()) if each.outcome in ("fail", "warning")] == []


def test_without_parameters_there_is_one_trial():
    assert draw("centred", {}, budget=6) == [{}]


def last_seed(self, seeds, embeddings):
    return self.item_vectors(embeddings)[seeds.tracks[seeds.offsets[1:] - 1]]


def centred_queries(self, seeds, embeddings):
    means = Means.query_vectors(self, seeds, embeddings)
    return means - means.mean(axis=0)


def not_bounded(self, embeddings):
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def noisy_items(self, embeddings):
    return unit(embeddings) + np.random.default_rng().normal(size=embeddings.shape).astype(np.float32)


def numbered_items(self, embeddings):
    return unit(embeddings) + np.arange(len(embeddings), dtype=np.float32)[:, None]


def in_place(self, embeddings):
    embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    return embeddings


def several_seeds(self, seeds, embeddings):
    assert seeds.lengths.min() > 1 or len(seeds) > 1, "no spread"
    return Means.query_vectors(self, seeds, embeddings)


def seeding_fit(self, train, valid):
    np.random.seed(self.seed)
    Centred.fit(self, train, valid)


def scaling_fit(self, train, valid):
    Centred.fit(self, train, valid)
    train.embeddings[:] /= 2


def unseeded_fit(self, train, valid):
    Centred.fit(self, train, valid)
    self.mean = self.mean + np.random.default_rng().normal(size=len(self.mean))


def fit_of_one_seed(self, train, valid):
    seed, self.seed = self.seed, 0
    Centred.fit(self, train, valid)
    self.seed = seed


def fit_of_defaults(self, train, valid):
    self.params = {"share": 1.0}
    Centred.fit(self, train, valid)


WRONG = {  # what is wrong -> recommender, the check that finds it, its outcome, what it says
    "no instance": (Means, "fit", "fail", "it is a ABCMeta"),
    "fit raises": (changed(Centred, fit=lambda self, train, valid: 1 / 0), "fit", "fail", "ZeroDivisionError"),
    "no summary": (changed(Means, summary=""), "name, version, summary", "fail", "its summary is ''"),
    "version": (changed(Means, version="1.0"), "name, version, summary", "fail", "its version is '1.0'"),
    "two lines": (changed(Means, summary="a\nb"), "name, version, summary", "fail", "several lines"),
    "no values": (changed(Centred, search_space={"share": (1.0, float("nan"))}), "search space", "fail", "share may"),
    "built": (changed(Centred, built=lambda self, params, seed: type(self)(seed=seed)), "search space", "fail", "0.5"),
    "a list": (
        changed(Means, query_vectors=lambda self, s, e: playlist_means(s, e).tolist()), "shape and dtype", "fail", "a l"
    ),
    "rows": (changed(Means, item_vectors=lambda self, e: unit(e)[1:]), "shape and dtype", "fail", "(47, 8)"),
    "dtype": (changed(Means, item_vectors=lambda self, e: e.astype(float)), "shape and dtype", "fail", "float64"),
    "columns": (
        changed(Means, query_vectors=lambda self, s, e: playlist_means(s, e)[:, :3]), "shape and dtype", "fail", "3 col"
    ),
    "nan": (changed(Means, item_vectors=lambda self, e: e * np.float32("nan")), "finite", "fail", "NaN"),
    "random": (changed(Means, item_vectors=noisy_items), "deterministic", "fail", "two calls differ"),
    "statistics": (
        changed(Means, query_vectors=centred_queries), "playlists do not depend on each other", "fail", "the other"
    ),
    "the last seed": (changed(Means, query_vectors=last_seed), "seeds are a set", "fail", "listed by track id"),
    "row numbers": (changed(Means, item_vectors=numbered_items), "item order", "fail", "where the track stands"),
    "one seed": (changed(Means, query_vectors=several_seeds), "one seed", "fail", "no spread"),
    "zero": (changed(Means, item_vectors=not_bounded), "zero vectors", "fail", "for a zero vector"),
    "in place": (changed(Means, item_vectors=in_place), "global state", "fail", "the embeddings"),
    "chdir": (
        changed(Means, item_vectors=lambda self, e: os.chdir("/") or unit(e)), "global state", "fail", "working folder"
    ),
    "unseeded": (changed(Centred, fit=unseeded_fit), "same seed, same fit", "fail", "two fits with the same seed"),
    "one seed only": (changed(Centred, fit=fit_of_one_seed), "other seeds", "warning", "the same vectors"),
    "runs once": (changed(Centred, stochastic=False), "other seeds", "fail", "different vectors"),
    "forgetful": (changed(Steps, advance=forgetful_advance), "a fit in parts", "fail", "in parts differs"),
    "unused": (changed(Centred, fit=fit_of_defaults), "parameters are used", "warning", "'share'"),
    "seeds others": (changed(Centred, fit=seeding_fit), "fit leaves all else alone", "fail", "numpy's random numbers"),
    "scales": (changed(Centred, fit=scaling_fit), "fit leaves all else alone", "fail", "the train embeddings"),
    "sign": (
        changed(Means, query_vectors=lambda self, s, e: -Means.query_vectors(self, s, e)),
        "planted communities", "warning", "chance is 0.2",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_found(fault):
    recommender, name, outcome, says = WRONG[fault]
    before = os.getcwd()  # noqa: PTH109
    found = outcomes(recommender)[name]
    assert found.outcome == outcome
    assert says in found.detail
    assert found.advice
    assert os.getcwd() == before  # noqa: PTH109


def test_each_check_finds_something():
    assert {each.name for each in check_recommender(Centred())} == {name for _, name, *_ in WRONG.values()}
