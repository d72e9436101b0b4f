"""Results in Python: the tables of a folder, and what a notebook or a paper makes of them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

import polars as pl

from larpbench import storage
from larpbench.datasets.schema import Dataset
from larpbench.errors import MissingPartError, UsageError
from larpbench.results.compare import EncoderComparison, compare_encoders
from larpbench.results.rows import Table
from larpbench.results.sheet import NOT_APPLICABLE, Sheet
from larpbench.results.shown import Shown
from larpbench.results.slices.table import SliceTable, slice_tables
from larpbench.results.store import playlists_path, record_path
from larpbench.results.table import read_tables
from larpbench.results.view import USUAL, View
from larpbench.tasks.cells import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("value", "ci_low", "ci_high", "chance", "ceiling"), pl.Float64),
    **dict.fromkeys(("seed", "seeds", "n", "left_out", "heldout"), pl.Int64),
}
"""Columns of long tables that hold no text."""


_COLUMNS = (
    *("task", "dataset", "encoder", "recommender", "seed", "metric", "value", "ci_low", "ci_high"),
    *("chance", "ceiling", "n", "group", "licence"),
)
"""Columns of the long table."""


class SliceTables(Shown, Sequence[SliceTable]):
    """The slices of tables, one object a table.

    Args:
        tables: The slices of each table.
    """

    def __init__(self, tables: Sequence[SliceTable]) -> None:
        self.tables = tuple(tables)

    @overload
    def __getitem__(self, index: int) -> SliceTable: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[SliceTable]: ...

    def __getitem__(self, index: int | slice) -> SliceTable | Sequence[SliceTable]:
        """Return the slices of a table, or of some."""
        return self.tables[index]

    def __len__(self) -> int:
        return len(self.tables)

    def __repr__(self) -> str:
        return f"<SliceTables: {'; '.join(f'{each.title}, {len(each.slices)} slices' for each in self.tables)}>"

    def sheets(self) -> list[Sheet]:
        """Return the tables as they are printed."""
        return [each.sheet() for each in self.tables]

    def to_polars(self) -> pl.DataFrame:
        """Return one line a slice, row and metric, as ``larpbench table --by NAME --format csv`` prints them."""
        return _frame([line for each in self.tables for line in each.lines()])


class TemporaryFolder:
    """A new folder that goes when nothing holds this object any more; copies share it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="larpbench-"))
        self._removal = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise UsageError("results in a temporary folder cannot be pickled", next_step="results.save(folder)")


class Results(Shown, Sequence[Table]):
    """The tables of a results folder, one a task and data set.

    Args:
        tables: The tables.
        folder: Where their records lie.
        temporary: The temporary folder that this is, which goes with the object; None if it stays.
    """

    def __init__(self, tables: Sequence[Table], folder: Path, temporary: TemporaryFolder | None = None) -> None:
        self.tables = tuple(tables)
        self.folder = folder
        self._temporary = temporary

    @overload
    def __getitem__(self, index: int) -> Table: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Table]: ...

    def __getitem__(self, index: int | slice) -> Table | Sequence[Table]:
        """Return a table, or some of them."""
        return self.tables[index]

    def __len__(self) -> int:
        return len(self.tables)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and self.tables == other.tables

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        where = "in a temporary folder: save(folder) keeps them" if self._temporary else f"in {self.folder}"
        return f"<Results: {'; '.join(map(repr, self.tables)) or 'no tables'}; {where}>"

    def sheets(self) -> list[Sheet]:
        """Return the tables as they are printed."""
        return [table.sheet() for table in self.tables]

    def to_polars(self) -> pl.DataFrame:
        """Return the long table: one line a cell and metric, as ``larpbench table --format csv`` prints it.

        Returns:
            Columns task, dataset, encoder, recommender, seed, metric, value, ci_low, ci_high, chance, ceiling, n, group
            and licence; null where a number does not apply.
        """
        return _frame([line for table in self.tables for line in table.sheet().lines], _COLUMNS)

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas may not be installed
        """Return what `to_polars` does as a frame of pandas.

        Raises:
            MissingPartError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingPartError("pandas is not installed", next_step="pip install pandas") from error
        frame = self.to_polars()
        return pd.DataFrame({name: frame[name].to_list() for name in frame.columns})

    def compare(self, first: str, second: str) -> EncoderComparison:
        """Compare two encoders on the same playlists: paired differences, intervals, p-values and effect sizes.

        Raises:
            UsageError: If one has no results, or they were never tested alike.
        """
        return compare_encoders(self.tables, first, second, str(self.folder))

    def by(self, name: str, dataset: Dataset | str | Path | None = None) -> SliceTables:
        """Return the scores on slices of the held-out tracks, each with its own chance and ceiling; nothing is run.

        Args:
            name: ``popularity``, ``discovery``, ``seeds``, or a column of the data set's tracks or playlists, such as
                ``genre``.
            dataset: The tested data set, its name or folder, where it is not found by its name.

        Raises:
            UsageError: If there is no such column: it names what there is.
            DataError: If the data set is not the one that was tested.
        """
        return SliceTables(slice_tables(self.tables, name, dataset))

    def plot(self, metric: str | None = None) -> Figure:
        """Return a figure of the intervals of all rows, with chance and ceiling.

        Args:
            metric: Which metric; default: the first of each table.

        Raises:
            UsageError: If no table has it.
        """
        from larpbench.results.intervals import interval_figure

        shown = [table for table in self.tables if metric is None or metric in table.columns]
        if not shown:
            there = dict.fromkeys(column for table in self.tables for column in table.columns)
            raise UsageError(f"no table shows {metric!r}", allowed=", ".join(there) or "nothing: there are no tables")
        return interval_figure(shown, metric)

    def save(self, folder: str | Path) -> Path:
        """Copy the records of all tables, with the lists of each playlist, to a new or empty folder.

        Returns:
            The folder.

        Raises:
            UsageError: If the folder holds something, or is the temporary one.
            StorageError: If it cannot be written.
        """
        output = Path(folder)
        if self._temporary and output.resolve() == self.folder.resolve():
            raise UsageError("this folder is temporary, and goes with the results", allowed="another folder")
        with storage.staging_folder(output) as target:
            for table in self.tables:
                for row in (*table.rows, *table.omissions.failed):
                    for path, record in zip(row.files, row.records, strict=True):
                        place = record_path(target, Cell(**record.cell.model_dump()), record.key)
                        place.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(path, place)
                        if playlists_path(path).is_file():
                            shutil.copyfile(playlists_path(path), playlists_path(place))
            storage.put_in_place_once(target, output)
        return output


def load_results(output: str | Path, view: View = USUAL, everything: bool = False) -> Results:
    """Return the results of a folder.

    Args:
        output: The folder.
        view: Which metrics the tables show, in which order, with how many digits.
        everything: Whether rows that failed and superseded results have rows or tables, too.

    Raises:
        DataError: If there are no results, or some cannot be used, naming them.
        UsageError: If no result holds a metric of the view.
    """
    return Results(read_tables(Path(output), view, everything), Path(output))


def compare(results: Results | str | Path, first: str, second: str) -> EncoderComparison:
    """Compare two encoders on the same playlists; see `Results.compare`.

    Args:
        results: Results, or their folder.
        first: First encoder, as named in the table.
        second: Second encoder.
    """
    found = results if isinstance(results, Results) else load_results(results)
    return found.compare(first, second)


def _frame(lines: Sequence[Mapping[str, object]], empty: Sequence[str] = ()) -> pl.DataFrame:
    """Return lines as a table: the columns of the first, then what others have beside them; null for what is n/a.

    Args:
        lines: The lines.
        empty: The columns where there are no lines.
    """
    names = dict.fromkeys(name for line in lines for name in line) or dict.fromkeys(empty)
    schema: dict[str, Any] = {name: _TYPES.get(name, pl.String) for name in names}
    return pl.DataFrame([{name: _value(line.get(name)) for name in names} for line in lines], schema=schema)


def _value(cell: object) -> object:
    return None if cell in ("", NOT_APPLICABLE) else cell
