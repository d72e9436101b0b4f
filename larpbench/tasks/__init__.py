"""Tasks: what is asked of an encoder, scored query by query."""

from __future__ import annotations

from larpbench.registry import Registry
from larpbench.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "task",
    Task,
    {"continuation": "larpbench.tasks.continuation:CONTINUATION"},
    group="larpbench.tasks",
    name_of=lambda task: task.name,
)
