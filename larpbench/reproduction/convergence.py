"""Figure 5 of the LARP paper: recall over the epochs of the three stages."""

from __future__ import annotations

from collections.abc import Sequence
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
from larpbench.results.plots import COLOURS, new_figure, save_figure
from larpbench.results.published import published_scores
from larpbench.results.rows import Score, score_cell
from larpbench.results.sheet import Sheet, SheetCell, text_sheet
from larpbench.results.writers import write_sheet

_STAGES = {"larp-wtc": "LARP-WTC", "larp-ttc": "LARP-TTC", "larp-tpc-fusion": "LARP-TPC-fusion"}
_METRIC = "recall@10"
Curves = dict[str, list[list[tuple[int, float]]]]
"""Encoder -> one curve a seed: (epoch, recall on valid)."""


def figure5(request: Request, folder: Path) -> list[Path]:
    """Write the curves of all seeds, and what each stage scores in the end."""
    stages = {request.sized(name, SIZES): printed for name, printed in _STAGES.items()}
    encoders = select_encoders(request, tuple(stages))
    _require_trained(request, encoders.own)
    found = evaluate_trained(request, encoders.names)
    names: dict[str, str] = {}
    curves: Curves = {}
    best: dict[str, list[float]] = {}
    scores: dict[str, Score | None] = {}
    for encoder in encoders.names:
        name = found.identities[encoder] if encoder in encoders.own else encoder
        names[name] = stages.get(encoder, "")
        facts, row = found.trainings(encoder), found.row(encoder, "itemknn")
        curves[name] = [[(entry["epoch"], entry[_METRIC]) for entry in each["history"]] for each in facts]
        best[name] = [each["best"] for each in facts]
        scores[name] = row.scores.get(_METRIC) if row else None
    chance = found.table.chance.get(_METRIC)
    not_run = report_not_run(request, {}, encoders)
    sheet = _sheet(request, names, curves, best, scores, chance, not_run)
    return [*write_sheet(sheet, folder, "figure5"), *save_figure(_drawn(request, curves), folder, "figure5")]


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


def _drawn(request: Request, curves: Curves) -> Figure:
    figure, (axes,) = new_figure(8, 4)
    start = 0
    for colour, (name, by_seed) in zip(cycle(COLOURS), curves.items(), strict=False):
        for curve in by_seed:
            epochs, values = zip(*curve, strict=True)
            axes.plot([start + epoch for epoch in epochs], values, color=colour, alpha=0.35, linewidth=1)
        shared = min(map(len, by_seed))
        mean = np.mean([[value for _, value in curve[:shared]] for curve in by_seed], axis=0)
        axes.plot([start + epoch for epoch, _ in by_seed[0][:shared]], mean, color=colour, linewidth=2, label=name)
        start += max(curve[-1][0] for curve in by_seed) + 1
        if name != list(curves)[-1]:
            axes.axvline(start - 0.5, color="grey", linestyle="--", linewidth=1)
    axes.set_xlabel("Epoch, stage after stage")
    axes.set_ylabel("Recall@10 of the valid playlists")
    axes.set_title(f"Convergence on {request.dataset.name}: each seed (thin) and their mean (bold)", fontsize=10)
    axes.legend(frameon=False)
    return figure


def _sheet(
    request: Request,
    names: dict[str, str],
    curves: Curves,
    best: dict[str, list[float]],
    scores: dict[str, Score | None],
    chance: float | None,
    not_run: tuple[str, ...],
) -> Sheet:
    printed: dict[tuple[str, str], Any] = {
        (each.encoder, each.dataset): each.values[_METRIC] for each in published_scores("table3")
    }
    rows: list[tuple[SheetCell | str, ...]] = []
    for name, label in names.items():
        rows.append(
            (
                name,
                ", ".join(str(curve[-1][0]) for curve in curves[name]),
                f"{np.mean(best[name]):.4f}",
                score_cell(scores[name], marked=False),
                *(f"{printed[label, dataset]:.4f}" if label else "no number" for dataset in request.published),
            )
        )
    lines = [
        {"encoder": name, "seed": seed, "epoch": epoch, "valid_recall@10": value}
        for name, by_seed in curves.items()
        for seed, curve in enumerate(by_seed)
        for epoch, value in curve
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
