"""Figure 5 of the LARP paper: recall over the epochs of the three stages, beside what has no epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from larpbench.benchmark.plan import encoder_for
from larpbench.encoders.larp.settings import SIZES
from larpbench.errors import UsageError
from larpbench.reproduction.request import Request, evaluate_trained
from larpbench.reproduction.selection import report_not_run, select_encoders, shown_name
from larpbench.reproduction.yardstick import yardstick
from larpbench.results.plots import COLOURS, new_figure, save_figure
from larpbench.results.published import published_scores
from larpbench.results.rows import Score, bound_cell, score_cell
from larpbench.results.sheet import Sheet, SheetCell, text_sheet
from larpbench.results.writers import write_sheet

_STAGES = {"larp-wtc": "LARP-WTC", "larp-ttc": "LARP-TTC", "larp-tpc-fusion": "LARP-TPC-fusion"}
_METRIC = "recall@10"


@dataclass(frozen=True)
class _Entry:
    """One row and curve.

    Attributes:
        name: Of the encoder, as it is shown.
        printed: Its name in the paper; None if it is not there.
        curves: One a seed, (epoch, recall on valid) from the first to the last epoch; none if it has no epochs.
        best: Recall on valid by which it was chosen; None if it was not chosen so.
        score: On test.
    """

    name: str
    printed: str | None
    curves: list[list[tuple[int, float]]]
    best: float | None
    score: Score | None


def figure5(request: Request, folder: Path) -> list[Path]:
    """Write the curves of all seeds, and what each stage scores in the end."""
    beside = yardstick(request.dataset)
    stages = {request.sized(name, SIZES): printed for name, printed in _STAGES.items()} | beside.rows
    encoders = select_encoders(request, tuple(stages))
    _require_trained(request, encoders.own)
    found = evaluate_trained(request, encoders.names)
    of_yardstick = beside.on_valid(found)
    entries = []
    for encoder in encoders.names:
        row = found.row(encoder, "itemknn")
        histories = [each.get("history", ()) for each in found.trainings(encoder)]
        entries.append(
            _Entry(
                found.identities[encoder] if encoder in encoders.own else encoder,
                stages.get(encoder),
                [[(epoch["epoch"], epoch[_METRIC]) for epoch in each] for each in histories if each],
                of_yardstick.get(encoder, found.best_on_valid(encoder)),
                row.scores.get(_METRIC) if row else None,
            )
        )
    chance = found.table.chance.get(_METRIC)
    not_run = report_not_run(request, {}, encoders)
    sheet = _sheet(request, entries, chance, not_run)
    return [*write_sheet(sheet, folder, "figure5"), *save_figure(_drawn(request, entries), folder, "figure5")]


def _require_trained(request: Request, names: Sequence[str]) -> None:
    """Refuse encoders that have no epochs.

    Raises:
        UsageError: Naming the first.
    """
    for name in names:
        if encoder_for(name, request.dataset).training is None:
            raise UsageError(
                f"figure5 shows recall over epochs, and {shown_name(name)} is not trained here",
                allowed="encoders that are trained on the playlists of the data set: larpbench list encoders",
            )


def _drawn(request: Request, entries: Sequence[_Entry]) -> Figure:
    figure, (axes,) = new_figure(8, 4)
    start = 0
    colours = cycle(COLOURS)
    for entry in (each for each in entries if each.curves):
        if start:
            axes.axvline(start - 0.5, color="grey", linestyle="--", linewidth=1)
        colour = next(colours)
        for curve in entry.curves:
            epochs, values = zip(*curve, strict=True)
            axes.plot([start + epoch for epoch in epochs], values, color=colour, alpha=0.35, linewidth=1)
        shared = min(map(len, entry.curves))
        mean = np.mean([[value for _, value in curve[:shared]] for curve in entry.curves], axis=0)
        places = [start + epoch for epoch, _ in entry.curves[0][:shared]]
        axes.plot(places, mean, color=colour, linewidth=2, label=entry.name)
        start += max(curve[-1][0] for curve in entry.curves) + 1
    for entry in entries:
        if not entry.curves and entry.best is not None:
            axes.axhline(entry.best, color=next(colours), linestyle=":", label=entry.name)
    axes.set_xlabel("Epoch, stage after stage")
    axes.set_ylabel("Recall@10 of the valid playlists")
    axes.set_title(f"Convergence on {request.dataset.name}: each seed (thin) and their mean (bold)", fontsize=10)
    if any(entry.curves or entry.best is not None for entry in entries):
        axes.legend(frameon=False)
    return figure


def _sheet(request: Request, entries: Sequence[_Entry], chance: float | None, not_run: tuple[str, ...]) -> Sheet:
    printed: dict[tuple[str, str], Any] = {
        (each.encoder, each.dataset): each.values[_METRIC] for each in published_scores("table3")
    }
    rows: list[tuple[SheetCell | str, ...]] = []
    for entry in entries:
        label = entry.printed
        rows.append(
            (
                entry.name,
                ", ".join(str(len(curve)) for curve in entry.curves) or "none",
                bound_cell(entry.best),
                score_cell(entry.score, marked=False),
                *(f"{printed[label, dataset]:.4f}" if label else "no number" for dataset in request.published),
            )
        )
    lines: list[dict[str, object]] = [
        {"encoder": entry.name, "seed": seed, "epoch": epoch, "valid_recall@10": value}
        for entry in entries
        for seed, curve in enumerate(entry.curves)
        for epoch, value in curve
    ]
    lines += [
        {"encoder": entry.name, "seed": "", "epoch": "", "valid_recall@10": entry.best}
        for entry in entries
        if not entry.curves and entry.best is not None
    ]
    heads = (
        *("Stage", "Epochs of each seed", "Best recall@10 on valid", f"Recall@10 on test of {request.dataset.name}"),
        *(f"The paper, test of {dataset}" for dataset in request.published),
    )
    notes = (
        "The curves are of the valid playlists, by which the epoch is chosen; the test playlists are looked at once, "
        "with that epoch. The paper's figure shows no numbers; those beside ours are its table 3's.",
        *((f"Chance on test: {chance:.4f}.",) if chance is not None else ()),
        *request.published_note,
        *not_run,
        *request.dataset.manifest.notes,
    )
    title = f"Convergence over the stages (LARP, figure 5): {request.dataset.name}"
    return text_sheet(title, heads, rows, notes, lines)
