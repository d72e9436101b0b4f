"""The papers' own numbers, as data, and what arithmetic says of them (protocol rule 10).

``table1.csv`` to ``table4.csv``: Salganik et al. 2024, LARP, as printed. ``artist-similarity.csv``: figure 1 of the
artist-similarity paper, to the four decimals of its authors' logs. On cold tracks: `cold_tracks`.
"""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources

from larpbench.evaluation.arithmetic import largest_mean_ndcg
from larpbench.evaluation.metrics import CUTOFFS

MOST_HELDOUT = 51
"""Half of the longest playlists that the paper tested: 101 tracks in MPD, 99 in LFM."""
_ROUNDING = 5e-5


@dataclass(frozen=True)
class PublishedScores:
    """A row of table 2, 3 or 4.

    Attributes:
        table: Such as ``table2``.
        recommender: As printed.
        encoder: As printed.
        dataset: What was tested, as printed: MPD or LFM.
        trained_on: What it was trained on, where the table says so.
        values: Metric column -> printed value.
        faults: What contradicts arithmetic, if anything.
    """

    table: str
    recommender: str
    encoder: str
    dataset: str
    trained_on: str | None
    values: dict[str, float]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class PublishedStatistics:
    """A row of table 1.

    Attributes:
        dataset: As printed: MPD or LFM.
        values: Column -> printed value.
        faults: What contradicts arithmetic, if anything.
    """

    dataset: str
    values: dict[str, float]
    faults: tuple[str, ...]


@cache
def published_scores(table: str) -> tuple[PublishedScores, ...]:
    """Return the rows of ``table2``, ``table3`` or ``table4``, in the order of print."""
    found: dict[tuple[str, str, str, str | None], dict[str, float]] = defaultdict(dict)
    for row in read_lines(table):
        name = row["recommender"], row["encoder"], row.get("tested_on") or row["dataset"], row.get("trained_on")
        found[name][row["metric"]] = float(row["value"])
    return tuple(PublishedScores(table, *name, values, tuple(faults(values))) for name, values in found.items())


@dataclass(frozen=True)
class PublishedBar:
    """A bar of figure 1 of the artist-similarity paper: NDCG@200 by its code's own formula.

    Attributes:
        features: Such as ``clap+moods-themes``, parts sorted.
        layers: Number of graph layers.
        mean: Of three runs.
        deviation: Standard deviation of the three (n).
    """

    features: str
    layers: int
    mean: float
    deviation: float


@cache
def published_bars() -> tuple[PublishedBar, ...]:
    """Return the bars of figure 1 of the artist-similarity paper."""
    return tuple(
        PublishedBar(row["features"], int(row["graph_layers"]), float(row["mean"]), float(row["std"]))
        for row in read_lines("artist-similarity")
    )


@cache
def published_statistics() -> tuple[PublishedStatistics, ...]:
    """Return the rows of table 1."""
    rows = []
    for row in read_lines("table1"):
        values = {name: float(value) for name, value in row.items() if name != "dataset"}
        entries = values["eval_playlists"] * values["avg_tracks_per_playlist"]
        expected = entries / values["eval_tracks"]
        wrong = abs(expected - values["avg_playlists_per_track"]) > 0.01
        fault = (
            f"{values['eval_playlists']:.0f} playlists of {values['avg_tracks_per_playlist']} tracks over "
            f"{values['eval_tracks']:.0f} tracks make {expected:.2f} playlists a track, not "
            f"{values['avg_playlists_per_track']}"
        )
        rows.append(PublishedStatistics(row["dataset"], values, (fault,) if wrong else ()))
    return tuple(rows)


def faults(values: dict[str, float], most_heldout: int = MOST_HELDOUT) -> list[str]:
    """Say which printed means contradict arithmetic.

    Args:
        values: Metric column -> mean over playlists.
        most_heldout: Held-out tracks of the longest playlist.
    """
    found = [f"{name} is {value}" for name, value in values.items() if not 0 <= value <= 1]
    for small, large in itertools.pairwise(CUTOFFS):
        if values[f"recall@{small}"] > values[f"recall@{large}"]:
            found.append(f"recall@{large} is below recall@{small}")
    for k in CUTOFFS:
        recall, ndcg = values[f"recall@{k}"], values[f"ndcg@{k}"]
        bound = largest_mean_ndcg(recall + _ROUNDING, k, most_heldout)
        if ndcg - _ROUNDING > bound:
            found.append(f"a recall@{k} of {recall} allows an ndcg@{k} of at most {bound:.3f}, not {ndcg}")
    return found


def read_lines(name: str) -> list[dict[str, str]]:
    """Return the rows of ``NAME.csv`` of this folder."""
    text = resources.files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
