"""The page on metrics names every metric that a record can hold."""

from __future__ import annotations

import re

from support.doc_commands import DOCS

from larpbench.evaluation.beyond.measures import RANGES
from larpbench.tasks import TASKS


def test_every_metric_of_every_built_in_task_has_a_row():
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    named = {name for name, _ in re.findall(r"`(\w+)@(K|\d+)`", text)}
    built_in = [TASKS.get(name) for name in TASKS.names() if TASKS.origin(name).built_in]
    assert named >= {spec.name for task in built_in for spec in task.metrics} | RANGES.keys()
    rows = set(re.findall(r"^\| `(\w+)@", text, re.MULTILINE))
    assert rows >= RANGES.keys()
