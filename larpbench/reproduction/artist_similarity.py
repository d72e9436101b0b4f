"""Figure 1 of the artist-similarity paper: features x graph layers, its own numbers beside ours."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from larpbench.benchmark import run as runner
from larpbench.benchmark.plan import plan
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UnknownNameError, shell_word
from larpbench.reproduction.request import Request
from larpbench.reproduction.selection import NOT_ASKED_FOR, report_not_run, select
from larpbench.results.published import PublishedBar, published_bars
from larpbench.results.rows import Row, Table, bound_cell, score_cell
from larpbench.results.sheet import NOT_APPLICABLE, Sheet, SheetCell, text_sheet
from larpbench.results.store import read_record
from larpbench.results.table import build_tables
from larpbench.tasks import TASKS

NAME = "artist-similarity"
LAYERS = (0, 1, 2, 3, 4)
_LAYERS_OF = {f"gnn-sage-{layers}": layers for layers in LAYERS}
FIGURE_1A = ("random", "acousticbrainz", "moods-themes", "clap")
FIGURE_1B = (
    "acousticbrainz+moods-themes",
    "acousticbrainz+clap",
    "acousticbrainz+clap+moods-themes",
    "clap+moods-themes",
)
NDCG, PAPER_NDCG = "ndcg@200", "ndcg_paper@200"
_FORMULA = (
    "Published: NDCG@200 by the formula of the paper's code, whose ideal list has one hit too many; ours by the same "
    "formula stands beside it (paper's formula). NDCG@200 itself is the usual one. Standard deviations are over seeds "
    "(n - 1); the published ones are over three runs of one seed (n)."
)


_Cells = tuple[SheetCell | str, ...]


@dataclass(frozen=True)
class Bar:
    """One bar of the figure.

    Attributes:
        features: Name of the features.
        layers: Number of graph layers.
        row: Our table's row; None if it was not run.
        published: What the paper has; None if it has no such bar.
    """

    features: str
    layers: int
    row: Row | None
    published: PublishedBar | None

    def values(self, metric: str) -> list[float]:
        """Return the value of each seed; none if it was not run."""
        records = self.row.records if self.row else ()
        return [each.value for record in records for each in record.metrics if each.name == metric]

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds; None if it was not run."""
        return statistics.fmean(found) if (found := self.values(metric)) else None

    def deviation(self, metric: str) -> float | None:
        """Return the standard deviation over seeds (n - 1); None for one seed."""
        return statistics.stdev(found) if len(found := self.values(metric)) > 1 else None


@dataclass(frozen=True)
class Bars:
    """All bars, and what else was measured.

    Attributes:
        bars: Features by features, layers ascending.
        table: The table of all cells.
        absent: Features -> why they were not run.
        not_run: What was not run and why, in words.
    """

    bars: tuple[Bar, ...]
    table: Table
    absent: dict[str, str]
    not_run: tuple[str, ...]


def measured_bars(request: Request) -> Bars:
    """Run the cells that are missing, cell by cell, and return all bars.

    Raises:
        UnknownNameError: If the data set and larpbench have nothing of a requested name.
        UsageError: If the data set is no artist graph.
        MissingPartError: If nothing can be run.
    """
    task_options = {"protocol": request.protocol} if request.protocol else {}
    task = TASKS.get(NAME).configured(task_options)
    seen = task.view(request.dataset)
    of_paper = (*FIGURE_1A, *FIGURE_1B)
    features = select(request.encoders, of_paper, lambda: task.expanded(["all"]), _sorted)
    networks = select(request.recommenders, tuple(_LAYERS_OF), lambda: task.recommenders(["all"]))
    absent: dict[str, str] = {}
    identities: dict[str, str] = {}
    for name in features.names:
        try:
            spec = task.encoders([name], lambda: seen)[name]
        except UnknownNameError as error:
            if name in {*features.own, *map(_sorted, request.encoders)}:
                raise  # a typing error must not cost hours; the paper's own may not be there
            absent[name] = error.what
        else:
            identities[name] = spec.identity if isinstance(spec, EncoderSpec) else name
    chosen = plan(
        request.dataset,
        encoders=[name for name in features.names if name not in absent],
        recommenders=networks.names,
        task=NAME,
        task_options=task_options,
        seeds=request.random_seeds,
        output=request.results,
    )
    absent |= {each.name: each.reason for each in chosen.unavailable}
    if all(name in absent for name in features.names):
        raise MissingPartError(
            f"none of the features can be had on {request.dataset.name!r}: {', '.join(absent.values())}",
            next_step=f"larpbench reproduce {NAME} --dataset {shell_word(request.dataset.name)} --encoders NAME,..",
        )
    runner.run(chosen, report=request.report)
    (table,) = build_tables([(each.path, read_record(each.path)) for each in chosen.cells], everything=True)
    rows = {(row.encoder, row.recommender): row for row in table.rows if not row.failure}
    printed = {(each.features, each.layers): each for each in published_bars()}
    bars = []
    not_run = report_not_run(request, absent, features, networks)
    # Own rows stand beside all that the paper has, also beside rows that were not asked for.
    shown = (*of_paper, *features.own) if features.own else features.names
    for name in shown:
        title = identities.get(name, name) if name in features.own else name
        for network, layers in _LAYERS_OF.items():
            if network in networks.names:
                row = rows.get((identities.get(name, ""), network))
                bars.append(Bar(title, layers, row, printed.get((name, layers))))
    absent |= {name: NOT_ASKED_FOR for name in shown if name in features.left_out}
    return Bars(tuple(bars), table, absent, not_run)


def _sorted(name: str) -> str:
    """Return the name of joined features with its parts in order, as the paper's are written here."""
    return "+".join(sorted(name.split("+")))


def sheet(request: Request, found: Bars) -> Sheet:
    """Return the table: features x layers, ours and the paper's, then what needs no training, chance and ceiling."""
    heads = ("Features", "Layers", "NDCG@200", "± (seeds)", "NDCG@200, paper's formula", "Published", "Group")
    rows: list[_Cells] = [_cells(bar) for bar in found.bars]
    for row in found.table.rows:
        if row.recommender not in _LAYERS_OF and not row.failure:
            rows.append((row.encoder, row.recommender, *_scores(row), "", row.group))
    for name, bounds in found.table.bounds:
        rows.append((name, "", bound_cell(bounds.get(NDCG)), "", bound_cell(bounds.get(PAPER_NDCG)), "", ""))
    notes = [_FORMULA, *found.table.facts, *found.table.footnotes]
    if request.dataset.name != "disco-olga":
        notes.insert(0, f"Published numbers are of disco-olga, not of {request.dataset.name}: compare the order only.")
    notes += found.not_run
    title = f"Features and graph layers (artist similarity, figure 1): {found.table.tested}"
    return text_sheet(title, heads, rows, notes, _lines(found))


def _cells(bar: Bar) -> _Cells:
    published = f"{bar.published.mean:.4f} ± {bar.published.deviation:.4f}" if bar.published else ""
    if bar.row is None:
        return (bar.features, str(bar.layers), "not run", "", "", published, "")
    label = bar.features + (" (control)" if bar.row.control else "")
    return (label, str(bar.layers), *_scores(bar.row, bar), published, bar.row.group)


def _scores(row: Row, bar: Bar | None = None) -> _Cells:
    by_paper = row.scores.get(PAPER_NDCG)
    deviations = [_number(bar.deviation(metric)) if bar else "" for metric in (NDCG, PAPER_NDCG)]
    published = (_number(by_paper.value) if by_paper else NOT_APPLICABLE) + (
        f" ± {deviations[1]}" if deviations[1] else ""
    )
    return score_cell(row.scores.get(NDCG)), deviations[0], published


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _lines(found: Bars) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for bar in found.bars:
        for metric in (NDCG, PAPER_NDCG):
            score = bar.row.scores.get(metric) if bar.row else None
            published = bar.published if metric == PAPER_NDCG else None
            lines.append(
                {
                    "features": bar.features,
                    "layers": bar.layers,
                    "recommender": f"gnn-sage-{bar.layers}",
                    "metric": metric,
                    "mean": score.value if score else "",
                    "std": bar.deviation(metric) if bar.deviation(metric) is not None else "",
                    "seeds": len(bar.values(metric)),
                    "ci_low": score.low if score else "",
                    "ci_high": score.high if score else "",
                    "chance": found.table.chance.get(metric),
                    "ceiling": found.table.ceiling.get(metric),
                    "published_mean": published.mean if published else "",
                    "published_std": published.deviation if published else "",
                    "note": found.absent.get(bar.features, ""),
                }
            )
    return lines
