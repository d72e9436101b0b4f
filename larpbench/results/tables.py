"""Tables: one object made of records, from which every format is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larpbench.errors import DataError
from larpbench.evaluation.metrics import CUTOFFS
from larpbench.evaluation.statistics import bootstrap_interval
from larpbench.results.record import CellRecord, Metric
from larpbench.results.store import read_playlist_values, read_records

FEW_HITS = 20
SHOWN = tuple(f"{name}@{k}" for name in ("recall", "ndcg") for k in CUTOFFS)


@dataclass(frozen=True)
class Score:
    """One number of a table.

    Attributes:
        value: Mean over playlists (and seeds).
        low: Lower end of its 95 % interval.
        high: Upper end.
        few_hits: Whether the interval rests on fewer than 20 hits.
        place: 1 for the best of its column, 2 for the second best, 0 otherwise and for controls.
    """

    value: float
    low: float | None
    high: float | None
    few_hits: bool = False
    place: int = 0


@dataclass(frozen=True)
class Row:
    """One encoder with one recommender.

    Attributes:
        encoder: Encoder identity.
        recommender: Name.
        seeds: Over how many seeds the scores are averaged.
        weights: ``weights`` of the encoder's card.
        control: Whether the encoder is a yardstick.
        scores: Column -> score; None prints n/a.
        failure: Why there are no scores.
    """

    encoder: str
    recommender: str
    seeds: int
    weights: str
    control: bool
    scores: dict[str, Score | None]
    failure: str | None = None


@dataclass(frozen=True)
class Table:
    """Results of one task on one data set.

    Attributes:
        task: Name.
        dataset: Name.
        columns: Metric names that are shown.
        rows: Best first by the first column, controls and failures last.
        chance: Column -> chance; None prints n/a.
        ceiling: Column -> ceiling; None prints n/a.
        facts: Sentences that say how much the table can carry.
        footnotes: Sentences on single rows.
        records: The records that it is made of.
    """

    task: str
    dataset: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: dict[str, float | None]
    ceiling: dict[str, float | None]
    facts: tuple[str, ...]
    footnotes: tuple[str, ...]
    records: tuple[CellRecord, ...]


def load_tables(output: str | Path) -> list[Table]:
    """Return one table a task and data set of a results folder.

    Records of an older version of the data set are left out and counted in a footnote: rows of different data do not
    compare.

    Raises:
        DataError: If there are no results, or a file is damaged.
    """
    groups: dict[tuple[str, str], list[tuple[Path, CellRecord]]] = defaultdict(list)
    for path, record in read_records(Path(output)):
        groups[record.cell.task, record.cell.dataset].append((path, record))
    return [_table(task, dataset, found) for (task, dataset), found in sorted(groups.items())]


def _table(task: str, dataset: str, found: list[tuple[Path, CellRecord]]) -> Table:
    newest = max(found, key=lambda pair: pair[1].created)[1]
    older = 0
    by_cell: dict[tuple[str, str, int], tuple[Path, CellRecord]] = {}
    for path, record in sorted(found, key=lambda pair: pair[1].created):
        if record.dataset.fingerprint != newest.dataset.fingerprint or record.protocol != newest.protocol:
            older += 1
            continue
        name = (record.cell.encoder, record.cell.recommender, record.cell.seed)
        older += name in by_cell
        by_cell[name] = (path, record)
    current = list(by_cell.values())
    grouped: dict[tuple[str, str], list[tuple[Path, CellRecord]]] = defaultdict(list)
    for path, record in sorted(current, key=lambda pair: pair[1].cell.seed):
        grouped[record.cell.encoder, record.cell.recommender].append((path, record))
    rows = _placed([_row(pairs) for pairs in grouped.values()])
    good = [record for _, record in current if record.status == "ok"]
    by_name = {metric.name: metric for metric in good[0].metrics} if good else {}
    shown = {name: by_name[name] for name in SHOWN if name in by_name}
    return Table(
        task,
        dataset,
        SHOWN,
        tuple(rows),
        {name: metric.chance if metric.applicable else None for name, metric in shown.items()},
        {name: metric.ceiling if metric.applicable else None for name, metric in shown.items()},
        tuple(_facts(good, rows)) if good else (),
        tuple(_footnotes(current, rows, older)),
        tuple(record for _, record in sorted(current, key=lambda pair: _order(pair[1]))),
    )


def _row(pairs: Sequence[tuple[Path, CellRecord]]) -> Row:
    first = pairs[0][1]
    good = [(path, record) for path, record in pairs if record.status == "ok"]
    failures = [record.failure.message for _, record in pairs if record.failure]
    card = first.encoder.card
    name = (first.cell.encoder, first.cell.recommender)
    if not good or failures:  # a mean over those seeds that happened to work would be no mean over seeds
        return Row(*name, 0, card["weights"], card["control"], {}, failures[0] if failures else "no scores")
    metrics = {metric.name: metric for metric in good[0][1].metrics}
    scores = {column: _single(metrics[column]) for column in SHOWN} if len(good) == 1 else _over_seeds(good)
    return Row(*name, len(good), card["weights"], card["control"], scores)


def _single(metric: Metric) -> Score | None:
    if not metric.applicable:
        return None
    return Score(metric.value, metric.ci_low, metric.ci_high, metric.hits < FEW_HITS)


def _over_seeds(pairs: Sequence[tuple[Path, CellRecord]]) -> dict[str, Score | None]:
    values = [read_playlist_values(path, list(SHOWN)) for path, _ in pairs]
    if len({len(each) for each in values}) > 1:
        raise DataError("the seeds of one row counted different playlists", where=str(pairs[0][0].parent))
    stacked = np.stack(values)
    lows, highs = bootstrap_interval(stacked)
    by_name = [{metric.name: metric for metric in record.metrics} for _, record in pairs]
    scores: dict[str, Score | None] = {}
    for index, column in enumerate(SHOWN):
        hits = sum(metrics[column].hits for metrics in by_name)
        mean = float(stacked[:, :, index].mean())
        score = Score(mean, float(lows[index]), float(highs[index]), hits < FEW_HITS)
        scores[column] = score if all(metrics[column].applicable for metrics in by_name) else None
    return scores


def _placed(rows: list[Row]) -> list[Row]:
    """Mark the best and the second best of each column and sort; controls take part in neither."""
    places: dict[tuple[int, str], int] = {}
    for column in SHOWN:
        values = {index: row.scores.get(column) for index, row in enumerate(rows) if not row.control}
        ordered = sorted({score.value for score in values.values() if score}, reverse=True)[:2]
        for index, score in values.items():
            if score and score.value in ordered:
                places[index, column] = ordered.index(score.value) + 1
    marked = []
    for index, row in enumerate(rows):
        scores = {
            column: score and Score(score.value, score.low, score.high, score.few_hits, places.get((index, column), 0))
            for column, score in row.scores.items()
        }
        marked.append(Row(row.encoder, row.recommender, row.seeds, row.weights, row.control, scores, row.failure))
    return sorted(marked, key=_rank)


def _rank(row: Row) -> tuple[bool, bool, float, str, str]:
    first = row.scores.get(SHOWN[0])
    return (bool(row.failure), row.control, -first.value if first else 0.0, row.encoder, row.recommender)


def _order(record: CellRecord) -> tuple[str, str, int]:
    return (record.cell.encoder, record.cell.recommender, record.cell.seed)


def _facts(good: Sequence[CellRecord], rows: Sequence[Row]) -> list[str]:
    record = good[0]
    counts = record.counts
    if counts is None:
        return []
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts.left_out.items() if count) or "none"
    widths = [
        score.high - score.low
        for row in rows
        if (score := row.scores.get(SHOWN[0])) and score.high is not None and score.low is not None
    ]
    facts = [
        f"{counts.playlists} playlists counted (left out: {left_out}), {counts.heldout_mean:.1f} held-out tracks each; "
        f"{counts.tracks} tracks, of which {counts.candidates_min} or more are candidates for each playlist.",
    ]
    if widths:
        facts.append(
            f"The 95 % intervals (bootstrap over playlists) of {SHOWN[0]} are up to {max(widths):.3f} wide: "
            "a difference of that order may be chance."
        )
    tied = max(max(each.counts.tie_share.values()) for each in good if each.counts)
    if tied > 0:
        facts.append(f"Up to {tied:.1%} of the lists are cut between equal scores; a fixed random order settles them.")
    facts.extend(record.dataset.notes)
    facts.append(f"Protocol {record.protocol}, data set fingerprint {record.dataset.fingerprint[:12]}.")
    return facts


def _trainings(records: Sequence[CellRecord]) -> list[str]:
    """Say of every trained encoder what it is and what its training was selected by."""
    updates: dict[tuple[str, str, str], set[int]] = {}
    for record in records:
        training = record.training
        if training and (selected_by := training.facts.get("selected_by")):
            what = f"{record.cell.encoder}: {record.encoder.card['weights']}", training.trained_on, selected_by
            updates.setdefault(what, set()).add(training.facts["updates_in_all"])
    return [
        f"{what}, on {source}; updates over all stages: {', '.join(map(str, sorted(counts)))}; the epoch was selected "
        f"by {selected_by}."
        for (what, source, selected_by), counts in sorted(updates.items())
    ]


def _random_weights(row: Row) -> bool:
    """Whether the weights, or those of a part of a combination, were never trained."""
    return any(part.startswith("random") or ": random" in part for part in row.weights.split("; "))


def _provenance(records: Sequence[CellRecord]) -> list[str]:
    """Say which encoders may have seen the tested tracks before, and which nobody has compared with their original."""
    cards = {record.cell.encoder: record.encoder.card for record in records}
    dataset = records[0].cell.dataset if records else ""
    notes = [
        f"{name}: its training data ({card['training_data']}) may hold tracks of this data set (not verifiable)."
        for name, card in sorted(cards.items())
        if any(dataset == each or dataset.startswith(f"{each}-") for each in card.get("overlaps", ()))
    ]
    unproven = sorted(name for name, card in cards.items() if card.get("original") and not card.get("proof"))
    if unproven:
        notes.append(
            "unproven adapters, never compared with the original code on the same weights and input (larpbench check "
            f"NAME --golden): {', '.join(unproven)}."
        )
    return notes


def _footnotes(current: Sequence[tuple[Path, CellRecord]], rows: Sequence[Row], older: int) -> list[str]:
    notes = []
    if any(score and score.few_hits for row in rows for score in row.scores.values()):
        notes.append(f"† rests on fewer than {FEW_HITS} hits: the interval is not to be trusted.")
    if any(score is None for row in rows for score in row.scores.values()):
        notes.append("n/a: K reaches the number of candidates, so every ranking would score the same.")
    if names := sorted({row.encoder for row in rows if _random_weights(row)}):
        notes.append(f"weights: random, never trained: {', '.join(names)}.")
    notes.extend(_provenance([record for _, record in current]))
    notes.extend(_trainings([record for _, record in current]))
    for text in sorted({f"{r.cell.encoder}: {warning}." for _, r in current for warning in r.warnings}):
        notes.append(text)
    for row in rows:
        if row.failure:
            notes.append(f"{row.encoder} with {row.recommender} failed: {row.failure.splitlines()[0]}")
    if older:
        notes.append(f"{older} older results of the same cells, or of an older version of the data set, are left out.")
    return notes
