"""Rows of a table that cannot be used: counted and named, and fatal only where there are many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from larpbench import progress
from larpbench.errors import DataError, clipped, printable

_NAMED = 5
_SHOWN = 60


class BadRow(NamedTuple):
    """One of them.

    Attributes:
        place: Its line in the file, or its row in a Parquet file; both count from 1.
        column: The column at fault; None where the row as a whole is.
        fault: What is wrong.
        content: What stands there.
    """

    place: int
    column: str | None
    fault: str
    content: str


@dataclass
class BadRows:
    """All bad rows of one table, which may be several files.

    Attributes:
        what: The table, in words.
        rows: How many rows there are, bad ones too.
        count: How many are bad.
        named: The first of them, in words.
    """

    what: str
    rows: int = 0
    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, file: str, unit: str, rows: list[BadRow], count: int | None = None) -> None:
        """Add bad rows of one file.

        Args:
            file: Its name.
            unit: What `BadRow.place` counts: ``line`` or ``row``.
            rows: The rows; the first few are enough where `count` says how many there are.
            count: How many there are.
        """
        self.count += len(rows) if count is None else count
        for row in sorted(rows, key=lambda row: row.place)[: _NAMED - len(self.named)]:
            column = f", column {row.column}" if row.column else ""
            content = f": {clipped(row.content, _SHOWN)!r}" if row.content else ""
            self.named.append(printable(f"{file}, {unit} {row.place}{column}: {row.fault}{content}"))

    def require_few(self, share: float) -> None:
        """Say which rows are left out.

        Args:
            share: The largest share of bad rows that is allowed.

        Raises:
            DataError: If there are more, naming the first.
        """
        if not self.count:
            return
        listed = "; ".join(self.named) + (f"; and {self.count - len(self.named)} more" if self.count > _NAMED else "")
        if self.count > share * self.rows + 1e-9:
            raise DataError(
                f"{self.count} of {self.rows} rows of {self.what} cannot be used: {listed}",
                allowed=f"at most {share:.4g} of the rows" if share else "no such row",
                next_step="correct these rows" + (", or allow more with --max-bad-rows" if share else ""),
            )
        progress.say(f"{self.count} of {self.rows} rows of {self.what} are left out: {listed}")
