"""Scores by how much of a query is visible: how good where there is little to go by, and nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from larpbench.evaluation.statistics import bootstrap_interval
from larpbench.results.rows import Score, Table, task_of

FEW_QUERIES = 20


def by_visible(table: Table) -> list[Table]:
    """Return the table's sorting metric broken down by the number of visible parts of a query.

    Returns:
        One table with a column for each group that is not empty; none where the task has no groups.
    """
    task, metric = task_of(table.task), table.view.sort
    scored = [row for row in table.rows if row.scores.get(metric)]
    if task is None or not task.visible_groups or not scored:
        return []
    visible = scored[0].values(["n_seeds"])[0, :, 0]
    members = {group.label: (visible >= group.least) & (visible <= group.most) for group in task.visible_groups}
    columns = {f"{label} ({int(of.sum())} {task.query}s)": of for label, of in members.items() if of.any()}
    rows = []
    for row in table.rows:
        values = row.values([metric]) if row.scores.get(metric) else None
        scores = {name: None if values is None else _score(values[:, of]) for name, of in columns.items()}
        rows.append(replace(row, scores=scores, group=""))
    title = ", ".join(part for part in (table.variant, f"{metric} by visible edges") if part)
    facts = (
        f"Groups of fewer than {FEW_QUERIES} {task.query}s say little. No two of the tested {task.query}s see each "
        "other.",
    )
    return [replace(table, variant=title, columns=tuple(columns), rows=tuple(rows), chance={}, ceiling={},
                    facts=facts, footnotes=(), records=())]  # fmt: skip


def _score(chosen: np.ndarray) -> Score:
    lows, highs = bootstrap_interval(chosen)
    return Score(float(chosen.mean()), float(lows[0]), float(highs[0]))
