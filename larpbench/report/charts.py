"""The geometry of the charts: numbers in, positions out; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larpbench.report.labels import HEIGHT, Label, place_labels, text_width
from larpbench.results.rows import Score, Table

BINS = 20
_LONGEST_LABEL = 28
_MANY_POINTS = 25


@dataclass(frozen=True)
class Scale:
    """An axis from 0 for the intervals of one metric.

    Attributes:
        end: Value at its right end.
        chance: Position of chance in percent; None if it is not known.
        ceiling: Position of the ceiling in percent; None if it is not known, or beyond the end.
    """

    end: float
    chance: float | None
    ceiling: float | None

    def at(self, value: float) -> float:
        """Return a value's position in percent."""
        return round(100 * min(value / self.end, 1.0), 2)


def scale_of(table: Table) -> Scale:
    """Return the axis of a table's first metric: as long as its contenders need, to the ceiling if that is near."""
    column = table.columns[0]
    chance, ceiling = table.chance.get(column), table.ceiling.get(column)
    scored = [row for row in table.rows if row.scores.get(column)]
    contenders = [row for row in scored if not row.control] or scored
    scores = [score for row in contenders if (score := row.scores[column])]
    longest = max([score.high or score.value for score in scores] + [chance or 0.0], default=0.0) * 1.05 or 1.0
    end = ceiling * 1.02 if ceiling and ceiling <= 2 * longest else longest
    within = ceiling is not None and ceiling <= end
    return Scale(
        end,
        None if chance is None else round(100 * chance / end, 2),
        round(100 * ceiling / end, 2) if within and ceiling is not None else None,
    )


@dataclass(frozen=True)
class Bar:
    """An interval on a `Scale`, in percent; `beyond` if the value lies beyond its end."""

    low: float
    value: float
    high: float
    beyond: bool


def bar(score: Score, scale: Scale) -> Bar:
    """Return a score's interval on an axis."""
    low, high = (score.value if end is None else end for end in (score.low, score.high))
    return Bar(scale.at(low), scale.at(score.value), scale.at(high), score.value > scale.end)


@dataclass(frozen=True)
class Bin:
    """How many values fall between `low` and `high`; `height` in percent of the fullest bin."""

    low: float
    high: float
    count: int
    height: float


def histogram(values: np.ndarray) -> tuple[Bin, ...]:
    """Return twenty equal bins of [0, 1].

    Args:
        values: (n,) float64 in [0, 1].
    """
    counts, edges = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    fullest = max(int(counts.max()), 1)
    return tuple(
        Bin(float(low), float(high), int(count), round(100 * int(count) / fullest, 2))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )


@dataclass(frozen=True)
class Point:
    """One labelled point of a scatter plot.

    Attributes:
        name: Its label.
        x: Value on the horizontal axis, above 0.
        y: Value on the vertical axis.
        low: Lower end of the interval of y.
        high: Upper end.
        control: Whether it is a control, which may lie beyond the axis.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    control: bool = False


@dataclass(frozen=True)
class Dot:
    """A `Point` in the plot; it has no `label` where points are too many to name all."""

    x: float
    y: float
    low: float
    high: float
    text: str
    label: Label | None
    name: str


@dataclass(frozen=True)
class Scatter:
    """A plot with a logarithmic horizontal axis.

    Attributes:
        width: In units of the drawing.
        height: The same.
        dots: The points.
        x_ticks: Position and text.
        y_ticks: Position and text.
        lines: Position and name of horizontal lines.
    """

    width: float
    height: float
    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[tuple[float, str], ...]


def scatter(points: Sequence[Point], chance: float | None, width: float = 720, height: float = 400) -> Scatter:
    """Lay out points; of many, only those are named that no other point beats in both cost and quality.

    The vertical axis is as long as the contenders need. A control above it lies on its upper end, with an arrow.
    """
    low_x = math.floor(math.log10(min(point.x for point in points)) - 0.05)
    high_x = math.ceil(math.log10(max(point.x for point in points)) + 0.05)
    contenders = [point for point in points if not point.control] or points
    top = max([point.high for point in contenders] + [chance or 0.0]) * 1.08 or 1.0

    def at_x(value: float) -> float:
        return round(width * (math.log10(value) - low_x) / (high_x - low_x), 1)

    def at_y(value: float) -> float:
        return round(height * max(0.0, 1 - value / top), 1)

    named = set(range(len(points))) if len(points) <= _MANY_POINTS else _unbeaten(points)
    texts = [_label(point, top) if number in named else "" for number, point in enumerate(points)]
    spots = np.array([(at_x(point.x), at_y(point.y)) for point in points])
    ranges = np.array([(at_y(point.high), at_y(point.low)) for point in points])
    lines = () if chance is None else ((at_y(chance), "chance"),)
    others = [(width - text_width(name), y - 4 - HEIGHT, width, y) for y, name in lines]
    labels = place_labels(spots, ranges, texts, np.array(others).reshape(-1, 4), width, height)
    return Scatter(
        width,
        height,
        tuple(
            Dot(x, y, low, high, text, label, point.name)
            for (x, y), (high, low), text, label, point in zip(
                spots.tolist(), ranges.tolist(), texts, labels, points, strict=True
            )
        ),
        tuple((at_x(10.0**power), _power(power)) for power in range(low_x, high_x + 1)),
        tuple((at_y(top * part / 4), f"{top * part / 4:.3f}") for part in range(5)),
        lines,
    )


def _label(point: Point, top: float) -> str:
    name = point.name if len(point.name) <= _LONGEST_LABEL else f"{point.name[: _LONGEST_LABEL - 1]}…"
    return f"{name} ↑ {point.y:.3f}" if point.y > top else name


def _unbeaten(points: Sequence[Point]) -> set[int]:
    found, best = set(), -math.inf
    for number in sorted(range(len(points)), key=lambda n: (points[n].x, -points[n].y)):
        if points[number].y > best:
            found.add(number)
            best = points[number].y
    return found


def _power(power: int) -> str:
    return f"{10.0**power:g}" if -4 < power < 6 else f"1e{power}"
