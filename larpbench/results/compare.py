"""Two encoders side by side: differences on the same playlists, with intervals, tests and effect sizes (rule 12)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from larpbench.errors import UsageError, nearest, shell_word
from larpbench.evaluation.significance import ALPHA, Comparison, compare, holm
from larpbench.paths import shown_encoder
from larpbench.results.rows import Table
from larpbench.results.sheet import Column, Sheet, SheetCell, SheetRow
from larpbench.results.shown import Shown

logger = logging.getLogger(__name__)
_SMALLEST_SHOWN = 0.0001


@dataclass(frozen=True)
class ComparisonLine:
    """One metric of two encoders under one recommender.

    Attributes:
        task: Name of the task.
        dataset: The data set, and whose tracks left it, if any did.
        recommender: Name of the recommender.
        metric: Such as ``recall@10``.
        first: Mean of the first encoder over playlists and seeds.
        second: Mean of the second encoder.
        playlists: How many both were tested on.
        comparison: First less second; its p-value is Holm-adjusted over all lines of the answer.
    """

    task: str
    dataset: str
    recommender: str
    metric: str
    first: float
    second: float
    playlists: int
    comparison: Comparison


@dataclass(frozen=True, repr=False)
class EncoderComparison(Shown):
    """Two encoders wherever both have results under the same recommender.

    Attributes:
        first: Name of the first encoder.
        second: Name of the second one.
        lines: One a table, recommender and metric.
    """

    first: str
    second: str
    lines: tuple[ComparisonLine, ...]

    def sheet(self) -> Sheet:
        """Return the comparison as it is printed."""
        return comparison_sheet(self.lines, self.first, self.second)

    def __repr__(self) -> str:
        first = self.lines[0]
        return (
            f"<EncoderComparison {self.first} - {self.second}: {first.metric} {first.comparison.difference:+.4f} "
            f"(p = {p_text(first.comparison.p)}), {len(self.lines)} lines>"
        )

    def sheets(self) -> list[Sheet]:
        """Return the comparison as it is printed."""
        return [self.sheet()]


def compare_encoders(tables: Sequence[Table], first: str, second: str, where: str) -> EncoderComparison:
    """Compare two encoders wherever both have results under the same recommender.

    Args:
        tables: Tables of results.
        first: Encoder identity; what follows an ``@`` may be left out where that is clear.
        second: The other.
        where: Where the results lie, for messages.

    Raises:
        UsageError: If one has no results, they are the same, or they were never tested alike.
        DataError: If a file is damaged.
    """
    lines: list[ComparisonLine] = []
    names = sorted({row.encoder for table in tables for row in (*table.rows, *table.omissions.failed)})
    one, other = _identity(first, names), _identity(second, names)
    if one == other:
        others = [name for name in names if name != one]
        raise UsageError(
            f"{one!r} is compared with itself",
            where=where,
            allowed=f"another encoder: {', '.join(others)}"
            if others
            else "two encoders: the results hold only this one",
        )
    for table in tables:
        rows = {}
        for row in (*table.rows, *table.omissions.failed):
            if row.encoder not in (one, other) or row.superseded:
                continue
            if row.failure is None:
                rows[row.encoder, row.recommender] = row
            else:
                logger.warning(
                    "not compared: %s x %s on %s: %s", row.encoder, row.recommender, table.tested, row.failure
                )
        for recommender in sorted({recommender for _, recommender in rows}):
            pair = [rows[name, recommender] for name in (one, other) if (name, recommender) in rows]
            if len(pair) < 2:
                continue
            ours, theirs = (row.values(table.columns).mean(axis=0) for row in pair)
            for column, metric in enumerate(table.columns):
                a, b = ours[:, column], theirs[:, column]
                if not all(row.scores.get(metric) for row in pair) or np.isnan([a, b]).any():
                    continue  # the table says n/a, or playlists have no value of their own
                means = float(a.mean()), float(b.mean())
                found = compare(a, b)
                lines.append(ComparisonLine(table.task, table.tested, recommender, metric, *means, len(a), found))
    if not lines:
        raise UsageError(
            f"{one!r} and {other!r} have no results on one data set under one recommender",
            where=where,
            next_step=f"larpbench run --encoders {shell_word(f'{one},{other}')} --output {shell_word(where)}",
        )
    adjusted = holm(np.array([line.comparison.p for line in lines]))
    corrected = (
        replace(line, comparison=replace(line.comparison, p=float(p))) for line, p in zip(lines, adjusted, strict=True)
    )
    return EncoderComparison(first, second, tuple(corrected))


def comparison_sheet(lines: Sequence[ComparisonLine], first: str, second: str) -> Sheet:
    """Return the comparison as it is printed; ``*`` where p is at most .05."""
    labels = (
        "Data set",
        "Recommender",
        "Metric",
        first,
        second,
        "Difference, 95 % interval",
        "p (Holm)",
        "Effect size",
    )
    counts = ", ".join(sorted({f"{line.playlists} playlists of {line.dataset}" for line in lines}))
    note = (
        f"Paired over {counts}, each a mean over seeds; two-sided randomisation test, adjusted for {len(lines)} lines. "
        "Effect size: mean difference over the standard deviation of the differences."
    )
    single = len({line.dataset for line in lines}) == 1  # the note names it
    columns = tuple(Column(label, right=place > 2, minor=single and place == 0) for place, label in enumerate(labels))
    title = f"comparison: {first} and {second}"
    return Sheet(title, columns, tuple(map(_row, lines)), (note,), tuple(_flat(line, first, second) for line in lines))


def _flat(line: ComparisonLine, first: str, second: str) -> dict[str, object]:
    """Return a line for CSV."""
    found, sides = line.comparison, {"encoder_a": first, "encoder_b": second, "a": line.first, "b": line.second}
    name = {"task": line.task, "dataset": line.dataset, "recommender": line.recommender, "metric": line.metric}
    return name | sides | {"n": line.playlists} | asdict(found)


def _row(line: ComparisonLine) -> SheetRow:
    found = line.comparison
    interval = f"[{found.low:+.4f}, {found.high:+.4f}]"
    return SheetRow(
        (
            *map(SheetCell, (line.dataset, line.recommender, line.metric)),
            *(SheetCell(f"{mean:.4f}", value=mean) for mean in (line.first, line.second)),
            SheetCell(f"{found.difference:+.4f}", interval, 0, found.difference, found.low, found.high),
            SheetCell(small=p_text(found.p) + ("*" if found.p <= ALPHA else ""), value=found.p),
            SheetCell(f"{found.effect_size:+.2f}", value=found.effect_size),
        )
    )


def p_text(p: float) -> str:
    """Return a p-value to four decimals."""
    return f"{p:.4f}" if p >= _SMALLEST_SHOWN else f"< {_SMALLEST_SHOWN}"


def _identity(name: str, known: Sequence[str]) -> str:
    name = shown_encoder(name)
    if name in known:
        return name
    meant = [each for each in known if each.partition("@")[0] == name]
    if len(meant) == 1:
        return meant[0]
    raise UsageError(
        f"encoder {name!r} was trained on several data sets"
        if meant
        else f"encoder {name!r} has no results here{nearest(name, known)}",
        allowed=", ".join(meant or known),
    )
