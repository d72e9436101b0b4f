"""Figure 4 of the LARP paper: does it matter from how many tracks J a playlist is fused?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from larpbench.encoders.larp.settings import DEFAULT_NEIGHBOURS, SIZES
from larpbench.reproduction.request import Request, evaluate_trained
from larpbench.reproduction.yardstick import yardstick
from larpbench.results.plots import COLOURS, new_figure, save_figure
from larpbench.results.published import published_scores
from larpbench.results.rows import Row, Score, bound_cell, score_cell
from larpbench.results.sheet import Sheet, SheetCell, text_sheet
from larpbench.results.writers import write_sheet

NEIGHBOURS = (1, 5, 10, 30)
_METRIC = "recall@10"
_PRINTED = "LARP-TPC-fusion"


@dataclass(frozen=True)
class _Entry:
    """One row: LARP with some J, or what it has to beat."""

    label: str
    j: int | None
    row: Row
    valid: float | None

    @property
    def score(self) -> Score | None:
        return self.row.scores.get(_METRIC)


def figure4(request: Request, folder: Path) -> list[Path]:
    """Write recall on test and on valid for each J of the paper, beside the yardstick's."""
    base = request.sized("larp-tpc-fusion", SIZES)
    names = {j: _named(base, j) for j in NEIGHBOURS}
    beside = yardstick(request.dataset)
    found = evaluate_trained(request, [*names.values(), *beside.rows])
    rows = {row.encoder: row for row in found.table.rows}
    entries = [_Entry(str(j), j, rows[found.identities[name]], found.best_on_valid(name)) for j, name in names.items()]
    valid = beside.on_valid(found)
    levels = [_Entry(name, None, rows[found.identities[name]], valid.get(name)) for name in beside.rows]
    sheet = _sheet(request, entries, levels)
    return [*write_sheet(sheet, folder, "figure4"), *save_figure(_drawn(request, entries, levels), folder, "figure4")]


def _named(base: str, neighbours: int) -> str:
    if neighbours == DEFAULT_NEIGHBOURS:
        return base
    return f"{base}:j{neighbours}"


def _drawn(request: Request, entries: Sequence[_Entry], levels: Sequence[_Entry]) -> Figure:
    figure, (axes,) = new_figure(6, 4)
    shown = [(entry, entry.score) for entry in entries if entry.score]
    means = np.array([score.value for _, score in shown])
    ends = np.array([[score.low or score.value, score.high or score.value] for _, score in shown])
    places = np.arange(len(shown))
    axes.errorbar(
        places, means, np.abs(ends.T - means), color=COLOURS[0], marker="o", capsize=4, label="test, 95 % interval"
    )
    valid = np.array([entry.valid for entry, _ in shown], dtype=float)
    axes.plot(places, valid, color=COLOURS[1], marker="s", linestyle="--", label="valid")
    for colour, level in zip(COLOURS[2:], levels, strict=False):
        if level.score:
            axes.axhline(level.score.value, color=colour, linestyle=":", label=f"{level.label}, test")
    axes.set_xticks(places, [entry.label for entry, _ in shown])
    axes.set_xlabel("J, tracks that a playlist is fused from in training")
    axes.set_ylabel("Recall@10")
    axes.set_title(f"Sensitivity to J on {request.dataset.name}", fontsize=10)
    axes.legend(frameon=False)
    return figure


def _sheet(request: Request, entries: Sequence[_Entry], levels: Sequence[_Entry]) -> Sheet:
    published = {each.dataset: each.values[_METRIC] for each in published_scores("table3") if each.encoder == _PRINTED}
    cells: list[tuple[SheetCell | str, ...]] = []
    lines = []
    for entry in (*entries, *levels):
        score, row = entry.score, entry.row
        has_number = entry.j == DEFAULT_NEIGHBOURS
        published_texts = [f"{published[d]:.4f}" if has_number else "no number" for d in request.published]
        cells.append(
            (entry.label, bound_cell(entry.valid), score_cell(score, marked=False), row.group, *published_texts)
        )
        ends = (score.value, score.low, score.high) if score else ("", "", "")
        names = ("value", "ci_low", "ci_high")
        line = {"j": entry.j or "", "encoder": row.encoder, "metric": _METRIC, **dict(zip(names, ends, strict=True))}
        lines.append({**line, "seeds": row.random_seeds, "group": row.group, "valid": entry.valid})
    heads = (
        *("J, or encoder", "Recall@10 on valid", f"Recall@10 on test of {request.dataset.name}", "Group"),
        *(f"The paper, test of {dataset}" for dataset in request.published),
    )
    notes = (
        "J is to be chosen by the valid column. Rows that share a group letter cannot be told apart on test.",
        "The paper draws its curve without numbers, between .036 and .040 on MPD and .013 and .014 on LFM; its one "
        "number, for J = 10, is that of its table 3.",
        *request.published_note,
        *request.dataset.manifest.notes,
    )
    title = f"Sensitivity to J (LARP, figure 4): {request.dataset.name}"
    return text_sheet(title, heads, cells, notes, lines)
