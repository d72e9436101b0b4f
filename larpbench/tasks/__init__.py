"""Tasks: what is asked of an encoder, scored query by query."""

from __future__ import annotations

from typing import Any

from larpbench.errors import MissingPartError
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import Method
from larpbench.registry import Registry
from larpbench.tasks.base import Task

TASKS: Registry[Task[Any]] = Registry(
    "task",
    Task,
    {
        "artist-similarity": "larpbench.tasks.artist_similarity.task:ARTIST_SIMILARITY",
        "continuation": "larpbench.tasks.continuation:CONTINUATION",
    },
    group="larpbench.tasks",
    name_of=lambda task: task.name,
)


def own_recommenders() -> dict[str, tuple[str, Method | MissingPartError]]:
    """Return name -> task and recommender, or why it cannot be loaded, of those that belong to one task alone."""
    broken = {problem.name for problem in TASKS.problems() if problem.kind == "broken"}
    return {
        name: (task, found)
        for task in TASKS.names()
        if task not in broken
        for name, found in TASKS.get(task).recommenders(["all"]).items()
        if name not in RECOMMENDERS.names()
    }
