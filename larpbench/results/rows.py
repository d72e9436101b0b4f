"""What a table is made of: scores, rows, and the table itself."""

from __future__ import annotations

from dataclasses import dataclass

from larpbench.results.record import CellRecord, RemovalPart
from larpbench.results.removal import in_short
from larpbench.tasks.continuation.task import CONTINUATION

FEW_HITS = 20
SHOWN = CONTINUATION.columns


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
        group: Letters: rows that share one cannot be told apart by the first column. Empty if there is nothing to tell.
    """

    encoder: str
    recommender: str
    seeds: int
    weights: str
    control: bool
    scores: dict[str, Score | None]
    failure: str | None = None
    group: str = ""


@dataclass(frozen=True)
class Table:
    """Results of one task on one data set: all rows on the same candidates.

    Attributes:
        task: Name.
        dataset: Name.
        removal: What left the data set because encoders were trained on it elsewhere; None if nothing did.
        columns: Metric names that are shown.
        rows: Best first by the first column, controls and failures last.
        chance: Column -> chance; None prints n/a.
        ceiling: Column -> ceiling; None prints n/a.
        facts: Sentences that say how much the table can carry.
        footnotes: Sentences on single rows.
        records: The records that it is made of.
        variant: What of the protocol is not as usual; empty if nothing.
    """

    task: str
    dataset: str
    removal: RemovalPart | None
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: dict[str, float | None]
    ceiling: dict[str, float | None]
    facts: tuple[str, ...]
    footnotes: tuple[str, ...]
    records: tuple[CellRecord, ...]
    variant: str = ""

    @property
    def tested(self) -> str:
        """What was tested, in words that differ where the candidates or the protocol do."""
        name = f"{self.dataset} less {in_short(self.removal)}" if self.removal else self.dataset
        return f"{name} ({self.variant})" if self.variant else name
