"""Published numbers on cold tracks, as data, and where they lie beside chance.

``tamm-2026.csv``: the cold results of arXiv 2604.23077, as an output of its authors' notebook shows them, each with the
place where it was read. ``tamm-2026-split.csv``, ``tamm-2026-chance.csv`` and ``tamm-2026-encoders.csv``: the sizes of
its split, chance on it, and its encoders. All places are in the repository Darel13712/adopting-pretrained-audio at
`COMMIT`. The numbers are labelled "@20"; `calc_metrics` in ``src/utils.py`` computes them at 50 whatever the label is.

``acarec-2026.csv``: what is known of the results of arXiv 2604.07090, which is in its abstract.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from larpbench.results.published import read_lines

REPOSITORY = "Darel13712/adopting-pretrained-audio"
COMMIT = "ac7dc5e4f2650a2a02ba219c410ad45e177a4e5f"
KNN = "KNN"
BIMODAL = "Bimodal"
METRICS = ("hit_rate", "recall", "ndcg")
LABEL, CUTOFF = 20, 50
"""The K that names the published columns, and the one at which the code computes them."""


@dataclass(frozen=True)
class PublishedColdScores:
    """A row of the cold results of arXiv 2604.23077.

    Attributes:
        method: Such as ``KNN`` or ``Bimodal``.
        encoder: As published.
        shuffled: Whether it is a control: the vectors are handed to the wrong tracks.
        values: Name of a metric of `METRICS` -> mean over runs.
        half_widths: The same -> half of the published interval over runs; None where there is none.
        source: Where it was read.
    """

    method: str
    encoder: str
    shuffled: bool
    values: dict[str, float]
    half_widths: dict[str, float | None]
    source: str

    @property
    def marks(self) -> tuple[str, ...]:
        """What the row is, in words: its k, the listeners of KNN, and where its hit rate lies beside chance.

        The ranges are those of `PublishedChance`.
        """
        listeners = ("listeners are means of wrong tracks",) if self.method == KNN else ()
        return (f"k = {CUTOFF} whatever the label", *listeners, f"hit rate {self._place()}")

    def _place(self) -> str:
        hit, chances = self.values["hit_rate"], published_chance()
        label, cutoff = (chances[f"hit_rate@{k}"] for k in (LABEL, CUTOFF))
        parts = [f"{label.place(hit)} the range at {LABEL}", f"{cutoff.place(hit)} that at {CUTOFF}"]
        return ", ".join(parts) + (f", at or below chance@{CUTOFF}" if hit <= cutoff.value else "")


@dataclass(frozen=True)
class PublishedChance:
    """Chance on the public split of arXiv 2604.23077.

    Attributes:
        metric: Such as ``hit_rate@20``.
        value: Expectation, in closed form.
        low: Lower end of the range that holds 95 % of permutations, where one list serves all listeners; None if
            unknown.
        high: Upper end.
        source: Where the numbers come from.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    source: str

    def place(self, value: float) -> str:
        """Return whether a value lies ``below``, ``within`` or ``above`` the range of permutations.

        Raises:
            ValueError: If the range is unknown.
        """
        if self.low is None or self.high is None:
            raise ValueError(f"the range of permutations of {self.metric} is unknown")
        return "below" if value < self.low else "above" if value > self.high else "within"


@dataclass(frozen=True)
class PublishedSplit:
    """The size of a part of the split of arXiv 2604.23077.

    Attributes:
        name: ``Train``, ``Val``, ``HotTest`` or ``ColdTest``.
        pairs: Pairs of a listener and a track.
        listeners: Listeners.
        tracks: Tracks.
        per_listener: Median, smallest and largest number of tracks of a listener.
        source: Where it was read.
    """

    name: str
    pairs: int
    listeners: int
    tracks: int
    per_listener: tuple[int, int, int]
    source: str


@dataclass(frozen=True)
class PublishedEncoder:
    """An encoder of arXiv 2604.23077.

    Attributes:
        name: As published.
        provided: Names under which a data set may bring its vectors, the usual one first.
        dim: Length of the published vectors; None if it was not found.
        source: Where the length was read.
    """

    name: str
    provided: tuple[str, ...]
    dim: int | None
    source: str


@dataclass(frozen=True)
class PublishedFinding:
    """A finding of arXiv 2604.07090: by which factor one kind of methods is better than another.

    Attributes:
        what: Which kinds.
        metric: Such as ``recall``.
        more_than: The factor is above this.
        source: Where it was read.
    """

    what: str
    metric: str
    more_than: float
    source: str


@cache
def published_cold_scores() -> tuple[PublishedColdScores, ...]:
    """Return the cold results of arXiv 2604.23077, in the order of the output."""
    return tuple(
        PublishedColdScores(
            row["method"],
            row["encoder"],
            row["vectors"] == "shuffled",
            {name: float(row[name]) for name in METRICS},
            {name: float(row[f"{name}_pm"]) if row[f"{name}_pm"] else None for name in METRICS},
            row["source"],
        )
        for row in read_lines("tamm-2026")
    )


@cache
def published_chance() -> dict[str, PublishedChance]:
    """Return metric -> chance on the public split of arXiv 2604.23077."""
    return {
        row["metric"]: PublishedChance(
            row["metric"],
            float(row["chance"]),
            float(row["low"]) if row["low"] else None,
            float(row["high"]) if row["high"] else None,
            row["source"],
        )
        for row in read_lines("tamm-2026-chance")
    }


@cache
def published_split() -> dict[str, PublishedSplit]:
    """Return name -> size of the parts of the split of arXiv 2604.23077."""
    numbers = ("pairs", "listeners", "tracks", "tracks_median", "tracks_min", "tracks_max")
    found = {}
    for row in read_lines("tamm-2026-split"):
        pairs, listeners, tracks, *per_listener = (int(row[name]) for name in numbers)
        median, least, most = per_listener
        found[row["split"]] = PublishedSplit(
            row["split"], pairs, listeners, tracks, (median, least, most), row["source"]
        )
    return found


@cache
def published_encoders() -> tuple[PublishedEncoder, ...]:
    """Return the encoders of arXiv 2604.23077, best published row of Bimodal first."""
    return tuple(
        PublishedEncoder(
            row["encoder"], tuple(row["provided"].split()), int(row["dim"]) if row["dim"] else None, row["source"]
        )
        for row in read_lines("tamm-2026-encoders")
    )


@cache
def published_findings() -> tuple[PublishedFinding, ...]:
    """Return what is known of the results of arXiv 2604.07090."""
    return tuple(
        PublishedFinding(row["finding"], row["metric"], float(row["more_than"]), row["source"])
        for row in read_lines("acarec-2026")
    )
