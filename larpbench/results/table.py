"""Tables of scores, made of records: what they show follows from the records, and not from today's metrics."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from larpbench.datasets.schema import tested_digest
from larpbench.errors import UnknownNameError, UsageError
from larpbench.evaluation.significance import indistinguishable_groups, letters
from larpbench.fingerprint import digest
from larpbench.results.beyond import base, by_one_encoder, column_intervals, require_measured
from larpbench.results.notes import facts, footnotes, split_rule
from larpbench.results.record import CellRecord
from larpbench.results.rows import FEW_HITS, Omissions, Row, Score, Table, descriptive_metrics, task_of
from larpbench.results.store import read_records
from larpbench.results.tuned import Found, by_tuning, earlier_tuning
from larpbench.results.view import USUAL, View

logger = logging.getLogger(__name__)
_MINUTE = len("2026-01-01T00:00")
_DECIMALS = 10  # beyond them, two orders of the same additions differ


def read_tables(output: Path, view: View = USUAL, everything: bool = False) -> list[Table]:
    """Return one table a task, data set, variant of its protocol, and removal (rule 13) of a results folder.

    Rows stand in one table if they were tested on the same ids, split and playlists; where there are several such sets
    of one name, such as after a data set was built anew, only the newest is shown, and the others are counted and named
    in a footnote. Rows that failed are counted and named, too.

    Args:
        output: The results folder.
        view: How the tables are shown. A table has those of its metrics that it holds; one that holds none is left out.
        everything: Whether failed rows stand in the tables, and superseded results in rows and tables of their own.

    Raises:
        DataError: If there are no results, or some cannot be used, naming them.
        UsageError: If no result holds a metric of the view.
    """
    found = read_records(output)
    _require_known([record for _, record in found], view)
    tables = []
    for _, record in sorted(_newest_of_each(found).items()):
        try:
            tables.extend(tables_beside(found, record, view, everything))
        except UsageError as error:  # another task has the metrics
            logger.warning("left out: %s on %s: %s", record.cell.task, record.cell.dataset, error.what)
    return tables


def superseded_records(found: Sequence[tuple[Path, CellRecord]]) -> list[CellRecord]:
    """Return the records that `read_tables` leaves out: of other data of that name, or tuned by an earlier version."""
    newest = {name: tested_group(record) for name, record in _newest_of_each(found).items()}
    shown: dict[tuple[str, str, str], list[Found]] = defaultdict(list)
    for path, record in found:
        if tested_group(record) == newest[_name(record)]:
            shown[_name(record)].append((path, record))
    current = {path for pairs in shown.values() for path, _ in by_tuning(pairs)[0]}
    return [record for path, record in found if path not in current]


def superseded_paths(found: Sequence[tuple[Path, CellRecord]]) -> set[Path]:
    """Return the paths of all records that newer ones replace: tested on other data, or older ones of the same row."""
    older = {record.key for record in superseded_records(found)}
    rows: dict[object, list[tuple[Path, CellRecord]]] = defaultdict(list)
    for path, record in found:
        if record.key not in older:
            rows[_name(record), _removed(record), _row_name(record)].append((path, record))
    current = {path for pairs in rows.values() for path, _ in _newest(_by_age(pairs))}
    return {path for path, _ in found} - current


def _newest_of_each(found: Sequence[tuple[Path, CellRecord]]) -> dict[tuple[str, str, str], CellRecord]:
    newest: dict[tuple[str, str, str], CellRecord] = {}
    for _, record in found:
        other = newest.setdefault(_name(record), record)
        newest[_name(record)] = max(record, other, key=lambda each: each.created)
    return newest


def tables_beside(
    found: Sequence[tuple[Path, CellRecord]], tested: CellRecord, view: View = USUAL, everything: bool = False
) -> list[Table]:
    """Return the tables of those records that were tested on the same data as a given one.

    Args:
        found: The records, each with its path.
        tested: One of them.
        view: How the tables are shown.
        everything: Whether failed rows stand in the tables, and results on other data of that name in tables behind.

    Raises:
        UsageError: If the records do not hold the metrics of the view.
    """
    groups: dict[str, list[tuple[Path, CellRecord]]] = defaultdict(list)
    for path, record in found:
        if _name(record) == _name(tested):
            groups[tested_group(record)].append((path, record))
    same, tuned_before = by_tuning(groups.pop(tested_group(tested)))
    if not everything:
        superseded = [record for pairs in groups.values() for _, record in pairs]
        return build_tables(same, superseded, view, tuned_before=[record for _, record in tuned_before])
    tables = build_tables(same, (), view, everything)
    if tuned_before:
        tables.extend(_marked(each, "") for each in build_tables(tuned_before, (), view, everything))
    for pairs in sorted(groups.values(), key=lambda pairs: max(record.created for _, record in pairs), reverse=True):
        first = pairs[0][1]
        data = f"data set fingerprint {first.dataset.fingerprint[:12]}, protocol {first.protocol}"
        for part in filter(None, by_tuning(pairs)):
            tables.extend(_marked(table, data) for table in build_tables(part, (), view, everything))
    return tables


def _marked(table: Table, data: str) -> Table:
    """Return a table of superseded results, named so: by their data, and by their tuning if that is an earlier one."""
    text = f"superseded: {', '.join(part for part in (data, earlier_tuning(table.records)) if part)}"
    return replace(table, variant=", ".join(part for part in (table.variant, text) if part))


def _name(record: CellRecord) -> tuple[str, str, str]:
    return record.cell.task, record.cell.dataset, _variant(record)


def tested_group(record: CellRecord) -> str:
    """Return a digest that records share if they can stand in one table: data, split rule and protocol are the same."""
    part = record.dataset
    return digest([tested_digest(part.digests, part.fingerprint), split_rule(part.split), record.protocol])


def build_tables(
    found: Sequence[tuple[Path, CellRecord]],
    superseded: Sequence[CellRecord] = (),
    view: View = USUAL,
    everything: bool = False,
    tuned_before: Sequence[CellRecord] = (),
) -> list[Table]:
    """Return the tables of some records of one `tested_group`, each with its path: one a removal (rule 13).

    A row holds seeds of one experiment only: of the newest, where the same encoder and recommender were run with other
    vectors, another budget or other draws before.

    Args:
        found: The records.
        superseded: Those of the same name that were tested on other ids, splits or playlists: to be counted.
        view: How the tables are shown.
        everything: Whether rows that failed, and older experiments, have rows, too.
        tuned_before: Those that an earlier version of tuning chose the parameters of: to be counted.

    Raises:
        UsageError: If the records do not hold the metrics of the view.
    """
    grouped: dict[str, dict[tuple[str, str], list[tuple[Path, CellRecord]]]] = defaultdict(lambda: defaultdict(list))
    for path, record in _by_age(by_one_encoder(found)):
        grouped[_removed(record)][_row_name(record)].append((path, record))
    by_removal = {
        removed: [list(_experiments(pairs)) for pairs in rows.values()] for removed, rows in sorted(grouped.items())
    }
    older = sum(len(pairs) for rows in by_removal.values() for _, *others in rows for pairs in others)
    encoders = {record.cell.encoder for _, record in found}
    absent = tuple(sorted({record.cell.encoder for record in (*superseded, *tuned_before)} - encoders))
    tables = []
    for experiments in by_removal.values():
        rows = [_row(newest) for newest, *_ in experiments]
        if everything:
            rows += [_row(pairs, superseded=True) for _, *others in experiments for pairs in others]
            tables.append(_table(rows, view, Omissions()))
        else:
            failed = tuple(row for row in rows if row.failure is not None)
            scored = [row for row in rows if row.failure is None]
            omissions = Omissions(failed, older, len(superseded), absent, len(tuned_before))
            tables.append(_table(scored, view, omissions))
    return tables


def viewed(table: Table, view: View) -> Table:
    """Return a table of scores in another view: other metrics, another order, other letters.

    Raises:
        UsageError: If its results do not hold a metric of the view.
    """
    _require_known(table.records, view)
    rows = [replace(row, scores={}, group="") for row in table.rows]
    return replace(_table(rows, view, table.omissions), variant=table.variant)


def _require_known(records: Sequence[CellRecord], view: View) -> None:
    """Refuse metrics that no result holds; where all results failed there are none to compare with."""
    held = {metric.name: None for record in records for metric in record.measured}
    unknown = [name for name in (*view.metrics, view.sort) if name and name not in held]
    require_measured(records, unknown)
    if held and unknown:
        raise UnknownNameError(
            "metric", unknown[0], held, next_step="choose metrics that the results hold, or run the cells anew"
        )


def _by_age(found: Sequence[tuple[Path, CellRecord]]) -> list[tuple[Path, CellRecord]]:
    return sorted(found, key=lambda pair: pair[1].created)


def _removed(record: CellRecord) -> str:
    return record.removal.key if record.removal else ""


def _row_name(record: CellRecord) -> tuple[str, str]:
    return record.cell.encoder, record.cell.recommender


def _experiments(pairs: Sequence[tuple[Path, CellRecord]]) -> Iterator[list[tuple[Path, CellRecord]]]:
    """Yield the seeds of each experiment of a row, given its records from the oldest: the newest experiment first."""
    while pairs:
        newest = _newest(pairs)
        yield newest
        paths = {path for path, _ in newest}
        pairs = [(path, record) for path, record in pairs if path not in paths]


def _newest(pairs: Sequence[tuple[Path, CellRecord]]) -> list[tuple[Path, CellRecord]]:
    """Return the seeds of the newest experiment of a row, oldest record first."""
    row_key = pairs[-1][1].row_key
    seeds = {record.cell.seed: (path, record) for path, record in pairs if record.row_key == row_key}
    return list(seeds.values())


def _table(rows: Sequence[Row], view: View, omissions: Omissions) -> Table:
    """Return the table of rows that have no scores yet."""
    records = [record for row in rows for record in row.records]
    first = (records or [record for row in omissions.failed for record in row.records])[0]
    good = [record for record in records if record.status == "ok"]
    columns = _chosen_columns(first.cell.task, good, view)
    by_name = {metric.name: metric for record in reversed(good) for metric in record.measured}
    sort = view.sort if view.sort in by_name else columns[0]
    scored = _lettered([_scored(row, tuple(dict.fromkeys((*columns, sort)))) for row in rows], sort)
    descriptive = descriptive_metrics(good)
    scored = placed(scored, [name for name in columns if name not in descriptive], sort)
    shown = {name: by_name[name] for name in columns if name in by_name}
    return Table(
        first.cell.task,
        first.cell.dataset,
        first.removal,
        columns,
        tuple(scored),
        {name: metric.chance if metric.applicable else None for name, metric in shown.items()},
        {name: metric.ceiling if metric.applicable else None for name, metric in shown.items()},
        tuple(facts(first.removal, good, scored, sort)),
        tuple(footnotes(records, scored, columns, sort, omissions)),
        tuple(sorted(records, key=_order)),
        _variant(first),
        replace(view, sort=sort),
        omissions,
    )


def _chosen_columns(task: str, records: Sequence[CellRecord], view: View) -> tuple[str, ...]:
    """Return the metrics of a view that some records hold; without records that have scores, all of them."""
    usual = shown_columns(task, records)
    held = {metric.name: None for record in records for metric in record.measured}
    chosen = tuple(name for name in view.metrics if name in held or not records)
    if view.metrics and not chosen:
        raise UsageError(f"the results hold no {', '.join(view.metrics)}", allowed=", ".join(sorted(held)))
    return chosen or usual


def shown_columns(task: str, records: Sequence[CellRecord]) -> tuple[str, ...]:
    """Return the metrics that a table of some records shows.

    Of the metrics that the records hold, these are the ones that the task shows; then the same metrics at other K;
    then metrics that the task does not know, measures of quality first. Without the task all metrics are shown.

    Args:
        task: Name of the task.
        records: The records that have scores.
    """
    known = task_of(task)
    measured = {metric.name: metric.chance is not None for record in records for metric in record.metrics}
    usual = known.columns if known else ()
    specs = known.metrics if known else ()
    order = list(dict.fromkeys(map(base, usual)))
    hidden = {spec.column for spec in specs} | {spec.name for spec in specs if spec.name not in order}
    others = [name for name in measured if name not in hidden and base(name) not in hidden]
    others.sort(key=lambda name: (order.index(base(name)) if base(name) in order else len(order), not measured[name]))
    columns = *(name for name in usual if name in measured), *others
    return columns or tuple(measured) or usual or ("score",)


def _variant(record: CellRecord) -> str:
    return record.protocol.partition("/")[2]


def _row(pairs: Sequence[tuple[Path, CellRecord]], superseded: bool = False) -> Row:
    """Return a row without scores."""
    files, records = zip(*sorted(pairs, key=lambda pair: pair[1].cell.seed), strict=True)
    cell, card = records[0].cell, records[0].encoder.card
    failures = [record.failure.message for record in records if record.failure]
    return Row(
        cell.encoder,
        cell.recommender,
        0 if failures else len(pairs),
        card["weights"],
        card["control"],
        {},
        failures[0] if failures else None,
        "",
        records,
        files,
        max(record.created for record in records)[:_MINUTE] if superseded else "",
    )


def _scored(row: Row, columns: tuple[str, ...]) -> Row:
    """Return a row with its scores; a mean over those seeds that happened to work would be no mean over seeds."""
    return replace(row, scores=_scores(row, columns)) if row.failure is None else row


def _scores(row: Row, columns: tuple[str, ...]) -> dict[str, Score | None]:
    scores: dict[str, Score | None] = dict.fromkeys(columns)
    by_name = [{metric.name: metric for metric in record.measured} for record in row.records]
    known = [column for column in columns if all(column in metrics for metrics in by_name)]
    values = row.values(known) if known and len(by_name) > 1 else None
    ends = column_intervals(values, known) if values is not None else None
    for index, column in enumerate(known):
        metrics = [each[column] for each in by_name]
        hits = float(np.mean([metric.hits for metric in metrics]))  # seeds repeat the same playlists
        few = hits < FEW_HITS and not metrics[0].descriptive
        if not all(metric.applicable for metric in metrics):
            continue
        if values is None or ends is None:
            scores[column] = Score(metrics[0].value, metrics[0].ci_low, metrics[0].ci_high, few)
        elif np.isnan(mean := float(values[:, :, index].mean())):  # playlists have no value of their own
            scores[column] = Score(float(np.mean([metric.value for metric in metrics])), None, None, few)
        else:
            scores[column] = Score(mean, float(ends[0][index]), float(ends[1][index]), few)
    return scores


def _lettered(rows: list[Row], column: str) -> list[Row]:
    """Add letters: rows that share one cannot be told apart by a metric (protocol rule 12)."""
    good = [index for index, row in enumerate(rows) if row.scores.get(column)]
    means = [rows[index].values([column])[:, :, 0].mean(axis=0) for index in good]
    if len(good) < 2 or len({len(each) for each in means}) > 1 or any(np.isnan(each).any() for each in means):
        return rows
    groups = dict(zip(good, indistinguishable_groups(np.stack(means)), strict=True))
    return [replace(row, group=letters(groups.get(index, ()))) for index, row in enumerate(rows)]


def placed(rows: list[Row], columns: Sequence[str], sort: str = "") -> list[Row]:
    """Mark the best and the second best of some columns, and sort; controls are marked in none.

    Args:
        rows: The rows.
        columns: In which the best is marked.
        sort: By which metric they are sorted; empty: the first of the columns.
    """
    places: dict[tuple[int, str], int] = {}
    for column in columns:
        scores_of = {index: row.scores.get(column) for index, row in enumerate(rows) if not row.control}
        values = {index: round(score.value, _DECIMALS) for index, score in scores_of.items() if score}
        ordered = sorted(set(values.values()), reverse=True)[:2]
        for index, value in values.items():
            if value in ordered:
                places[index, column] = ordered.index(value) + 1
    marked = []
    for index, row in enumerate(rows):
        scores = {
            column: score and replace(score, place=places.get((index, column), 0))
            for column, score in row.scores.items()
        }
        marked.append(replace(row, scores=scores))
    by = sort or columns[0]
    return sorted(marked, key=lambda row: _rank(row, by))


def _rank(row: Row, column: str) -> tuple[bool, bool, float, str, str, bool, str]:
    score = row.scores.get(column)
    name = row.encoder, row.recommender, bool(row.superseded), row.superseded
    return (row.failure is not None, row.control, -score.value if score else 0.0, *name)


def _order(record: CellRecord) -> tuple[str, str, int]:
    return (record.cell.encoder, record.cell.recommender, record.cell.seed)
