"""Figure 1 of the artist-similarity paper: the table, grouped bars as in print, and lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from larpbench.reproduction.artist_similarity import (
    FIGURE_1A,
    FIGURE_1B,
    LAYERS,
    NAME,
    NDCG,
    PAPER_NDCG,
    Bar,
    Bars,
    measured_bars,
    sheet,
)
from larpbench.reproduction.request import Request
from larpbench.results.plots import COLOURS, new_figure, save_figure
from larpbench.results.writers import write_sheet

_BASELINES = ("common-neighbours", "adamic-adar", "walk-cosine")


def artist_similarity(request: Request, folder: Path) -> list[Path]:
    """Run the cells that are missing and write the table, the bars of figures 1a and 1b, and the lines.

    Returns:
        The files.

    Raises:
        UsageError: If the data set is no artist graph.
        MissingPartError: If nothing can be run.
    """
    found = measured_bars(request)
    written = write_sheet(sheet(request, found), folder, NAME)
    for name, features in (("1a", FIGURE_1A), ("1b", FIGURE_1B)):
        if shown := [bar for bar in found.bars if bar.features in features and bar.row]:
            written += draw_bars(shown, f"{NAME}-figure{name}", request.dataset.name, folder)
    return [*written, *draw_lines(found, f"{NAME}-lines", request.dataset.name, folder)]


def draw_bars(bars: Sequence[Bar], name: str, dataset: str, folder: Path) -> list[Path]:
    """Draw bars grouped by the number of layers, by the published formula; black marks are the published numbers.

    Returns:
        The files.
    """
    features = list(dict.fromkeys(bar.features for bar in bars))
    width = 0.8 / len(features)
    figure, (axes,) = new_figure(8, 4)
    for number, feature in enumerate(features):
        own = [bar for bar in bars if bar.features == feature]
        places = [bar.layers + (number - (len(features) - 1) / 2) * width for bar in own]
        heights = [bar.mean(PAPER_NDCG) or 0.0 for bar in own]
        errors = [bar.deviation(PAPER_NDCG) or 0.0 for bar in own]
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(places, heights, width, yerr=errors, capsize=2, color=colour, label=feature)
        printed = [(x, bar.published.mean) for x, bar in zip(places, own, strict=True) if bar.published]
        if printed:
            label = "published (disco-olga)" if number == 0 else None
            axes.scatter(
                [x for x, _ in printed], [y for _, y in printed], marker="_", s=60, color="black", zorder=3, label=label
            )
    axes.set_xticks(LAYERS)
    axes.set_xlabel("Number of layers")
    axes.set_ylabel("NDCG@200, paper's formula")
    axes.set_title(dataset)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    return save_figure(figure, folder, name)


def draw_lines(found: Bars, name: str, dataset: str, folder: Path) -> list[Path]:
    """Draw NDCG@200 over the number of layers, one line a feature; what needs no training is a level.

    Returns:
        The files.
    """
    figure, (axes,) = new_figure(8, 4.5)
    features = list(dict.fromkeys(bar.features for bar in found.bars if bar.row))
    for number, feature in enumerate(features):
        own = [bar for bar in found.bars if bar.features == feature and bar.row]
        errors = [bar.deviation(NDCG) or 0.0 for bar in own]
        axes.errorbar(
            [bar.layers for bar in own],
            [bar.mean(NDCG) or 0.0 for bar in own],
            yerr=errors,
            marker="o" if number < len(COLOURS) else "s",
            capsize=2,
            color=COLOURS[number % len(COLOURS)],
            label=feature,
        )
    for style, baseline in zip((":", "--", "-."), _BASELINES, strict=True):
        row = next((row for row in found.table.rows if row.recommender == baseline and not row.failure), None)
        if row and (score := row.scores.get(NDCG)):
            axes.axhline(score.value, linestyle=style, color="black", linewidth=1, label=f"{baseline} (untrained)")
    if (chance := found.table.chance.get(NDCG)) is not None:
        axes.axhline(chance, color="grey", linewidth=1, label="chance")
    axes.set_xticks(LAYERS)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Number of layers")
    axes.set_ylabel("NDCG@200")
    axes.set_title(dataset)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return save_figure(figure, folder, name)
