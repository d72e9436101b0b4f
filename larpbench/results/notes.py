"""The sentences below a table: how much it can carry, and what must be known of single rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from larpbench.errors import named
from larpbench.results.beyond import similarity_notes, why_lacking
from larpbench.results.record import CellRecord, RemovalPart
from larpbench.results.removal import as_sentence
from larpbench.results.rows import FEW_HITS, Omissions, Row, task_of
from larpbench.results.verification import is_checked

_SEEN_BY = "larpbench table FOLDER --all shows them"
_SMOKE_RUN = (
    "Smoke run (--limit {0}): only {0} playlists of each split were read, or all if there are fewer, and only their "
    "tracks. Fewer candidates make scores higher: they must not be compared with those of whole runs."
)


def facts(removal: RemovalPart | None, good: Sequence[CellRecord], rows: Sequence[Row], column: str) -> list[str]:
    """Return how much a table can carry.

    Args:
        removal: What left the data set, if anything.
        good: The records that have scores.
        rows: The table's rows.
        column: By which they are sorted.
    """
    removed = [as_sentence(removal)] if removal else []
    record = good[0] if good else None
    if record is None or record.counts is None:
        return removed
    smoke = [_SMOKE_RUN.format(record.limit)] if record.limit else []
    counts, task = record.counts, task_of(record.cell.task)
    query, item = (task.query, task.item) if task else ("query", "item")
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts.left_out.items() if count) or "none"
    widths = [
        score.high - score.low
        for row in rows
        if (score := row.scores.get(column)) and score.high is not None and score.low is not None
    ]
    found = [
        *smoke,
        f"{counts.playlists} {query}s counted (left out: {left_out}), {counts.heldout_mean:.1f} held-out {item}s each; "
        f"{counts.tracks} {item}s, of which {counts.candidates_min} or more are candidates for each {query}.",
        *removed,
    ]
    if widths:
        found.append(
            f"The 95 % intervals (bootstrap over {query}s) of {column} are up to {max(widths):.3f} wide: "
            "a difference of that order may be chance."
        )
    if any(row.group for row in rows):
        ranges = "; c-h stands for c, d, e, f, g and h" if any("-" in row.group for row in rows) else ""
        found.append(
            f"Group: rows that share a letter cannot be told apart by {column} (paired randomisation tests of all "
            f"pairs, Holm-corrected to 5 % for the whole table{ranges})."
        )
    tied = max(max(each.counts.tie_share.values()) for each in good if each.counts)
    if tied > 0:
        found.append(f"Up to {tied:.1%} of the lists are cut between equal scores; a fixed random order settles them.")
    found.extend(record.dataset.notes)
    prints = sorted({each.dataset.fingerprint[:12] for each in good})
    several = " (the same ids, split and playlists; other audio or text)" if len(prints) > 1 else ""
    found.append(
        f"Protocol {record.protocol}, split rule {split_rule(record.dataset.split)}, data set fingerprint "
        f"{' and '.join(prints)}{several}."
    )
    return found


def split_rule(split: Mapping[str, Any]) -> str:
    """Return the rule by which a record's data set was split, with its boundaries, and whether it separates artists.

    Earlier versions had another name for one of the rules.
    """
    rule = str(split.get("rule", "unknown"))
    if split.get("column"):
        rule += f" ({split['column']}:{','.join(split.get('boundaries') or ())})"
    if split.get("cold_fraction"):
        rule += f" (fraction {split['cold_fraction']:g})"
    rule = "playlists" if rule == "cold-start" else rule
    return f"{rule}, artist-disjoint" if split.get("artist_disjoint") else rule


def footnotes(
    records: Sequence[CellRecord], rows: Sequence[Row], columns: Sequence[str], sort: str, omissions: Omissions
) -> list[str]:
    """Return what must be known of single rows.

    Args:
        records: The records that the rows are made of.
        rows: The table's rows.
        columns: The table's columns.
        sort: The metric that it is sorted by.
        omissions: What is left out.
    """
    found = []
    if any(score and score.few_hits for row in rows for score in map(row.scores.get, columns)):
        found.append(f"† rests on fewer than {FEW_HITS} hits: the interval is not to be trusted.")
    found.extend(_too_few_candidates(records, columns))
    found.extend(_lacking(records, columns))
    found.extend(similarity_notes(records, columns))
    if names := sorted({row.encoder for row in rows if _random_weights(row)}):
        found.append(f"weights: random, never trained: {', '.join(names)}.")
    found.extend(_draws(records, sort))
    found.extend(_trainings(records))
    found.extend(_trained_elsewhere(records))
    found.extend(_unverified(records))
    found.extend(sorted({f"{each.cell.encoder}: {text}." for each in records for text in each.warnings}))
    for row in rows:
        if row.failure is not None:
            reason = next(iter(row.failure.splitlines()), "no reason is recorded")
            found.append(f"{row.encoder} with {row.recommender} failed: {reason}")
    if unchecked := sum(not is_checked(record) for record in records):
        found.append(
            f"{unchecked} results are unchecked: an earlier version of larpbench wrote them, without the digest of "
            "their lists."
        )
    return found + _left_out(omissions, nothing_else=not rows)


def _left_out(omissions: Omissions, nothing_else: bool) -> list[str]:
    """Say what is left out, and how it is seen."""
    found = []
    if omissions.failed:
        names = named([f"{row.encoder} with {row.recommender}" for row in omissions.failed])
        text = "All results failed, so that no row is left: " if nothing_else else "Left out, since they failed: "
        found.append(f"{text}{names}; {_SEEN_BY}, with the reason.")
    if omissions.cells:
        found.append(f"{omissions.cells} older results of the same cells are left out; {_SEEN_BY}.")
    gone = f", all those of {', '.join(omissions.absent)} among them" if omissions.absent else ""
    if omissions.tuned_before:
        found.append(
            f"{omissions.tuned_before} older results are left out{'' if omissions.superseded else gone}: an earlier "
            f"version of tuning chose their parameters (protocol rule 11); {_SEEN_BY}, and a run computes them anew."
        )
    if omissions.superseded:
        found.append(
            f"{omissions.superseded} older results are left out{gone}: they were tested on other ids, splits or "
            f"playlists of the same name; {_SEEN_BY}."
        )
    return found


def _random_weights(row: Row) -> bool:
    """Whether the weights, or those of a part of a combination, were never trained."""
    return any(part.startswith("random") or ": random" in part for part in row.weights.split("; "))


def _too_few_candidates(records: Sequence[CellRecord], columns: Sequence[str]) -> list[str]:
    """Say why metrics are n/a for which there are too few candidates, and what helps if that is all of them."""
    applicable = [metric.applicable for each in records for metric in each.measured if metric.name in columns]
    if all(applicable):
        return []
    limit = next((each.limit for each in records if each.limit), None)
    why = "n/a: K reaches the number of candidates, so every ranking would score the same."
    remedy = f"raise --limit (now {limit}), or leave it out" if limit else "the test split has too few tracks"
    if not any(applicable):
        return [f"{why} This holds for all metrics of the table: {remedy}."]
    return [f"{why} For more candidates: {remedy}." if limit else why]


def _lacking(records: Sequence[CellRecord], columns: Sequence[str]) -> list[str]:
    """Name the results that were written without a metric that the table shows."""
    names = {record.cell.encoder: {metric.name for metric in record.measured} for record in records if record.metrics}
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for encoder in sorted(names):
        if lacking := tuple(column for column in columns if column not in names[encoder]):
            found[lacking].append(encoder)
    return [
        f"n/a: results of {', '.join(encoders)} hold no {', '.join(lacking)}: {why_lacking(lacking)}."
        for lacking, encoders in found.items()
    ]


def _draws(records: Sequence[CellRecord], column: str) -> list[str]:
    """Say how much of each row is the draw of the playlists' halves, and how much the training seed."""
    grouped: dict[tuple[str, str, int], list[tuple[float, ...]]] = defaultdict(list)
    for record in records:
        if record.draws and column in record.draws.values:
            name = record.cell.encoder, record.cell.recommender, record.draws.n
            grouped[name].append(record.draws.values[column])
    found = []
    for (encoder, recommender, n), values in sorted(grouped.items()):
        table = np.array(values)  # (seeds, draws)
        by_draw = np.sqrt(table.var(axis=1, ddof=1).mean())
        text = f"{encoder} with {recommender}: {column} over {n} draws of the hidden halves: "
        text += f"mean {table.mean():.4f}, standard deviation {by_draw:.4f}"
        if len(table) > 1:
            by_seed = np.sqrt(table.var(axis=0, ddof=1).mean())
            text += f"; over {len(table)} training seeds on the same halves: {by_seed:.4f}"
        found.append(f"{text}.")
    return found


def _trainings(records: Sequence[CellRecord]) -> list[str]:
    """Say of every trained encoder what it is and what its training was selected by."""
    updates: dict[tuple[str, str, str], set[str]] = {}
    for record in records:
        training = record.training
        if training and (selected_by := training.facts.get("selected_by")):
            name = f"{record.cell.encoder}: {record.encoder.card['weights']}"
            what = name, training.trained_on, str(selected_by)
            updates.setdefault(what, set()).add(str(training.facts.get("updates_in_all", "not told")))
    return [
        f"{what}, on {source}; updates over all stages: {', '.join(sorted(counts, key=_number))}; the epoch was "
        f"selected by {selected_by}."
        for (what, source, selected_by), counts in sorted(updates.items())
    ]


def _number(text: str) -> tuple[int, str]:
    return (int(text) if text.isdecimal() else 0, text)


def _trained_elsewhere(records: Sequence[CellRecord]) -> list[str]:
    """Name the encoders that may have seen tested tracks where nobody can look (protocol rule 13)."""
    cards = {
        each.cell.encoder: each.encoder.card for each in records if not (each.training or each.encoder.learnt_from)
    }
    elsewhere = {name: card for name, card in cards.items() if card["training_data"] != "none"}
    dataset = records[0].cell.dataset if records else ""
    declared = {
        name
        for name, card in elsewhere.items()
        if any(dataset == each or dataset.startswith(f"{each}-") for each in card.get("overlaps", ()))
    }
    found = [
        f"{name}: its training data ({elsewhere[name]['training_data']}) may hold tracks of this data set (not "
        "verifiable)."
        for name in sorted(declared)
    ]
    others = sorted(f"{name} ({card['training_data']})" for name, card in elsewhere.items() if name not in declared)
    if others:
        found.append(
            "Weights that were trained elsewhere, on data that may hold tested tracks (only trainings by larpbench are "
            f"searched for them): {', '.join(others)}."
        )
    return found


def _unverified(records: Sequence[CellRecord]) -> list[str]:
    """Name the adapters that nobody has compared with their original."""
    cards = {record.cell.encoder: record.encoder.card for record in records}
    names = sorted(
        name
        for name, card in cards.items()
        if card.get("original") and not (card.get("verification") or card.get("proof"))
    )
    if not names:
        return []
    return [
        "unverified adapters, never compared with the original code on the same weights and input (larpbench check "
        f"NAME --golden): {', '.join(names)}."
    ]
