"""Scores by how much of a query is visible: how good where there is little to go by, and nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from larpbench.evaluation.statistics import bootstrap_interval
from larpbench.results.rows import Row, Score, Table, task_of
from larpbench.results.store import read_playlist_values, record_path
from larpbench.tasks.base import Cell

FEW_QUERIES = 20


def by_visible(table: Table, output: Path) -> list[Table]:
    """Return the table's first column broken down by the number of visible parts of a query.

    Args:
        table: The table.
        output: The results folder that it was made of.

    Returns:
        One table with a column for each group that is not empty; none where the task has no groups.
    """
    task, metric = task_of(table.task), table.columns[0]
    if task is None or not task.visible_groups or not any(row.scores.get(metric) for row in table.rows):
        return []
    groups, query = task.visible_groups, task.query
    found = [_of_row(row, table, output, metric) for row in table.rows]
    visible = next(counts for counts, _ in found if counts is not None)
    members = {group.label: (visible >= group.least) & (visible <= group.most) for group in groups}
    columns = {f"{label} ({int(rows.sum())} {query}s)": rows for label, rows in members.items() if rows.any()}
    rows = [
        replace(row, group="", scores={name: _score(values, rows) for name, rows in columns.items()})
        for row, (_, values) in zip(table.rows, found, strict=True)
    ]
    title = ", ".join(part for part in (table.variant, f"{metric} by visible edges") if part)
    facts = (f"Groups of fewer than {FEW_QUERIES} {query}s say little. No two of the tested {query}s see each other.",)
    return [replace(table, variant=title, columns=tuple(columns), rows=tuple(rows), chance={}, ceiling={},
                    facts=facts, footnotes=(), records=())]  # fmt: skip


def _of_row(row: Row, table: Table, output: Path, metric: str) -> tuple[np.ndarray | None, np.ndarray]:
    """Return how much of each query is visible, and (seeds, queries) values of one row; none without scores."""
    if not row.scores.get(metric):
        return None, np.empty((0, 0))
    read = [
        read_playlist_values(record_path(output, Cell(**record.cell.model_dump()), record.key), ["n_seeds", metric])
        for record in table.records
        if (record.cell.encoder, record.cell.recommender) == (row.encoder, row.recommender)
    ]
    return read[0][:, 0], np.stack([each[:, 1] for each in read])


def _score(values: np.ndarray, rows: np.ndarray) -> Score | None:
    if not values.size:
        return None
    chosen = values[:, rows][:, :, None]
    lows, highs = bootstrap_interval(chosen)
    return Score(float(chosen.mean()), float(lows[0]), float(highs[0]))
