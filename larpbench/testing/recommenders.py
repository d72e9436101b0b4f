"""Conformance tests of a recommender: what larpbench relies on, whatever it computes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import numpy as np

from larpbench.datasets.schema import Dataset, Interactions, Split
from larpbench.errors import named
from larpbench.evaluation.queries import Queries, queries_of
from larpbench.recommenders.base import (
    DEFAULT_BUDGET,
    LearnedRecommender,
    Recommender,
    ResumableRecommender,
    TrainData,
    ValidData,
)
from larpbench.testing.checks import (
    Caution,
    Check,
    Failure,
    Skip,
    difference,
    require_close,
    require_fields,
    require_no_side_effects,
    restored_state,
    run_check,
    run_checks,
    skipped,
)
from larpbench.testing.worlds import planted_vectors, toy_playlists

_SEED = 3
_ABOVE_CHANCE = 1.2

Vectors = tuple[np.ndarray, np.ndarray]


class _Subject:
    """A recommender, fitted if it learns, and its vectors of the toy test split, computed once."""

    def __init__(self, kind: Recommender) -> None:
        self.kind = kind
        self.dataset: Dataset = toy_playlists()
        self.test: Split = self.dataset.split("test")
        self.queries: Queries = queries_of(self.test)
        self.embeddings = planted_vectors(self.test)
        self.ready: Recommender = kind

    @property
    def learned(self) -> LearnedRecommender:
        if not isinstance(self.kind, LearnedRecommender):
            raise Skip("it learns nothing")
        return self.kind

    def data(self) -> tuple[TrainData, ValidData]:
        train, valid = self.dataset.split("train"), self.dataset.split("valid")
        return TrainData(train, planted_vectors(train)), ValidData(valid, planted_vectors(valid))

    def fitted(self, params: Mapping[str, float], seed: int = _SEED) -> LearnedRecommender:
        """Return another one, fitted."""
        built = self.learned.built(params, seed)
        built.fit(*self.data())
        return built

    def vectors(self, recommender: Recommender) -> Vectors:
        """Return copies of query and item vectors of the toy test split."""
        embeddings = self.embeddings.copy()
        queries = recommender.query_vectors(self.queries.seeds, embeddings)
        items = recommender.item_vectors(embeddings)
        return np.array(queries), np.array(items)

    @functools.cached_property
    def whole(self) -> Vectors:
        return self.vectors(self.ready)


def check_recommender(recommender: Recommender) -> list[Check]:
    """Run the conformance tests on a recommender; raises nothing that the recommender raises.

    A learned one is fitted on a toy data set of two communities, a few times for each of its parameters.

    Args:
        recommender: What its entry point names: for a learned one, unfitted and with the default parameters.
    """
    with restored_state():
        subject = _Subject(recommender)
        fit = run_check("fit", _fit, subject)
        if fit.outcome == "fail":
            return [fit, *skipped(_CHECKS, "it could not be fitted")]
        return [fit, *run_checks(_CHECKS, subject)]


def _fit(it: _Subject) -> None:
    if not isinstance(it.kind, Recommender):
        raise Failure(f"it is a {type(it.kind).__name__}", "name an instance of a subclass of Recommender")
    if isinstance(it.kind, LearnedRecommender):
        it.ready = it.fitted({})


def _attributes(it: _Subject) -> None:
    require_fields(it.kind, name=str, version=int, summary=str)


def _search_space(it: _Subject) -> None:
    from larpbench.recommenders.tuning import draw

    space = it.learned.search_space
    for parameter, values in space.items():
        if not values or not all(math.isfinite(value) for value in values):
            raise Failure(f"{parameter} may be {values!r}", "a tuple of numbers, the default first")
    for params in draw(it.learned.name, space, DEFAULT_BUDGET):
        built = it.learned.built(params, _SEED)
        if built is it.kind or built.params != params or built.seed != _SEED:
            raise Failure(
                f"built({params}, {_SEED}) has params {built.params} and seed {built.seed}",
                "return a new, unfitted one; call super().__init__(params, seed)",
            )


def _same_seed(it: _Subject) -> None:
    for one, other in zip(it.whole, it.vectors(it.fitted({})), strict=True):
        if not np.array_equal(one, other):
            raise Failure(
                f"two fits with the same seed differ by up to {difference(one, other):.2g}",
                "draw from generators seeded with self.seed only; no threads whose order matters",
            )


def _other_seed(it: _Subject) -> None:
    other = it.fitted({}, _SEED + 1) if isinstance(it.kind, LearnedRecommender) else it.kind.seeded(_SEED + 1)
    same = all(np.array_equal(*pair) for pair in zip(it.whole, it.vectors(other), strict=True))
    if same and it.kind.stochastic:
        raise Caution(
            "two seeds give the same vectors, and it runs once a seed", "let the property stochastic return False"
        )
    if not same and not it.kind.stochastic:
        raise Failure(
            "two seeds give different vectors, and it runs once only", "let the property stochastic return True"
        )


def _parameters(it: _Subject) -> None:
    unused = []
    for parameter, values in it.learned.search_space.items():
        if len(set(values)) > 1:
            others = [it.vectors(it.fitted({parameter: value})) for value in values[1:]]
            if all(np.array_equal(*pair) for other in others for pair in zip(it.whole, other, strict=True)):
                unused.append(parameter)
    if unused:
        raise Caution(
            f"the result does not depend on {named(unused)}", "read self.params in fit, or leave the parameter out"
        )


def _parts(it: _Subject) -> None:
    from larpbench.recommenders.halving import FIRST, resumes

    built = it.learned.built({}, _SEED)
    if not isinstance(built, ResumableRecommender) or not resumes(built):
        raise Skip("its fits are whole")
    for epochs in (1, FIRST, built.epochs):
        built.advance(*it.data(), epochs)
    built.finish()
    for one, other in zip(it.whole, it.vectors(built), strict=True):
        if not np.array_equal(one, other):
            raise Failure(
                f"a fit in parts differs from one at once by up to {difference(one, other):.2g}",
                "keep weights, optimisers and generators from one call of advance to the next; finish takes the best",
            )


def _fit_inputs(it: _Subject) -> None:
    train, valid = it.data()
    arrays = {"the train embeddings": train.embeddings, "the valid embeddings": valid.embeddings}
    for name, rows in (
        ("train playlists", train.interactions),
        ("valid seeds", valid.queries.seeds),
        ("valid held-out tracks", valid.queries.heldout),
    ):
        arrays |= {f"the {name} ({part})": getattr(rows, part) for part in ("offsets", "tracks")}
    built = it.learned.built({}, _SEED)
    require_no_side_effects(lambda: built.fit(train, valid), "fit", arrays)


def _shape(it: _Subject) -> None:
    for vectors, rows, call in zip(
        (
            it.ready.query_vectors(it.queries.seeds, it.embeddings.copy()),
            it.ready.item_vectors(it.embeddings.copy()),
        ),
        (len(it.queries.seeds), len(it.embeddings)),
        ("query_vectors", "item_vectors"),
        strict=True,
    ):
        if not isinstance(vectors, np.ndarray):
            raise Failure(f"{call} returned a {type(vectors).__name__}", "return a numpy array")
        if vectors.ndim != 2 or len(vectors) != rows:
            raise Failure(f"{call} returned shape {vectors.shape}", f"one row each: ({rows}, k)")
        if vectors.dtype != np.float32:
            raise Failure(f"{call} returned {vectors.dtype}", "return float32: .astype(np.float32)")
    queries, items = it.whole
    if queries.shape[1] != items.shape[1]:
        raise Failure(
            f"query vectors have {queries.shape[1]} columns, item vectors {items.shape[1]}",
            "the score is their inner product: they need the same length",
        )


def _finite(it: _Subject) -> None:
    if not all(np.isfinite(vectors).all() for vectors in it.whole):
        raise Failure("NaN or infinite numbers", "such a score fails the whole cell")


def _deterministic(it: _Subject) -> None:
    for one, other in zip(it.whole, it.vectors(it.ready), strict=True):
        if not np.array_equal(one, other):
            raise Failure(f"two calls differ by up to {difference(one, other):.2g}", "dropout off (.eval()), no draws")


def _playlists_alone(it: _Subject) -> None:
    rows = np.arange(len(it.queries.seeds))[::-3]
    some = it.ready.query_vectors(it.queries.seeds.select(rows), it.embeddings.copy())
    require_close(
        np.asarray(some),
        it.whole[0][rows],
        "a playlist's vector depends on the other playlists",
        "keep the order of the playlists; no statistics over them",
    )


def _seed_sets(it: _Subject) -> None:
    """Renumber the tracks: seeds are listed by track id, which is no order of the playlist."""
    order = np.random.default_rng(_SEED).permutation(len(it.embeddings))
    renumbered = _renumbered(it.queries.seeds, np.argsort(order))
    queries = it.ready.query_vectors(renumbered, it.embeddings[order])
    require_close(
        np.asarray(queries),
        it.whole[0],
        "a playlist's vector depends on the order of its seeds, which are listed by track id",
        "seeds are a set: take their mean, maximum or the like, and not the first or last one",
    )


def _renumbered(playlists: Interactions, places: np.ndarray) -> Interactions:
    tracks = places[playlists.tracks]
    owner = np.repeat(np.arange(len(playlists)), playlists.lengths)
    return Interactions(playlists.playlist_ids, playlists.offsets, tracks[np.lexsort((tracks, owner))])


def _item_order(it: _Subject) -> None:
    order = np.random.default_rng(_SEED).permutation(len(it.embeddings))
    items = it.ready.item_vectors(it.embeddings[order])
    require_close(
        np.asarray(items),
        it.whole[1][order],
        "a track's vector depends on where the track stands",
        "keep the order of the rows",
    )


def _one_seed(it: _Subject) -> None:
    playlist = Interactions(np.array(["p"]), np.array([0, 1]), np.array([5]))
    vectors = np.asarray(it.ready.query_vectors(playlist, it.embeddings.copy()))
    if vectors.shape != (1, it.whole[1].shape[1]) or not np.isfinite(vectors).all():
        raise Failure(f"shape {vectors.shape}, or NaN", "a playlist may have a single seed")


def _zero_vectors(it: _Subject) -> None:
    """A track without any feature, and two seeds whose mean is zero."""
    embeddings = it.embeddings.copy()
    embeddings[4], embeddings[6] = 0, -embeddings[5]
    playlists = Interactions(np.array(["p", "q"]), np.array([0, 1, 3]), np.array([4, 5, 6]))
    queries, items = it.ready.query_vectors(playlists, embeddings.copy()), it.ready.item_vectors(embeddings.copy())
    if not (np.isfinite(queries).all() and np.isfinite(items).all()):
        raise Failure(
            "NaN or infinite numbers for a zero vector, or for seeds that cancel out",
            "bound divisions by a length away from 0",
        )


def _global_state(it: _Subject) -> None:
    inputs = {"the embeddings": it.embeddings.copy()}
    seeds = it.queries.seeds
    inputs |= {f"the seeds ({part})": getattr(seeds, part).copy() for part in ("offsets", "tracks")}
    copy = Interactions(seeds.playlist_ids, inputs["the seeds (offsets)"], inputs["the seeds (tracks)"])

    def call() -> None:
        it.ready.query_vectors(copy, inputs["the embeddings"])
        it.ready.item_vectors(inputs["the embeddings"])

    require_no_side_effects(call, "scoring", inputs)


def _planted(it: _Subject) -> None:
    from larpbench.evaluation.selection import SELECTION_CUTOFF, recall_at

    recall, chance = recall_at(*it.whole, it.queries), float((SELECTION_CUTOFF / it.queries.candidates).mean())
    if recall < _ABOVE_CHANCE * chance:
        raise Caution(
            f"recall@{SELECTION_CUTOFF} is {recall:.3f} where vectors show which tracks belong together; "
            f"chance is {chance:.3f}",
            "look at the sign of the scores; a control is meant to be at chance",
        )


_CHECKS: dict[str, Callable[[_Subject], None]] = {
    "name, version, summary": _attributes,
    "search space": _search_space,
    "shape and dtype": _shape,
    "finite": _finite,
    "deterministic": _deterministic,
    "playlists do not depend on each other": _playlists_alone,
    "seeds are a set": _seed_sets,
    "item order": _item_order,
    "one seed": _one_seed,
    "zero vectors": _zero_vectors,
    "global state": _global_state,
    "same seed, same fit": _same_seed,
    "other seeds": _other_seed,
    "a fit in parts": _parts,
    "parameters are used": _parameters,
    "fit leaves all else alone": _fit_inputs,
    "planted communities": _planted,
}
