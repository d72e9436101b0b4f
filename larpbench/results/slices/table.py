"""Tables of slices: the scores of every row on the held-out tracks of each slice, with chance, ceiling, interval and n.

In a slice the relevant tracks of a playlist are its held-out tracks in the slice; the candidates and the ranked lists
are those of the whole table. A playlist without such a track is left out of the slice, and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError, LarpbenchError, UsageError, clipped, shell_word
from larpbench.evaluation.bounds import ceiling, chance
from larpbench.evaluation.metrics import list_quality
from larpbench.evaluation.statistics import bootstrap_interval
from larpbench.progress import say
from larpbench.results.beyond import cutoff
from larpbench.results.rows import FEW_HITS, Row, Score, Table, bound_cell, score_cell
from larpbench.results.sheet import Column, Sheet, SheetCell, SheetRow, column_head, main_metrics
from larpbench.results.shown import Shown
from larpbench.results.slices.answers import Answers, holds_answers, read_answers
from larpbench.results.slices.groups import Group, Grouping, built_in, make_groups
from larpbench.results.slices.tested import TestedDatasets
from larpbench.results.table import placed, read_tables

FEW_PLAYLISTS = 20
_LONGEST = 80


@dataclass(frozen=True)
class Slice:
    """One slice of one table.

    Attributes:
        value: Its name, such as ``rock``.
        playlists: How many playlists have a held-out track in it.
        left_out: How many of the table's playlists have none.
        heldout: How many held-out tracks it has, over all playlists.
        rows: The table's rows with the scores in this slice, best first by the first metric.
        chance: Metric -> score of a random ranking; None where K reaches the number of candidates.
        ceiling: Metric -> score of a perfect ranking; None likewise.
    """

    value: str
    playlists: int
    left_out: int
    heldout: int
    rows: tuple[Row, ...]
    chance: dict[str, float | None]
    ceiling: dict[str, float | None]

    @property
    def few(self) -> bool:
        """Whether it has fewer than 20 playlists, and is marked."""
        return self.playlists < FEW_PLAYLISTS


@dataclass(frozen=True, repr=False)
class SliceTable(Shown):
    """The slices of one table.

    Attributes:
        table: The table.
        by: What the slices are made by, such as ``genre``.
        columns: The metrics.
        slices: The slices.
        notes: What must be known of them, in sentences.
    """

    table: Table
    by: str
    columns: tuple[str, ...]
    slices: tuple[Slice, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<SliceTable {self.title}, {len(self.slices)} slices>"

    def sheets(self) -> list[Sheet]:
        """Return the slices as they are printed."""
        return [self.sheet()]

    @property
    def title(self) -> str:
        """Task, what was tested, and what the slices are made by."""
        return f"{self.table.task}: {self.table.tested}, by {self.by}"

    def sheet(self) -> Sheet:
        """Return the slices as they are printed: below each other, each with chance and ceiling."""
        main = self.columns if self.table.view.metrics else main_metrics(self.columns, self.table.view.sort)
        metrics = (
            Column(column_head(name), name, right=True, rising=True, minor=name not in main) for name in self.columns
        )
        rows = [row for each in self.slices for row in self._sheet_rows(each)]
        heads = (Column(clipped(self.by, _LONGEST)), Column("n", right=True), Column("Encoder"), Column("Recommender"))
        return Sheet(self.title, (*heads, *metrics), tuple(rows), self.notes, tuple(self.lines()))

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield one line a slice, row and metric, in full precision; ``value`` is the score, ``n`` counts playlists."""
        for part in self.slices:
            for row in part.rows:
                for name in self.columns:
                    score = row.scores[name]
                    yield {
                        "task": self.table.task,
                        "dataset": self.table.tested,
                        "by": self.by,
                        "slice": part.value,
                        "encoder": row.encoder,
                        "recommender": row.recommender,
                        "seeds": row.random_seeds,
                        "metric": name,
                        "value": score.value if score else "n/a",
                        "ci_low": score.low if score else "n/a",
                        "ci_high": score.high if score else "n/a",
                        "chance": _or_none(part.chance[name]),
                        "ceiling": _or_none(part.ceiling[name]),
                        "n": part.playlists,
                        "left_out": part.left_out,
                        "heldout": part.heldout,
                    }

    def _sheet_rows(self, part: Slice) -> Iterator[SheetRow]:
        few = " (few)" if part.few else ""
        count = SheetCell(f"{part.playlists} of {part.playlists + part.left_out}{few}", value=part.playlists)
        place = SheetCell(clipped(part.value, _LONGEST)), count
        for row in part.rows:
            seeds = f" ({row.random_seeds} seeds)" if row.random_seeds > 1 else ""
            names = SheetCell(row.label + seeds), SheetCell(row.recommender)
            scores = (score_cell(row.scores[name], view=self.table.view) for name in self.columns)
            yield SheetRow((*place, *names, *scores), "control" if row.control else "")
        for label, values in (("chance", part.chance), ("ceiling", part.ceiling)):
            cells = (bound_cell(values[name], self.table.view) for name in self.columns)
            yield SheetRow((*place, SheetCell(label), SheetCell(), *cells), "bound")


def slice_tables(
    source: str | Path | Sequence[Table],
    by: str,
    dataset: str | Path | Dataset | Sequence[str | Path | Dataset] | None = None,
) -> list[SliceTable]:
    """Return the slices of every table; nothing is run.

    Args:
        source: A results folder, or tables: what `load_results` returns, or some of them.
        by: ``popularity``, ``discovery``, ``seeds`` (of listeners: ``profile``), or a column of the data set's
            tracks or playlists (`larpbench.results.slices.groups`).
        dataset: The tested data set, or its name or folder; several where tables are of several. None: found by the
            name that the results have for it.

    Returns:
        One object a table. Tables that cannot be sliced, such as those of another task, are left out, and why is said
        on standard error.

    Raises:
        UsageError: If no table can be sliced, or there is no such column: it names what there is.
        DataError: If the data set is not the one that was tested, or results do not hold the held-out tracks.
    """
    tables = read_tables(Path(source)) if isinstance(source, str | Path) else list(source)
    tested = TestedDatasets.given(dataset)
    found: list[SliceTable] = []
    failed: list[tuple[Table, LarpbenchError]] = []
    for table in tables:
        try:
            found.append(slice_table(table, tested.of(table), by))
        except LarpbenchError as error:
            failed.append((table, error))
    if failed and not found:
        raise failed[0][1]
    for table, reason in failed:
        say(f"no slices of {table.task}: {table.tested}: {reason.what}")
    return found


def slice_table(table: Table, dataset: Dataset, by: str) -> SliceTable:
    """Return the slices of one table.

    Args:
        table: The table.
        dataset: The data set that was tested.
        by: See `slice_tables`.

    Raises:
        UsageError: If the table shows no metric that slices have, or there is no such column.
        DataError: If its results do not hold the held-out tracks.
    """
    return read_answered(table).sliced(dataset, by)


@dataclass(frozen=True)
class AnsweredTable:
    """A table with what its results say of each held-out track, from which any slices are made.

    Attributes:
        table: The table.
        rows: Those of its rows whose results hold the held-out tracks.
        answers: Of each row, by seed.
        columns: The metrics that slices have.
        cutoffs: The K of recall and NDCG in the results.
        lacking: Encoders whose results do not hold the held-out tracks.
    """

    table: Table
    rows: tuple[Row, ...]
    answers: tuple[tuple[Answers, ...], ...]
    columns: tuple[str, ...]
    cutoffs: tuple[int, ...]
    lacking: tuple[str, ...]

    def of_rows(self, rows: Sequence[Row]) -> AnsweredTable:
        """Return the same with some of the rows only; with all of them where none of these can be sliced."""
        kept = [place for place, row in enumerate(self.rows) if row in rows] or range(len(self.rows))
        chosen = (tuple(self.rows[place] for place in kept), tuple(self.answers[place] for place in kept))
        return replace(self, rows=chosen[0], answers=chosen[1])

    def sliced(self, dataset: Dataset, by: str) -> SliceTable:
        """Return the slices of the table, see `slice_table`."""
        first = self.answers[0][0]
        grouping = make_groups(dataset, first, by)
        sort = self.table.view.sort if self.table.view.sort in self.columns else self.columns[0]
        parts = tuple(
            _slice(group, self.rows, self.answers, self.columns, self.cutoffs, sort) for group in grouping.groups
        )
        notes = _notes(grouping, parts, first, self.lacking)
        if self.table.removal and grouping.by in built_in(dataset):
            notes += ("Tracks that protocol rule 13 removes still count where slices are made.",)
        return SliceTable(self.table, grouping.by, self.columns, parts, notes)


def read_answered(table: Table) -> AnsweredTable:
    """Read the held-out tracks and lists of a table's results.

    Raises:
        UsageError: If the table shows no metric that slices have.
        DataError: If its results do not hold the held-out tracks.
    """
    scored = [row for row in table.rows if not row.failure]
    rows = [row for row in scored if all(map(holds_answers, row.files))]
    if not rows:
        raise DataError(
            "the results do not say which tracks were held out: an earlier version of larpbench wrote them"
            if scored
            else "the table has no scores",
            where=f"{table.task}: {table.tested}",
            next_step=f"run them anew: larpbench run --if always --dataset {shell_word(table.dataset)}",
        )
    cutoffs = _cutoffs(rows)
    measures = ceiling(np.ones(1, dtype=int), np.ones(1, dtype=int), cutoffs)
    columns = tuple(name for name in table.columns if name in measures)
    if not columns:
        raise UsageError(
            f"slices have none of the metrics {', '.join(table.columns)}", allowed=f"some of {', '.join(measures)}"
        )
    answers = tuple(tuple(read_answers(path, cutoffs[-1]) for path in row.files) for row in rows)
    first = answers[0][0]
    for row, found in zip(rows, answers, strict=True):
        if any(not (each.playlists.equals(first.playlists) and each.entries.equals(first.entries)) for each in found):
            raise DataError("two results of one table have other held-out tracks", where=str(row.files[0].parent))
    lacking = tuple(dict.fromkeys(row.encoder for row in scored if row not in rows))
    return AnsweredTable(table, tuple(rows), answers, columns, cutoffs, lacking)


def _slice(
    group: Group,
    rows: Sequence[Row],
    answers: Sequence[Sequence[Answers]],
    columns: tuple[str, ...],
    cutoffs: tuple[int, ...],
    sort: str,
) -> Slice:
    first = answers[0][0]
    heldout = np.bincount(first.of_playlist[group.members], minlength=first.playlists.height)
    counted = heldout > 0
    relevant = heldout[counted]
    candidates = first.playlists["n_candidates"].to_numpy()[counted]
    applicable = {name for name in columns if cutoff(name) < candidates.min()}
    hits = [np.stack([_hits(each, group.members, cutoffs[-1])[counted] for each in found]) for found in answers]
    values = []  # of each row: (seeds, playlists, columns)
    for found in hits:
        quality = [list_quality(each, relevant, cutoffs) for each in found]
        values.append(np.stack([np.stack([each[name] for name in columns], axis=1) for each in quality]))
    scored = []
    for row, found, value, (low, high) in zip(rows, hits, values, _intervals(values), strict=True):
        scores: dict[str, Score | None] = {}
        for index, name in enumerate(columns):
            held = all(name in {metric.name for metric in record.metrics} for record in row.records)
            few = found[:, :, : cutoff(name)].sum() / len(found) < FEW_HITS
            score = Score(float(value[:, :, index].mean()), float(low[index]), float(high[index]), bool(few))
            scores[name] = score if held and name in applicable else None
        scored.append(replace(row, scores=scores, group=""))
    bounds = [function(candidates, relevant, cutoffs) for function in (chance, ceiling)]
    chances, ceilings = (
        {name: float(each[name].mean()) if name in applicable else None for name in columns} for each in bounds
    )
    left_out = int((~counted).sum())
    ranked = tuple(placed(scored, columns, sort))
    return Slice(group.value, len(relevant), left_out, int(relevant.sum()), ranked, chances, ceilings)


def _hits(answers: Answers, members: np.ndarray, length: int) -> np.ndarray:
    """Return (playlists, length) bool: where the lists hold a held-out track of the slice."""
    hits = np.zeros((answers.playlists.height, length), dtype=bool)
    found = members & (answers.places >= 0)
    hits[answers.of_playlist[found], answers.places[found]] = True
    return hits


def _intervals(values: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the interval of each row's means; rows of as many seeds are resampled together, which is the same."""
    by_seeds: dict[int, list[int]] = defaultdict(list)
    for index, each in enumerate(values):
        by_seeds[len(each)].append(index)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for indices in by_seeds.values():
        lows, highs = bootstrap_interval(np.concatenate([values[index] for index in indices], axis=2))
        parts = (np.split(ends, len(indices)) for ends in (lows, highs))
        found |= dict(zip(indices, zip(*parts, strict=True), strict=True))
    return [found[index] for index in range(len(values))]


def _notes(grouping: Grouping, parts: Sequence[Slice], answers: Answers, lacking: Sequence[str]) -> tuple[str, ...]:
    total = answers.playlists.height
    notes = [
        "A slice counts the held-out tracks in it; all candidates stay. n: how many playlists have such a track; the "
        f"others of the {total} are left out. Chance and ceiling are of the same playlists and held-out tracks.",
        *grouping.notes,
    ]
    if any(part.few for part in parts):
        notes.append(f"few: fewer than {FEW_PLAYLISTS} playlists; such a slice says little.")
    if any(score and score.few_hits for part in parts for row in part.rows for score in row.scores.values()):
        notes.append(f"† rests on fewer than {FEW_HITS} hits: the interval is not to be trusted.")
    if len(parts) > 1:
        notes.append(
            "Of many slices some are high or low by chance: choose one before you look, or confirm it on new data."
        )
    if lacking:
        notes.append(
            f"Left out are results of an earlier version, which do not say what was held out: {', '.join(lacking)}."
        )
    return tuple(notes)


def _cutoffs(rows: Sequence[Row]) -> tuple[int, ...]:
    names = {metric.name for row in rows for record in row.records for metric in record.metrics}
    return tuple(sorted({cutoff(name) for name in names if name.startswith("recall@")})) or (1,)


def _or_none(value: float | None) -> object:
    return "n/a" if value is None else value
