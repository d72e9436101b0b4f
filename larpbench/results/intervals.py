"""The figure of a table: the interval of each row, with chance and ceiling."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from larpbench.results.plots import CLOUD, COLOURS, new_figure
from larpbench.results.rows import Row, Table
from larpbench.results.sheet import column_head

_ROW_INCHES, _HEAD_INCHES, _WIDTH_INCHES = 0.28, 1.1, 7.5
_LONGEST_LABEL = 48


def interval_figure(tables: Sequence[Table], metric: str | None = None) -> Figure:
    """Return a figure with one panel a table: a point and its 95 % interval a row, lines at chance and ceiling.

    The axis ends where the contenders do: the ceiling is drawn where it lies within, and named in the title otherwise.

    Args:
        tables: Tables with at least one row.
        metric: Which metric; default: the first of each table.
    """
    heights = [_HEAD_INCHES + _ROW_INCHES * len(table.rows) for table in tables]
    figure, panels = new_figure(_WIDTH_INCHES, sum(heights), rows=len(tables))
    if grid := panels[0].get_gridspec():
        grid.set_height_ratios(heights)
    for axes, table in zip(panels, tables, strict=True):
        _panel(axes, table, metric or table.columns[0])
    return figure


def _panel(axes: Axes, table: Table, metric: str) -> None:
    rows = [row for row in table.rows if row.scores.get(metric)]
    for place, row in enumerate(rows):
        score = row.scores[metric]
        if score is None:
            continue
        colour = CLOUD if row.control else COLOURS[0]
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([score.value], [place], "o", color=colour, markersize=5)
    if not any(row.scores[metric] for row in rows):
        axes.text(0.5, 0.5, "no scores", transform=axes.transAxes, ha="center", va="center")
    chance, ceiling = table.chance.get(metric), table.ceiling.get(metric)
    if chance is not None:
        axes.axvline(chance, color="black", linestyle=":", linewidth=1)
        axes.text(chance, -0.9, " chance", fontsize=8, va="center")
    ends = [score.high or score.value for row in rows if (score := row.scores[metric])]
    end = 1.05 * max([*ends, chance or 0.0]) or 1.0
    title = f"{table.task}: {table.tested}"
    if ceiling is not None and ceiling <= 2 * end:
        end = max(end, ceiling * 1.02)
        axes.axvline(ceiling, color="black", linestyle="--", linewidth=1)
        axes.text(ceiling, -0.9, "ceiling ", fontsize=8, va="center", ha="right")
    elif ceiling is not None:
        title += f" (ceiling {ceiling:.3f})"
    axes.set_xlim(0, end)
    axes.set_ylim(len(rows) - 0.4, -1.4)
    axes.set_yticks(range(len(rows)), [_label(row, rows) for row in rows])
    axes.set_xlabel(f"{column_head(metric)} (mean and 95 % interval)")
    axes.set_title(title, loc="left", fontsize=10)
    for text in (axes.title, *axes.get_yticklabels()):
        text.set_parse_math(False)  # a name that holds a dollar sign is no formula


def _label(row: Row, rows: Sequence[Row]) -> str:
    several = len({each.recommender for each in rows}) > 1
    label = f"{row.label} × {row.recommender}" if several else row.label
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"
