"""The conformance tests of tasks: the built-ins pass, and each check finds a task that is wrong so."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from support.small_data import build_split_tables

from larpbench.errors import UsageError
from larpbench.evaluation.metrics import CUTOFFS, MetricSpec
from larpbench.recommenders import RECOMMENDERS
from larpbench.tasks import TASKS
from larpbench.tasks.continuation.task import CONTINUATION, ContinuationTask
from larpbench.testing import check_task


class OwnTask(ContinuationTask):
    """Continuation under another name, and right."""

    name = "own"


class OnRidge(OwnTask):
    """A task whose default recommender learns."""

    default_recommenders = ("ridge",)


def changed(**attributes):
    """Return a task with other attributes or methods."""
    return type("Wrong", (OwnTask,), attributes)()


def result_of(change):
    """Return a task whose result is changed."""
    return changed(execute=lambda self, *inputs: change(ContinuationTask.execute(self, *inputs)))


def failed(task, **options):
    return [each for each in check_task(task, **options) if each.outcome in ("fail", "warning")]


@pytest.mark.parametrize("name", TASKS.names())
def test_built_in_tasks_conform(name):
    checks = check_task(TASKS.get(name))
    assert {each.outcome for each in checks} == {"pass"}


@pytest.mark.parametrize("task", [OwnTask(), OnRidge()])
def test_a_right_task_conforms(task):
    assert failed(task) == []


def test_another_data_set(tmp_path):
    checks = {each.name: each for each in check_task(CONTINUATION, build_split_tables(tmp_path / "data"))}
    assert checks["planted communities"].outcome == "skipped"
    assert {each.outcome for name, each in checks.items() if name != "planted communities"} == {"pass"}


def test_a_kind_of_data_without_a_toy_needs_data():
    checks = check_task(changed(kind="films"))
    assert [each.outcome for each in checks] == ["pass", *["skipped"] * (len(checks) - 1)]
    assert "no toy data set of kind films" in checks[1].detail


def with_values(result, name, values):
    return replace(result, values={**result.values, name: values})


def shorter(result):
    return replace(result, values={name: each[1:] for name, each in result.values.items()})


def without(result, part, name):
    return replace(result, **{part: {key: each for key, each in getattr(result, part).items() if key != name}})


def with_lists(change):
    def wrong(result):
        lists = result.lists.copy()
        change(lists, result)
        return replace(result, lists=lists)

    return result_of(wrong)


def repeat_first(lists, result):
    lists[:, 1] = lists[:, 0]


def leave_a_gap(lists, result):
    lists[0, 3] = -1


def beyond(lists, result):
    lists[0, 0] = len(result.item_ids)


def list_seeds(self, dataset, embeddings, recommender):
    """Put a seed of the third playlist first."""
    result = ContinuationTask.execute(self, dataset, embeddings, recommender)
    lists = result.lists.copy()
    seeds = dataset.split("test").interactions("seed")
    place = list(seeds.playlist_ids).index(result.query_ids[2])
    lists[2, 0] = seeds.tracks[seeds.offsets[place]]
    return replace(result, lists=lists)


def noisy(result):
    return with_values(result, "recall@10", result.values["recall@10"] * np.random.default_rng().random())


def scale(self, dataset, embeddings, recommender):
    embeddings["test"][:] *= 2
    return ContinuationTask.execute(self, dataset, embeddings, recommender)


def wander(self, *inputs):
    os.chdir("/")
    return ContinuationTask.execute(self, *inputs)


def refuse_vaguely(self, options):
    if options:
        raise UsageError("that is wrong")
    return self


def upside_down(self, dataset, embeddings, recommender):
    class Worst(type(recommender)):
        def item_vectors(self, vectors):
            return -super().item_vectors(vectors)

    worst = Worst("itemknn", "normalised", "the other way round")
    return ContinuationTask.execute(self, dataset, embeddings, worst)


def half(numbers):
    return {name: each / 2 for name, each in numbers.items()}


TWICE = (*OwnTask.metrics, MetricSpec("recall", 10))
OTHER_NAME = {"other": RECOMMENDERS.get("itemknn")}
WRONG = {  # what is wrong -> task, the check that finds it, what it says
    "no task": (OwnTask, "name, version, metrics", "it is a ABCMeta"),
    "no protocol": (changed(protocol=""), "name, version, metrics", "its protocol is ''"),
    "twice": (changed(metrics=TWICE), "name, version, metrics", "its metrics are"),
    "shown": (changed(shown=("coverage@10",)), "name, version, metrics", "show ('coverage@10',)"),
    "splits": (changed(splits=("tests",)), "name, version, metrics", "the splits tests"),
    "raises": (changed(execute=lambda self, *inputs: 1 / 0), "runs", "ZeroDivisionError"),
    "nothing": (changed(execute=lambda self, *inputs: None), "runs", "returned a NoneType"),
    "any data": (changed(view=lambda self, dataset: dataset), "other kinds of data", "a data set of kind"),
    "any option": (changed(configured=lambda self, options: self), "options", "accepts an option"),
    "vague": (changed(configured=refuse_vaguely), "options", "refused with: that is wrong"),
    "recommenders": (changed(recommenders=lambda self, names: OTHER_NAME), "recommenders", "calls itself 'itemknn'"),
    "any recommender": (
        changed(recommenders=lambda self, names: {"itemknn": RECOMMENDERS.get("itemknn")}), "recommenders", "not exist"
    ),
    "rows": (result_of(shorter), "one row a query", "values['recall@10']"),
    "ids": (
        result_of(lambda r: replace(r, item_ids=np.full(len(r.item_ids), "x"))), "one row a query", "is there twice"
    ),
    "left out": (result_of(lambda r: replace(r, left_out={})), "one row a query", "0 left out, of 24"),
    "no column": (result_of(lambda r: without(r, "values", "recall@10")), "metrics", "values['recall@10']"),
    "no chance": (result_of(lambda r: without(r, "chance", "mrr@40")), "metrics", "chance['mrr@40']"),
    "no hits": (result_of(lambda r: replace(r, hits_at={})), "metrics", "hits_at[10]"),
    "more columns": (result_of(lambda r: with_values(r, "luck", r.values["mrr@40"])), "metrics", "'luck'"),
    "above 1": (result_of(lambda r: with_values(r, "mrr@40", r.values["mrr@40"] + 1)), "bounds", "not in [0, 1]"),
    "above the ceiling": (
        result_of(lambda r: with_values(r, "recall@10", r.ceiling["recall@10"] / 1.0)), "random vectors", "recall@10"
    ),
    "low ceiling": (result_of(lambda r: replace(r, ceiling=half(r.chance))), "bounds", "above its ceiling"),
    "beyond": (with_lists(beyond), "lists", "does not have"),
    "gap": (with_lists(leave_a_gap), "lists", "after a gap"),
    "repeats": (with_lists(repeat_first), "lists", "an item twice"),
    "few candidates": (
        result_of(lambda r: replace(r, n_candidates=np.full(len(r.n_candidates), 3))), "lists", "n_candidates"
    ),
    "rising": (result_of(lambda r: replace(r, list_scores=-r.list_scores)), "lists", "rise along"),
    "lists seeds": (changed(execute=list_seeds), "seeds are masked", "its own seed tracks"),
    "itself": (
        result_of(lambda r: replace(r, item_ids=np.append(r.query_ids[0], r.item_ids[1:]), lists=r.lists * 0)),
        "seeds are masked", "in its own list",
    ),
    "hits": (result_of(lambda r: replace(r, hits_at=dict.fromkeys(CUTOFFS, 1))), "hits and ties", "hits_at[10] is 1"),
    "tie share": (result_of(lambda r: replace(r, tie_share=dict.fromkeys(CUTOFFS, 7))), "hits and ties", "is 7"),
    "no ties": (result_of(lambda r: replace(r, tie_share=dict.fromkeys(CUTOFFS, 0))), "equal vectors", "share of 0"),
    "random": (result_of(noisy), "deterministic", "'recall@10'"),
    "in place": (changed(execute=scale), "global state", "the vectors of test"),
    "chdir": (changed(execute=wander), "global state", "the working folder"),
    "chance": (result_of(lambda r: replace(r, chance=half(r.chance))), "random vectors score chance", "recall@10 of"),
    "upside down": (changed(execute=upside_down), "planted communities", "with random ones"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_found(fault):
    task, name, says = WRONG[fault]
    before = os.getcwd()  # noqa: PTH109
    (found,) = (each for each in failed(task) if each.name.startswith(name))
    assert says in found.detail
    assert found.advice
    assert os.getcwd() == before  # noqa: PTH109


def test_each_check_finds_something():
    names = {name for _, name, _ in WRONG.values()}
    assert all(any(each.name.startswith(name) for name in names) for each in check_task(OwnTask()))
