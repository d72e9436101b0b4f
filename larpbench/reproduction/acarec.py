"""The finding of arXiv 2604.07090 (ACARec, 2026): what artists tell of cold tracks, beside content alone."""

from __future__ import annotations

import numpy as np

from larpbench.evaluation.statistics import LEVEL, resampled_means
from larpbench.reproduction.cells import Cells, bound_rows, line, our_cells, our_lines
from larpbench.reproduction.cold_tracks import ARTIST_MEAN, ARTISTS, NONE, measured
from larpbench.reproduction.request import Request
from larpbench.results.published.cold_tracks import PublishedFinding, published_findings
from larpbench.results.rows import Row
from larpbench.results.sheet import NOT_APPLICABLE, Column, Sheet, SheetCell, column_head, text_sheet
from larpbench.results.view import View
from larpbench.tasks.cold_tracks.task import CONTROLS

_COLUMNS = ("recall@20", "ndcg@20", "hit_rate@20")
_COMPARED = _COLUMNS[:2]
_RECOMMENDERS = ("itemknn", "ridge", "clcrec")
_RATIO = "artist-mean / this"


def acarec_2026(request: Request) -> Sheet:
    """Return content alone beside artists alone, with the factor between artist-mean and each row.

    Raises:
        UnknownNameError: If there is no encoder or recommender of a requested name.
        MissingPartError: If nothing can be run.
    """
    results = measured(request, (), _RECOMMENDERS, View(metrics=_COLUMNS), permutations=False)
    artist_mean = results.found.row(NONE, ARTIST_MEAN)
    rows: list[Cells] = []
    lines: list[dict[str, object]] = []
    for encoder, recommender in [(name, each) for name in results.shown for each in results.paired(name)]:
        row = results.found.row(encoder, recommender)
        *cells, group = our_cells(request, encoder, recommender, row, _COLUMNS)
        ratios = [_ratio(artist_mean, row, name) for name in _COMPARED]
        rows.append((*cells, *ratios, "artist" if encoder in ARTISTS else "content", group))
        reason = results.reason(encoder, recommender)
        lines += our_lines(results.found, request, encoder, recommender, row, reason, _COLUMNS)
        lines += [
            _ratio_line(request, encoder if row is None else row.encoder, recommender, name, ratio)
            for name, ratio in zip(_COMPARED, ratios, strict=True)
            if ratio.value is not None
        ]
    rows += [(*cells[:-1], "", "", "", "") for cells in bound_rows(results.found, _COLUMNS)]
    findings = published_findings()
    rows.append(_published_row(findings))
    lines += [_published_line(each) for each in findings]
    heads: tuple[Column | str, ...] = (
        *("Recommender", "Encoder", "Numbers of"),
        *(Column(column_head(name), minor=name not in _COMPARED) for name in _COLUMNS),
        *(f"Artist-mean / this, {column_head(name)}" for name in _COMPARED),
        *("Reads", "Group"),
    )
    table = results.found.table
    notes = (*_notes(artist_mean is not None), *table.facts, *table.footnotes, *results.not_run)
    title = f"Artists and content for cold tracks (arXiv 2604.07090): {request.dataset.name}"
    return text_sheet(title, heads, rows, tuple(dict.fromkeys(notes)), lines)


def _ratio(artist_mean: Row | None, row: Row | None, metric: str) -> SheetCell:
    """Return the mean of artist-mean over that of a row, with the bootstrap interval over paired listeners."""
    if artist_mean is None or row is None or row is artist_mean or row.failure or artist_mean.failure:
        return SheetCell()
    if row.recommender in CONTROLS or not all(each.scores.get(metric) for each in (artist_mean, row)):
        return SheetCell("" if row.recommender in CONTROLS else NOT_APPLICABLE)
    paired = np.stack([each.values([metric])[:, :, 0].mean(axis=0) for each in (artist_mean, row)], axis=-1)
    above, below = paired.mean(axis=0)
    resampled = resampled_means(paired[None])
    if below <= 0 or (resampled[:, 1] <= 0).any():
        return SheetCell(NOT_APPLICABLE)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled[:, 0] / resampled[:, 1], [tail, 1 - tail])
    return SheetCell(
        f"{above / below:.2f}", f"[{low:.2f}, {high:.2f}]", value=above / below, low=float(low), high=float(high)
    )


def _ratio_line(request: Request, encoder: str, recommender: str, metric: str, ratio: SheetCell) -> dict[str, object]:
    name = f"{metric}, {_RATIO}"
    source = "larpbench", request.dataset.name, recommender, encoder
    return line(*source, name, value=ratio.value, ci_low=ratio.low, ci_high=ratio.high)


def _published_row(findings: tuple[PublishedFinding, ...]) -> Cells:
    factors = {each.metric: f"more than {each.more_than:g}" for each in findings}
    of_metrics = (factors.get(name.partition("@")[0], "") for name in _COMPARED)
    return ("", findings[0].what, findings[0].source, *("" for _ in _COLUMNS), *of_metrics, "", "")


def _published_line(each: PublishedFinding) -> dict[str, object]:
    note = f"more than {each.more_than:g} ({each.source})"
    return line("the paper", "not stated", "", each.what, f"{each.metric}, factor", note=note)


def _notes(knows_artist_mean: bool) -> list[str]:
    found = [
        "Published is a finding of the abstract of arXiv 2604.07090: artist-aware methods can more than double recall "
        "and NDCG of content-only baselines. Its tables could not be read, so no number of them is here. Its code "
        "(repository gmeehan96/ACARec) takes Music4All-Onion and Yambda, MuQ vectors as content, and lists of 20.",
    ]
    if knows_artist_mean:
        found.append(
            "Artist-mean / this: the mean of artist-mean over that of the row, with the bootstrap interval over paired "
            "listeners. Above 1, the artist alone is better than the row."
        )
    return found
