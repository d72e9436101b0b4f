"""Tasks: kinds of queries to an encoder, scored query by query."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from larpbench.errors import MissingPartError
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import Scorer
from larpbench.registry import Registry
from larpbench.tasks.base import Task

TASKS: Registry[Task[Any]] = Registry(
    "task",
    Task,
    {
        "artist-similarity": "larpbench.tasks.artist_similarity.task:ARTIST_SIMILARITY",
        "cold-tracks": "larpbench.tasks.cold_tracks.task:COLD_TRACKS",
        "continuation": "larpbench.tasks.continuation.task:CONTINUATION",
    },
    group="larpbench.tasks",
    name_of=lambda task: task.name,
)


def own_recommenders(plugins: bool = False) -> dict[str, tuple[str, Scorer | MissingPartError]]:
    """Return name -> task and recommender, or why it cannot be loaded, of those that belong to one task alone.

    Args:
        plugins: Whether those of plug-ins' tasks count too, which are imported for that; one that breaks has none.
    """
    found: dict[str, tuple[str, Scorer | MissingPartError]] = {}
    for task in TASKS.names():
        if not (plugins or TASKS.origin(task).built_in):
            continue
        with suppress(MissingPartError):
            recommenders = TASKS.get(task).own_recommenders()
            found |= {name: (task, each) for name, each in recommenders.items() if name not in RECOMMENDERS.names()}
    return found
