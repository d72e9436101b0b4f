"""Which part of a log a data set is made of: listeners drawn by hash, and the core of what they have played."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from larpbench.datasets.pairs import Pairs, core, drawn
from larpbench.datasets.sources.collection import CollectionOptions
from larpbench.errors import DataError


@dataclass(frozen=True)
class Reduction:
    """Which listeners and tracks stay.

    Attributes:
        core: Of the part that is learnt from, listeners and tracks with fewer pairs are dropped, again and again; None:
            all stay. Tracks of valid and test are not judged by what is held out: they stay.
        listeners: Number of listeners that are drawn; None: all.
    """

    core: int | None = None
    listeners: int | None = None

    @property
    def key(self) -> list[int | None]:
        """What tells it apart."""
        return [self.core, self.listeners]

    @property
    def words(self) -> str:
        """What is done, for the description of the source."""
        parts = [f"{self.listeners} listeners drawn by hash"] if self.listeners else []
        parts += [f"{self.core}-core"] if self.core else []
        return "".join(f", {part}" for part in parts)

    def applied(
        self,
        pairs: Pairs,
        options: CollectionOptions,
        left_out: dict[str, int],
        boundaries: tuple[int, int] | None = None,
    ) -> pl.DataFrame:
        """Return the pairs that stay, each once.

        Args:
            pairs: All of them.
            options: Whose seed draws.
            left_out: Reason -> count, to which is added what is dropped here.
            boundaries: Seconds at which valid and test begin, where tracks are split by time; None: they are not, and
                the core is that of all pairs.

        Raises:
            DataError: If nothing is left.
        """
        table = pairs.in_first_period()
        if self.listeners is not None:
            chosen = drawn(pairs.listeners, self.listeners, options.seed, "listener")
            rows = pairs.listeners.is_in(chosen.implode()).arg_true().cast(pl.UInt32)
            kept = table.filter(pl.col("listener").is_in(rows.implode()))
            left_out["entries of listeners that are not drawn"] = table.height - kept.height
            table = kept
        if self.core is not None:
            kept = _train_core(table, self.core, boundaries)
            left_out[f"entries that the {self.core}-core loses"] = table.height - kept.height
            table = kept
        if table.is_empty():
            raise DataError("no pair of a listener and a track is left", next_step="a lower --core, or more listeners")
        return table


def _train_core(table: pl.DataFrame, least: int, boundaries: tuple[int, int] | None) -> pl.DataFrame:
    if boundaries is None:
        return core(table, least)
    debut = pl.col("first_time").min().over("track")
    is_cold = table.select(debut >= boundaries[0]).to_series()
    warm = core(table.filter(~is_cold & (table["first_time"] < boundaries[1])), least)
    return pl.concat([warm, table.filter(is_cold & table["listener"].is_in(warm["listener"].unique().implode()))])
