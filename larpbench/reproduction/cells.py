"""Rows of reproduced tables of scores: ours, chance and ceiling, as cells and in long form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from larpbench.reproduction.request import Evaluation, Request
from larpbench.reproduction.selection import shown_name
from larpbench.results.rows import Row, bound_cell, score_cell
from larpbench.results.sheet import SheetCell

_NOT_APPLICABLE = "n/a: K reaches the number of candidates"
Cells = tuple[SheetCell | str, ...]


def our_cells(request: Request, encoder: str, recommender: str, row: Row | None, columns: Sequence[str]) -> Cells:
    """Return recommender, encoder, whose numbers, the scores, and the group of a row; why there are none otherwise."""
    source = f"larpbench, {request.dataset.name}"
    if row is None or row.failure:
        state = "not run" if row is None else "failed"
        return (recommender, shown_name(encoder), source, state, *("" for _ in columns))
    seeds = f" ({row.random_seeds} seeds)" if row.random_seeds > 1 else ""
    scores = (score_cell(row.scores.get(column)) for column in columns)
    return (recommender, row.label, source + seeds, *scores, row.group)


def our_lines(
    found: Evaluation,
    request: Request,
    encoder: str,
    recommender: str,
    row: Row | None,
    reason: str | None,
    columns: Sequence[str],
) -> Iterator[dict[str, object]]:
    """Yield a line for each metric of a row; one that has not been run has the reason in place of numbers."""
    table = found.table
    for column in columns:
        score = row.scores.get(column) if row else None
        chance, ceiling = table.chance.get(column), table.ceiling.get(column)
        yield line(
            "larpbench",
            request.dataset.name,
            recommender,
            row.encoder if row else shown_name(encoder),
            column,
            value=score and score.value,
            ci_low=score and score.low,
            ci_high=score and score.high,
            chance=chance,
            ceiling=ceiling,
            seeds=row.random_seeds if row else None,
            group=row.group if row and column == columns[0] else "",
            note=reason or (row.failure if row else None) or ("" if score else _NOT_APPLICABLE),
        )


def line(source: str, dataset: str, recommender: str, encoder: str, metric: str, **more: object) -> dict[str, object]:
    """Return a line of the long form; what is not stated is empty."""
    names = ("value", "ci_low", "ci_high", "chance", "ceiling", "seeds", "group", "note")
    named = {"source": source, "dataset": dataset, "recommender": recommender, "encoder": encoder, "metric": metric}
    return named | {name: "" if more.get(name) is None else more[name] for name in names}


def bound_rows(found: Evaluation, columns: Sequence[str]) -> list[Cells]:
    """Return the rows of chance and ceiling."""
    return [
        ("", name, "", *(bound_cell(values.get(column)) for column in columns), "")
        for name, values in found.table.bounds
    ]
