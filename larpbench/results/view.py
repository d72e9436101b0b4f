"""How tables of scores are shown: which metrics, in which order, with how many digits."""

from __future__ import annotations

from dataclasses import dataclass

from larpbench.errors import UsageError

_DIGITS, _INTERVAL_DIGITS = 4, 3
MOST_DIGITS = 10


@dataclass(frozen=True)
class View:
    """What a table of scores shows.

    Attributes:
        metrics: Columns, in their order, such as ``("recall@10", "ndcg@10")``; empty: those of the task.
        sort: Metric by which rows are sorted and grouped, whether it is shown or not; empty: the first column.
        digits: Digits behind the decimal point; None: 4, and 3 in intervals. Numbers of CSV and JSON are never rounded.
        intervals: Whether intervals are printed.

    Raises:
        UsageError: If a metric is there twice, or the number of digits is not between 1 and 10.
    """

    metrics: tuple[str, ...] = ()
    sort: str = ""
    digits: int | None = None
    intervals: bool = True

    def __post_init__(self) -> None:
        """Check what needs no records."""
        if twice := sorted({name for name in self.metrics if self.metrics.count(name) > 1}):
            raise UsageError(f"the metrics hold {', '.join(twice)} twice", allowed="each metric once")
        if self.digits is not None and not 1 <= self.digits <= MOST_DIGITS:
            raise UsageError(f"digits is {self.digits}", allowed=f"1 to {MOST_DIGITS}")

    @property
    def value_digits(self) -> int:
        """Digits of values, chance and ceiling."""
        return _DIGITS if self.digits is None else self.digits

    @property
    def interval_digits(self) -> int:
        """Digits of the ends of intervals."""
        return _INTERVAL_DIGITS if self.digits is None else self.digits


USUAL = View()
