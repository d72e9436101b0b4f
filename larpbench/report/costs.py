"""What quality costs: the time to encode a track, and to train, against the first metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from larpbench.report.charts import Point, Scatter, scatter
from larpbench.report.entries import Entry, Section
from larpbench.results.record import Costs


@dataclass(frozen=True)
class CostPlot:
    """One cost against quality, of one table and recommender.

    Attributes:
        section: The table.
        recommender: Name.
        cost: What the horizontal axis shows, with its unit.
        metric: What the vertical axis shows.
        plot: The drawing.
        lines: Each row with its cost.
    """

    section: Section
    recommender: str
    cost: str
    metric: str
    plot: Scatter
    lines: tuple[tuple[Entry, float], ...]


def cost_plots(sections: Sequence[Section]) -> list[CostPlot]:
    """Return the plots that have something to show."""
    plots = []
    for section in sections:
        by_recommender: dict[str, list[Entry]] = defaultdict(list)
        for entry in section.scored:
            by_recommender[entry.row.recommender].append(entry)
        for recommender, entries in sorted(by_recommender.items()):
            for cost, measure in _COSTS.items():
                lines = tuple((entry, value) for entry in entries if (value := _mean(entry, measure)) > 0)
                if lines:
                    plots.append(_plot(section, recommender, cost, lines))
    return plots


def _encoding(costs: Costs) -> float:
    return 1_000 / costs.tracks_per_second if costs.tracks_per_second else 0.0


def _training(costs: Costs) -> float:
    return costs.train_wall_s + costs.fit_wall_s


_COSTS: dict[str, Callable[[Costs], float]] = {
    "milliseconds to encode a track": _encoding,
    "seconds to train (encoder's last stage and one fit of the recommender)": _training,
}


def _mean(entry: Entry, measure: Callable[[Costs], float]) -> float:
    values = [measure(record.costs) for record in entry.row.records if record.costs]
    return sum(values) / len(values) if values else 0.0


def _plot(section: Section, recommender: str, cost: str, lines: tuple[tuple[Entry, float], ...]) -> CostPlot:
    metric = section.table.columns[0]
    points = []
    for entry, value in lines:
        score = entry.row.scores[metric]
        if score is not None:
            low, high = (score.value if end is None else end for end in (score.low, score.high))
            points.append(Point(entry.row.encoder, value, score.value, low, high, entry.row.control))
    return CostPlot(section, recommender, cost, metric, scatter(points, section.table.chance.get(metric)), lines)
