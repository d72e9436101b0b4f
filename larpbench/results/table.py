"""Tables of scores, made of records: what they show follows from the records, and not from today's metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from larpbench.datasets.schema import tested_digest
from larpbench.evaluation.significance import indistinguishable_groups, letters
from larpbench.fingerprint import digest
from larpbench.results.beyond import by_one_encoder, column_intervals
from larpbench.results.notes import Omissions, facts, footnotes, split_rule
from larpbench.results.record import CellRecord
from larpbench.results.rows import FEW_HITS, Row, Score, Table, task_of
from larpbench.results.store import read_records

_DECIMALS = 10  # beyond them, two orders of the same additions differ


def read_tables(output: Path) -> list[Table]:
    """Return one table a task, data set, variant of its protocol, and removal (rule 13) of a results folder.

    Rows stand in one table if they were tested on the same ids, split and playlists; where there are several such sets
    of one name, such as after a data set was built anew, only the newest is shown, and the others are counted and named
    in a footnote.

    Raises:
        DataError: If there are no results, or some cannot be used, naming them.
    """
    found = read_records(output)
    return [table for _, record in sorted(_newest_of_each(found).items()) for table in tables_beside(found, record)]


def superseded_records(found: Sequence[tuple[Path, CellRecord]]) -> list[CellRecord]:
    """Return the records that `read_tables` leaves out, since newer ones were tested on other data of that name."""
    newest = {name: tested_group(record) for name, record in _newest_of_each(found).items()}
    return [record for _, record in found if tested_group(record) != newest[_name(record)]]


def _newest_of_each(found: Sequence[tuple[Path, CellRecord]]) -> dict[tuple[str, str, str], CellRecord]:
    newest: dict[tuple[str, str, str], CellRecord] = {}
    for _, record in found:
        other = newest.setdefault(_name(record), record)
        newest[_name(record)] = max(record, other, key=lambda each: each.created)
    return newest


def tables_beside(found: Sequence[tuple[Path, CellRecord]], tested: CellRecord) -> list[Table]:
    """Return the tables of those records that were tested on the same data as a given one."""
    named = [(path, record) for path, record in found if _name(record) == _name(tested)]
    group = tested_group(tested)
    same = [(path, record) for path, record in named if tested_group(record) == group]
    return build_tables(same, [record for _, record in named if tested_group(record) != group])


def _name(record: CellRecord) -> tuple[str, str, str]:
    return record.cell.task, record.cell.dataset, _variant(record)


def tested_group(record: CellRecord) -> str:
    """Return a digest that records share if they can stand in one table: data, split rule and protocol are the same."""
    part = record.dataset
    return digest([tested_digest(part.digests, part.fingerprint), split_rule(part.split), record.protocol])


def build_tables(found: Sequence[tuple[Path, CellRecord]], superseded: Sequence[CellRecord] = ()) -> list[Table]:
    """Return the tables of some records of one `tested_group`, each with its path: one a removal (rule 13).

    A row holds seeds of one experiment only: of the newest, where the same encoder and recommender were run with other
    vectors, another budget or other draws before.

    Args:
        found: The records.
        superseded: Those of the same name that were tested on other ids, splits or playlists: to be counted.
    """
    found = sorted(by_one_encoder(found), key=lambda pair: pair[1].created)
    tables: dict[str, dict[tuple[str, str], list[tuple[Path, CellRecord]]]] = defaultdict(lambda: defaultdict(list))
    for path, record in found:
        removed = record.removal.key if record.removal else ""
        tables[removed][record.cell.encoder, record.cell.recommender].append((path, record))
    current = {
        removed: [pair for pairs in rows.values() for pair in _newest(pairs)] for removed, rows in tables.items()
    }
    older = len(found) - sum(map(len, current.values()))
    shown = {record.cell.encoder for pairs in current.values() for _, record in pairs}
    absent = sorted({record.cell.encoder for record in superseded} - shown)
    return [_table(pairs, Omissions(older, len(superseded), tuple(absent))) for _, pairs in sorted(current.items())]


def _newest(pairs: Sequence[tuple[Path, CellRecord]]) -> list[tuple[Path, CellRecord]]:
    """Return the seeds of the newest experiment of a row, oldest record first."""
    row_key = pairs[-1][1].row_key
    seeds = {record.cell.seed: (path, record) for path, record in pairs if record.row_key == row_key}
    return list(seeds.values())


def _table(current: list[tuple[Path, CellRecord]], omissions: Omissions) -> Table:
    grouped: dict[tuple[str, str], list[tuple[Path, CellRecord]]] = defaultdict(list)
    for path, record in sorted(current, key=lambda pair: pair[1].cell.seed):
        grouped[record.cell.encoder, record.cell.recommender].append((path, record))
    records = [record for _, record in current]
    first, good = records[0], [record for record in records if record.status == "ok"]
    columns = shown_columns(first.cell.task, good)
    rows = [_row(pairs, columns) for pairs in grouped.values()]
    rows = _placed(_lettered(rows, columns[0]), columns)
    by_name = {metric.name: metric for record in reversed(good) for metric in record.measured}
    shown = {name: by_name[name] for name in columns if name in by_name}
    return Table(
        first.cell.task,
        first.cell.dataset,
        first.removal,
        columns,
        tuple(rows),
        {name: metric.chance if metric.applicable else None for name, metric in shown.items()},
        {name: metric.ceiling if metric.applicable else None for name, metric in shown.items()},
        tuple(facts(first.removal, good, rows, columns[0])),
        tuple(footnotes(records, rows, columns, omissions)),
        tuple(sorted(records, key=_order)),
        _variant(first),
    )


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
    order = list(dict.fromkeys(map(_base, usual)))
    hidden = {spec.column for spec in specs} | {spec.name for spec in specs if spec.name not in order}
    others = [name for name in measured if name not in hidden and _base(name) not in hidden]
    others.sort(key=lambda name: (order.index(_base(name)) if _base(name) in order else len(order), not measured[name]))
    columns = *(name for name in usual if name in measured), *others
    return columns or tuple(measured) or usual or ("score",)


def _base(column: str) -> str:
    return column.partition("@")[0]


def _variant(record: CellRecord) -> str:
    return record.protocol.partition("/")[2]


def _row(pairs: Sequence[tuple[Path, CellRecord]], columns: tuple[str, ...]) -> Row:
    files, records = zip(*pairs, strict=True)
    cell, card = records[0].cell, records[0].encoder.card
    row = Row(
        cell.encoder, cell.recommender, len(pairs), card["weights"], card["control"], {}, None, "", records, files
    )
    if any(record.status == "failed" for record in records):
        # A mean over those seeds that happened to work would be no mean over seeds.
        failures = [record.failure.message for record in records if record.failure]
        return replace(row, random_seeds=0, failure=failures[0])
    return replace(row, scores=_scores(row, columns))


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
    """Add letters: rows that share one cannot be told apart by the first column (protocol rule 12)."""
    good = [index for index, row in enumerate(rows) if row.scores.get(column)]
    means = [rows[index].values([column])[:, :, 0].mean(axis=0) for index in good]
    if len(good) < 2 or len({len(each) for each in means}) > 1 or any(np.isnan(each).any() for each in means):
        return rows
    groups = dict(zip(good, indistinguishable_groups(np.stack(means)), strict=True))
    return [replace(row, group=letters(groups.get(index, ()))) for index, row in enumerate(rows)]


def _placed(rows: list[Row], columns: tuple[str, ...]) -> list[Row]:
    """Mark the best and the second best of each column and sort; controls take part in neither."""
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
    return sorted(marked, key=lambda row: _rank(row, columns[0]))


def _rank(row: Row, column: str) -> tuple[bool, bool, float, str, str]:
    first = row.scores.get(column)
    return (bool(row.failure), row.control, -first.value if first else 0.0, row.encoder, row.recommender)


def _order(record: CellRecord) -> tuple[str, str, int]:
    return (record.cell.encoder, record.cell.recommender, record.cell.seed)
