"""The cold results of arXiv 2604.23077 (Tamm & Aljanaki 2026): ours, chance, and what its numbers "@20" are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from larpbench.datasets.provided import vector_sets
from larpbench.datasets.schema import Dataset
from larpbench.encoders.names import split_label
from larpbench.reproduction.cells import Cells, bound_rows, line, our_cells, our_lines
from larpbench.reproduction.cold_tracks import ARTISTS, ColdResults, measured
from larpbench.reproduction.request import Request
from larpbench.results.published.cold_tracks import (
    COMMIT,
    CUTOFF,
    KNN,
    LABEL,
    METRICS,
    REPOSITORY,
    PublishedColdScores,
    PublishedEncoder,
    published_chance,
    published_cold_scores,
    published_encoders,
    published_split,
)
from larpbench.results.rows import Row
from larpbench.results.sheet import Column, Sheet, SheetCell, bound_text, column_head, text_sheet
from larpbench.results.view import View

_COLUMNS = tuple(f"{name}@{k}" for k in (LABEL, CUTOFF) for name in METRICS)
_VIEW = View(metrics=_COLUMNS, sort=f"recall@{LABEL}")
_RECOMMENDERS = ("itemknn", "ridge")
_SAYS = "the released code"
_PUBLIC = "the public split"
_WORDS = {"hit_rate": "hit rate", "recall": "recall", "ndcg": "NDCG"}
_CLOSEST = {
    "itemknn": "closest to KNN: a listener is the mean of the tracks of the profile",
    "ridge": "closest to Bimodal: content mapped to collaborative factors",
    "dropoutnet-content": "closest to Bimodal: content mapped to collaborative factors",
}


def tamm_2026(request: Request) -> Sheet:
    """Return ours and the published rows, encoder by encoder, with chance at 20 and 50.

    Raises:
        UnknownNameError: If there is no encoder or recommender of a requested name.
        MissingPartError: If nothing can be run.
    """
    names = {_name_in(request.dataset, each): each for each in published_encoders()}
    results = measured(request, tuple(names), _RECOMMENDERS, _VIEW, permutations=True)
    rows: list[Cells] = []
    lines: list[dict[str, object]] = []
    left = list(published_cold_scores())
    for encoder in results.shown:
        rows.extend(_our_rows(request, results, encoder))
        lines.extend(_our_lines(request, results, encoder))
        beside = names.get(encoder) or _labelled(encoder)
        printed = [each for each in left if beside and each.encoder == beside.name]
        left = [each for each in left if each not in printed]
        rows.extend(map(_published_row, printed))
        lines.extend(each for one in printed for each in _published_lines(one))
    bounds = bound_rows(results.found, _COLUMNS)
    rows += [(*cells[:-1], "", "", "", "closed form, of the tested data", "") for cells in bounds]
    rows.append(_public_chance())
    lines.extend(_public_lines())
    heads: tuple[Column | str, ...] = (
        *("Recommender", "Encoder", "Numbers of"),
        *(Column(column_head(name), minor=not name.startswith("hit_rate")) for name in _COLUMNS),
        *(Column(f'Labelled "{column_head(f"{name}@{LABEL}")}"', minor=name != "hit_rate") for name in METRICS),
        *("What it is", "Group"),
    )
    table = results.found.table
    notes = (*_notes(request, names), *table.facts, *table.footnotes, *results.not_run)
    title = f"Cold tracks for known listeners (arXiv 2604.23077): {request.dataset.name}"
    return text_sheet(title, heads, rows, tuple(dict.fromkeys(notes)), lines)


def _name_in(dataset: Dataset, encoder: PublishedEncoder) -> str:
    """Return our name of a published encoder: under which the data set brings its vectors, or would."""
    sets = vector_sets(dataset.folder)
    return "provided:" + next((name for name in encoder.provided if name in sets), encoder.provided[0])


def _labelled(encoder: str) -> PublishedEncoder | None:
    """Return the published encoder that the label of a user's own encoder names."""
    label = split_label(encoder)[0]
    return next((each for each in published_encoders() if label in (each.name, *each.provided)), None)


def _our_rows(request: Request, results: ColdResults, encoder: str) -> Iterator[Cells]:
    recommenders = results.paired(encoder)
    if encoder in results.found.absent:
        recommenders = (", ".join(recommenders),)
    for recommender in recommenders:
        *cells, group = our_cells(request, encoder, recommender, results.found.row(encoder, recommender), _COLUMNS)
        what = "control: reads nothing but artists" if encoder in ARTISTS else _CLOSEST.get(recommender, "")
        yield (*cells, "", "", "", what, group)
    row = results.permuted_row(encoder)
    if row is not None:
        *cells, _ = our_cells(request, row.encoder, row.recommender, row, _COLUMNS)
        yield (*cells, "", "", "", "" if row.failure else _of_permutations(row, results), "")


def _our_lines(request: Request, results: ColdResults, encoder: str) -> Iterator[dict[str, object]]:
    for recommender in results.paired(encoder):
        row, reason = results.found.row(encoder, recommender), results.reason(encoder, recommender)
        yield from our_lines(results.found, request, encoder, recommender, row, reason, _COLUMNS)
    row = results.permuted_row(encoder)
    if row is not None:
        yield from our_lines(results.found, request, row.encoder, row.recommender, row, row.failure, _COLUMNS)


def _of_permutations(row: Row, results: ColdResults) -> str:
    """Return the range of single permutations, and whether the interval over them contains chance."""
    parts = [f"{row.random_seeds} permutations, mean and interval over them"]
    for k in (LABEL, CUTOFF):
        name = f"hit_rate@{k}"
        score, chance = row.scores.get(name), results.found.table.chance.get(name)
        if score is None or score.low is None or score.high is None or chance is None:
            continue
        means = row.values([name])[:, :, 0].mean(axis=1)
        inside = "within" if score.low <= chance <= score.high else "outside"
        parts.append(
            f"hit rate@{k} of single ones {np.min(means):.3f} to {np.max(means):.3f}, chance {inside} the interval"
        )
    return "; ".join(parts)


def _published_row(each: PublishedColdScores) -> Cells:
    name = f"{each.encoder}, shuffled" if each.shuffled else each.encoder
    values = (_published_cell(each.values[metric], each.half_widths[metric]) for metric in METRICS)
    return (each.method, name, _SAYS, *("" for _ in _COLUMNS), *values, "; ".join(each.marks), "")


def _published_cell(value: float, half: float | None) -> SheetCell:
    return SheetCell(bound_text(value), "" if half is None else f"± {half:.4f}", value=value)


def _published_lines(each: PublishedColdScores) -> Iterator[dict[str, object]]:
    name = f"{each.encoder}, shuffled" if each.shuffled else each.encoder
    note = "; ".join((*each.marks, each.source))
    for metric in METRICS:
        column = f"{metric}@{LABEL} (as labelled)"
        yield line(_SAYS, _PUBLIC, each.method, name, column, value=each.values[metric], note=note)


def _public_chance() -> Cells:
    cells = []
    for name in _COLUMNS:
        each = published_chance()[name]
        known = each.low is not None and each.high is not None
        ends = f"[{each.low:.3f}, {each.high:.3f}]" if known else ""
        cells.append(SheetCell(bound_text(each.value), ends, value=each.value, low=each.low, high=each.high))
    what = "closed form; in brackets 95 % of permutations, one list for all listeners"
    return ("", "chance", _PUBLIC, *cells, "", "", "", what, "")


def _public_lines() -> Iterator[dict[str, object]]:
    for name in _COLUMNS:
        each = published_chance()[name]
        yield line(
            _PUBLIC,
            _PUBLIC,
            "",
            "chance",
            name,
            value=each.value,
            ci_low=each.low,
            ci_high=each.high,
            chance=each.value,
            note=each.source,
        )


def _notes(request: Request, names: dict[str, PublishedEncoder]) -> Iterator[str]:
    cold, chances, scores = published_split()["ColdTest"], published_chance(), published_cold_scores()
    size = f"{cold.tracks} cold tracks, {cold.listeners:,} listeners, {cold.pairs:,} pairs"
    if is_public(request.dataset):
        yield f"The tested data have the size of the public split: {size}."
    else:
        yield (
            f"Published numbers are of the public split ({size}), not of {request.dataset.name}: compare the order of "
            "rows only."
        )
    yield (
        f"Published numbers are those of an output of src/Metrics.ipynb (repository {REPOSITORY}, commit {COMMIT[:7]}; "
        "± as it shows them, over runs). Whether the printed paper corrects what follows was not seen."
    )
    yield (
        f'Labelled "@{LABEL}": k = {CUTOFF} whatever the label. calc_metrics (src/utils.py, lines 56 to 61) passes '
        f"k=50 to hitrate, recall and ndcg: these numbers are to be compared with chance@{CUTOFF}, and with ours at "
        f"{CUTOFF}."
    )
    knn = [each for each in scores if each.method == KNN]
    low = sum(each.values["hit_rate"] <= chances[f"hit_rate@{CUTOFF}"].value for each in knn)
    others = [
        f"{_WORDS[name]} {each.values[name]:.3f} of {each.encoder} ({chances[f'{name}@{CUTOFF}'].value:.3f})"
        for each in knn
        for name in METRICS
        if each.values[name] > chances[f"{name}@{CUTOFF}"].value
    ]
    yield (
        "KNN: listeners are means of wrong tracks. Vectors are averaged by item id (src/knn.py, line 23) before their "
        f"rows are put in the order of item ids (line 26). {low} of {len(knn)} hit rates are at or below chance@"
        f"{CUTOFF} ({chances[f'hit_rate@{CUTOFF}'].value:.3f}); above chance@{CUTOFF} are {' and '.join(others)}."
    )
    shuffled = [each.values["hit_rate"] for each in scores if each.shuffled]
    above = sum(chances[f"hit_rate@{LABEL}"].place(value) == "above" for value in shuffled)
    within = sum(chances[f"hit_rate@{CUTOFF}"].place(value) == "within" for value in shuffled)
    yield (
        "Range: that of hit rates of 95 % of permutations on the public split, where one list serves all listeners. Of "
        f"{len(shuffled)} published hit rates of shuffled vectors, {above} lie above the whole range at {LABEL}, and "
        f"{within} within that at {CUTOFF}; their mean is {np.mean(shuffled):.3f}, chance@{CUTOFF} "
        f"{chances[f'hit_rate@{CUTOFF}'].value:.3f}."
    )
    yield from _other_lengths(request.dataset, names)
    yield (
        "Bimodal trains a network that maps content to the vectors of a collaborative model (ELSA); ridge is a "
        "closed-form map to WMF factors. Shallow, BERT4Rec and Hybrid have no counterpart here."
    )


def _other_lengths(dataset: Dataset, names: dict[str, PublishedEncoder]) -> Iterator[str]:
    sets = vector_sets(dataset.folder)
    for name, each in names.items():
        found = sets.get(name.removeprefix("provided:"))
        dim = found.card.dim if found else None
        if dim and each.dim and dim != each.dim:
            yield f"{name} has {dim} numbers, the published {each.name} {each.dim} ({each.source}): other vectors."


def is_public(dataset: Dataset) -> bool:
    """Return whether the test split of a data set has the size of the public split."""
    test, cold = dataset.split("test"), published_split()["ColdTest"]
    listeners = test.interactions()
    sizes = len(listeners.tracks), len(listeners), len(test.track_ids)
    return sizes == (cold.pairs, cold.listeners, cold.tracks)
