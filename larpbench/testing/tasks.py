"""Conformance tests of a task: that its results are complete, add up, and tell good vectors from random ones."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from larpbench.datasets.schema import SPLITS, Dataset, Split, SplitName
from larpbench.encoders.names import get_encoder
from larpbench.errors import LarpbenchError, MissingPartError, UsageError, named
from larpbench.evaluation.metrics import MetricSpec, find_hits
from larpbench.recommenders.base import LearnedRecommender, Scorer, TrainData, ValidData
from larpbench.tasks.base import Task
from larpbench.tasks.result import TaskResult
from larpbench.testing.checks import (
    Caution,
    Check,
    Failure,
    Skip,
    require_fields,
    require_no_side_effects,
    restored_state,
    run_check,
    run_checks,
    skipped,
)
from larpbench.testing.worlds import planted_vectors, random_vectors, toy_graph, toy_listeners, toy_playlists

Vectors = dict[SplitName, np.ndarray]
_TOYS: dict[str, Callable[[], Dataset]] = {
    "playlists": toy_playlists,
    "listeners": toy_listeners,
    "artist-graph": toy_graph,
}
_SEED = 3
_SEEDS = 20
_STANDARD_ERRORS, _MARGIN, _TOLERANCE = 5, 0.01, 1e-9
_UNKNOWN_OPTION = "no_such_option"


class _Subject:
    """A task, the data that it reads, a recommender, and its result on random vectors, computed once."""

    def __init__(self, task: Task[Any], dataset: Dataset | None) -> None:
        self.task = task
        self.is_toy = dataset is None
        self.dataset = _TOYS[task.kind]() if dataset is None else dataset

    @functools.cached_property
    def seen(self) -> Dataset:
        return self.task.view(self.dataset)

    @functools.cached_property
    def recommender(self) -> Scorer:
        """The first of the task that reads vectors and can be loaded."""
        spec = get_encoder("random")
        for recommender in self.task.recommenders(["default"]).values():
            if not isinstance(recommender, MissingPartError) and self.task.pairs(spec, recommender):
                return recommender
        raise Failure("no recommender of its own defaults reads vectors", "see default_recommenders and pairs")

    def vectors(self, make: Callable[[Split], np.ndarray]) -> Vectors:
        """Return the vectors of all splits that are read."""
        names = dict.fromkeys((*self.task.splits, *self.recommender.learns_from))
        return {name: make(self.seen.split(name)) for name in names}

    def random(self, seed: int = _SEED) -> Vectors:
        return self.vectors(lambda split: random_vectors(split, seed))

    def run(self, vectors: Vectors) -> TaskResult:
        """Return the result with copies of these vectors."""
        return self.task.execute(self.seen, _copies(vectors), self.fitted(vectors))

    def fitted(self, vectors: Vectors) -> Scorer:
        """Return the recommender, fitted if it learns."""
        if not isinstance(self.recommender, LearnedRecommender):
            return self.recommender
        recommender = self.recommender.built({}, _SEED)
        train, valid = self.seen.split("train"), self.seen.split("valid")
        recommender.fit(TrainData(train, vectors["train"]), ValidData(valid, vectors["valid"]))
        return recommender

    @functools.cached_property
    def result(self) -> TaskResult:
        return self.run(self.random())

    @functools.cached_property
    def random_means(self) -> dict[str, np.ndarray]:
        """Quality metric -> (20,) its means for random vectors of different seeds."""
        with contextlib.redirect_stderr(io.StringIO()):  # progress, twenty times
            results = [self.run(self.random(seed)) for seed in range(_SEEDS)]
        return {spec.column: np.array([each.values[spec.column].mean() for each in results]) for spec in self.quality}

    @property
    def quality(self) -> list[MetricSpec]:
        return [spec for spec in self.task.metrics if spec.quality]


def check_task(task: Task[Any], dataset: Dataset | None = None) -> list[Check]:
    """Run the conformance tests on a task; raises nothing that the task raises.

    Args:
        task: The task, with the options to be checked.
        dataset: What it is run on; default: a toy data set of its kind with two planted communities. A task with a
            kind of data of its own needs one.
    """
    with restored_state():
        checks = [run_check("name, version, metrics", _attributes, task)]
        if checks[0].outcome == "fail":
            return [*checks, *skipped({"runs": None, **_CHECKS}, "its attributes are wrong")]
        if dataset is None and task.kind not in _TOYS:
            why = f"there is no toy data set of kind {task.kind}: hand one in (--dataset)"
            return [*checks, *skipped({"runs": None, **_CHECKS}, why)]
        subject = _Subject(task, dataset)
        checks.append(run_check("runs", _runs, subject))
        if checks[-1].outcome == "fail":
            return [*checks, *skipped(_CHECKS, "it does not run")]
        return [*checks, *run_checks(_CHECKS, subject)]


def _copies(vectors: Vectors) -> Vectors:
    return {name: each.copy() for name, each in vectors.items()}


def _attributes(task: Task[Any]) -> None:
    if not isinstance(task, Task):
        raise Failure(f"it is a {type(task).__name__}", "name an instance of a subclass of Task")
    require_fields(task, name=str, version=int, summary=str, protocol=str, kind=str, query=str, item=str)
    columns = [spec.column for spec in task.metrics]
    if not columns or len(set(columns)) < len(columns):
        raise Failure(f"its metrics are {columns}", "at least one, each once")
    quality = [spec.column for spec in task.metrics if spec.quality]
    if not quality or set(task.columns) - set(quality):
        raise Failure(f"its tables show {task.columns}", f"shown names quality metrics: {', '.join(quality)}")
    if strange := sorted(set(task.splits) - set(SPLITS)):
        raise Failure(f"it reads the splits {', '.join(strange)}", ", ".join(SPLITS))


def _runs(it: _Subject) -> None:
    if not isinstance(it.result, TaskResult):
        raise Failure(f"execute returned a {type(it.result).__name__}", "return a TaskResult")
    if not len(it.result.query_ids):
        raise Failure("no query was scored", "raise ProtocolError if the data set has none")


def _other_data(it: _Subject) -> None:
    for kind, toy in _TOYS.items():
        if kind != it.task.kind:
            try:
                it.task.view(toy())
            except LarpbenchError:
                continue
            raise Failure(f"it takes a data set of kind {kind}", "call super().view(dataset), which refuses others")


def _options(it: _Subject) -> None:
    if it.task.configured({}).protocol != it.task.protocol:
        raise Failure("configured without options changes the protocol", "return the task with its default options")
    try:
        it.task.configured({_UNKNOWN_OPTION: "1"})
    except UsageError as error:
        if _UNKNOWN_OPTION not in str(error).replace("-", "_"):
            raise Failure(f"an unknown option is refused with: {error.what}", "name the option in the error") from None
        return
    raise Failure("it accepts an option that it does not have", "raise UsageError: a typing error must not pass")


def _recommenders(it: _Subject) -> None:
    for name, recommender in it.task.recommenders(["default"]).items():
        if isinstance(recommender, MissingPartError):
            continue
        if not isinstance(recommender, Scorer):
            raise Failure(f"{name!r} is a {type(recommender).__name__}", "a subclass of Scorer")
        require_fields(recommender, name=str, version=int, summary=str)
        if recommender.name != name:
            raise Failure(f"{name!r} calls itself {recommender.name!r}", "one name: results are found by it")
    try:
        it.task.recommenders(["no-such-recommender"])
    except LarpbenchError:
        return
    raise Failure("it accepts a recommender that does not exist", "raise UnknownNameError")


def _rows(it: _Subject) -> None:
    result = it.result
    n = len(result.query_ids)
    columns = {
        f"{part}[{name!r}]": column
        for part in ("values", "chance", "ceiling")
        for name, column in getattr(result, part).items()
    }
    columns |= {part: getattr(result, part) for part in ("n_seeds", "n_heldout", "n_candidates")}
    wrong = [name for name, column in columns.items() if np.shape(column) != (n,)]
    wrong += [name for name in ("lists", "list_scores") if np.shape(getattr(result, name))[:1] != (n,)]
    if wrong:
        raise Failure(f"{named(wrong)} do not have one row for each of the {n} query_ids", "one row a counted query")
    if len(set(result.query_ids.tolist())) < n or len(set(result.item_ids.tolist())) < len(result.item_ids):
        raise Failure("an id of query_ids or item_ids is there twice", "each once")
    if result.lists.shape != result.list_scores.shape:
        raise Failure(f"lists {result.lists.shape}, list_scores {result.list_scores.shape}", "the same shape")
    total = _queries(it)
    if total is not None and n + sum(result.left_out.values()) != total:
        raise Failure(
            f"{n} queries are scored and {sum(result.left_out.values())} left out, of {total}",
            "count in left_out, by reason, what is not scored",
        )


def _queries(it: _Subject) -> int | None:
    """Return how many queries the test split has, where queries are playlists, listeners or artists."""
    if it.task.query in ("playlist", "listener"):
        return it.seen.split("test").entries["playlist_id"].n_unique()
    if it.task.query == "artist" and it.seen.graph is not None:
        return len(it.seen.graph.rows("test"))
    return None


def _metrics(it: _Subject) -> None:
    result, missing = it.result, []
    for spec in it.task.metrics:
        part = "values" if spec.per_query else "totals"
        if spec.column not in getattr(result, part):
            missing.append(f"{part}[{spec.column!r}]")
    for part in ("chance", "ceiling"):
        missing += [f"{part}[{spec.column!r}]" for spec in it.quality if spec.column not in getattr(result, part)]
    cutoffs = sorted({spec.k for spec in it.task.metrics})
    for part in ("hits_at", "tie_share"):
        missing += [f"{part}[{k}]" for k in cutoffs if k not in getattr(result, part)]
    if missing:
        raise Failure(f"the result lacks {named(missing)}", "fill in all that its metrics name")
    if more := sorted({*result.values, *result.totals} - {spec.column for spec in it.task.metrics}):
        raise Failure(f"the result has columns that are no metrics of the task: {named(more)}", "add them to metrics")


def _bounds(it: _Subject) -> None:
    result = it.result
    for name, values in result.values.items():
        if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1 + _TOLERANCE).all()):
            raise Failure(f"{name} is not in [0, 1]", "intervals are those of shares")
    for spec in it.quality:
        name = spec.column
        for lower, upper, text in (
            (result.values[name], result.ceiling[name], "is above its ceiling"),
            (result.chance[name], result.ceiling[name], "has a chance level above its ceiling"),
            (np.zeros(len(result.query_ids)), result.chance[name], "has a negative chance level"),
        ):
            if not (lower <= upper + _TOLERANCE).all():
                raise Failure(f"{name} {text}", "compare both for the same query; larpbench.evaluation.bounds")


def _lists(it: _Subject) -> None:
    result, lists = it.result, it.result.lists
    listed = lists >= 0
    if (lists < -1).any() or (lists >= len(result.item_ids)).any():
        raise Failure("lists name rows that item_ids does not have", "rows of item_ids, -1 for none")
    if (listed[:, 1:] & ~listed[:, :-1]).any():
        raise Failure("a list goes on after a gap", "fill up with -1 at the end")
    ordered = np.sort(lists, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise Failure("a list names an item twice", "each item once")
    if (listed.sum(axis=1) > result.n_candidates).any():
        raise Failure("a list is longer than n_candidates", "count the candidates of each query")
    both = listed[:, 1:]
    if (result.list_scores[:, 1:][both] > result.list_scores[:, :-1][both]).any():
        raise Failure("list_scores rise along a list", "the best item first")


def _masked(it: _Subject) -> None:
    result = it.result
    names = np.append(result.item_ids, "")[result.lists]  # -1 is the empty name at the end
    if (names == result.query_ids[:, None]).any():
        raise Failure("a query is in its own list", "mask it: it is no answer to itself")
    if it.task.query != "playlist":
        return
    visible = it.seen.split("test").entries.filter(pl.col("role") == "seed")
    pairs = set(visible.select("playlist_id", "track_id").iter_rows())
    for query, row in zip(result.query_ids.tolist(), names.tolist(), strict=True):
        if any((query, name) in pairs for name in row):
            raise Failure(f"a list of {query!r} holds its own seed tracks", "mask the seeds (protocol rule 5)")


def _hits(it: _Subject) -> None:
    result = it.result
    for k, share in result.tie_share.items():
        if not 0 <= share <= 1:
            raise Failure(f"tie_share[{k}] is {share}", "a share of the lists, in [0, 1]")
    if result.heldout is None:
        raise Skip("the result does not name the held-out items: heldout is None")
    if not np.array_equal(result.heldout.lengths, result.n_heldout):
        raise Failure("n_heldout is not the number of held-out items", "count heldout")
    hits = find_hits(result.lists, result.heldout, len(result.item_ids))
    for k, count in result.hits_at.items():
        if int(hits[:, :k].sum()) != count:
            raise Failure(
                f"hits_at[{k}] is {count}; in the lists there are {hits[:, :k].sum()}", "count the lists cut at K"
            )


def _ties(it: _Subject) -> None:
    result = it.run(it.vectors(lambda split: np.ones_like(random_vectors(split, _SEED))))
    shares = [result.tie_share[k] for k in result.tie_share if k < result.n_candidates.min()]
    if shares and min(shares) < 1:
        raise Caution(
            f"equal vectors have a tie share of {min(shares):.2f}",
            "count the lists whose cut falls between equal scores",
        )


def _deterministic(it: _Subject) -> None:
    again = it.run(it.random())
    changed = [name for name, values in it.result.values.items() if not np.array_equal(values, again.values[name])]
    if changed or not np.array_equal(it.result.lists, again.lists):
        raise Failure(f"two runs differ in {named(changed or ['lists'])}", "draw from generators with fixed seeds")


def _side_effects(it: _Subject) -> None:
    vectors = it.random()
    recommender = it.fitted(vectors)
    inputs = {f"the vectors of {name}": each for name, each in vectors.items()}
    require_no_side_effects(lambda: it.task.execute(it.seen, vectors, recommender), "execute", inputs)


def _chance(it: _Subject) -> None:
    for name, means in it.random_means.items():
        chance = float(it.result.chance[name].mean())
        margin = _STANDARD_ERRORS * means.std(ddof=1) / np.sqrt(len(means)) + _MARGIN
        if abs(means.mean() - chance) > margin:
            raise Failure(
                f"{name} of random vectors is {means.mean():.3f}, and its chance level {chance:.3f}",
                "compute chance as the expectation of a random order of the same candidates; look for a leak",
            )


def _planted(it: _Subject) -> None:
    if not it.is_toy:
        raise Skip("only the toy data sets have planted communities")
    name = it.task.columns[0]
    planted = float(it.run(it.vectors(planted_vectors)).values[name].mean())
    at_random = float(it.random_means[name].mean())
    if planted <= at_random + _MARGIN:
        raise Failure(
            f"{name} is {planted:.3f} with vectors that show the communities, and {at_random:.3f} with random ones",
            "look at the order of lists and at what counts as a hit",
        )


_CHECKS: dict[str, Callable[[_Subject], None]] = {
    "other kinds of data": _other_data,
    "options": _options,
    "recommenders": _recommenders,
    "one row a query": _rows,
    "metrics": _metrics,
    "bounds": _bounds,
    "lists": _lists,
    "seeds are masked": _masked,
    "hits and ties": _hits,
    "equal vectors": _ties,
    "deterministic": _deterministic,
    "global state": _side_effects,
    "random vectors score chance": _chance,
    "planted communities": _planted,
}
