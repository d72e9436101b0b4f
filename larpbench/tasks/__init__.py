"""Tasks: what is asked of an encoder, scored query by query."""

from __future__ import annotations

from typing import Any

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
