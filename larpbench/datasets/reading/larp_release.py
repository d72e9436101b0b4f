"""Captions and clip times that LARP's authors released: pandas frames in pickles, read without pandas or trust.

A pickle is a program. This reader knows the few names that pandas and numpy write into a frame of text and numbers, and
puts an inert class of its own in the place of each; whatever else a file asks for, nothing of it is run.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.schema import SPLITS
from larpbench.datasets.track_ids import ids_of_uris
from larpbench.errors import DataError
from larpbench.fingerprint import digest_file
from larpbench.storage import storage_errors

_COLUMNS = ("track_uri", "meta_caption", "start", "end")
_NUMPY = ("numpy.core", "numpy._core")  # before and since numpy 2
_INDEXES = {
    "pandas": ("Index", "RangeIndex"),
    "pandas.core.indexes.base": ("Index",),
    "pandas.core.indexes.range": ("RangeIndex",),
    "pandas.core.indexes.numeric": ("Int64Index", "UInt64Index", "Float64Index", "NumericIndex"),
}


@dataclass(frozen=True)
class Release:
    """What the authors released of each track.

    Attributes:
        tracks: Columns ``track_id``, ``caption``, ``start_s``; one row a track.
        digests: File name -> sha256.
    """

    tracks: pl.DataFrame
    digests: dict[str, str]


def read_release(folder: Path) -> Release:
    """Read ``train.pkl``, ``valid.pkl`` and ``test.pkl``, those that are there.

    Raises:
        DataError: If none is there, or one is anything but a pandas frame with the released columns.
    """
    paths = [path for name in SPLITS if (path := folder / f"{name}.pkl").is_file()]
    if not paths:
        raise DataError(f"{folder} holds no part of the authors' release", allowed="train.pkl, valid.pkl, test.pkl")
    frames = [_read_tracks(path) for path in paths]
    rows = pl.concat(frames).unique(maintain_order=True)
    tracks = rows.unique("track_id", keep="first", maintain_order=True)
    if tracks.height < rows.height:
        progress.say(f"warning: {rows.height - tracks.height} rows of the release contradict an earlier one: left out")
    return Release(tracks, {path.name: digest_file(path) for path in paths})


def read_frame(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a pickled pandas frame.

    Raises:
        DataError: If the file is anything else, or asks for a name that no such frame needs.
    """
    with storage_errors(path, "read"), path.open("rb") as stream:
        try:
            loaded = _FrameUnpickler(stream, path).load()
            if not isinstance(loaded, _Frame):
                raise TypeError(f"it holds a {type(loaded).__name__.strip('_').lower()}")
            return loaded.columns()
        except (DataError, OSError):
            raise
        except Exception as error:  # a file that is no such pickle may fail in any way
            raise DataError(
                f"the file is no pandas frame in a pickle: {type(error).__name__}: {error}",
                where=str(path),
                allowed="a frame of text and numbers, as the authors' release has them",
            ) from error


def read_object_array(stream: IO[bytes], path: Path) -> np.ndarray:
    """Return a pickled numpy array of text or numbers, such as follows the header of a ``.npy`` of objects.

    Args:
        stream: At the first byte of the pickle.
        path: For messages.

    Raises:
        DataError: If it is anything else, or asks for a name that no such array needs.
    """
    try:
        loaded = _FrameUnpickler(stream, path).load()
        if not isinstance(loaded, _Array):
            raise TypeError(f"it holds a {type(loaded).__name__.strip('_').lower()}")
        return loaded.values
    except (DataError, OSError):
        raise
    except Exception as error:  # a file that is no such pickle may fail in any way
        raise DataError(f"no array of text in a pickle: {type(error).__name__}: {error}", where=str(path)) from error


def _read_tracks(path: Path) -> pl.DataFrame:
    columns = read_frame(path)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"the frame lacks the columns {', '.join(missing)}",
            where=f"{path} (has {', '.join(map(str, columns))})",
            allowed=", ".join(_COLUMNS),
        )
    try:
        frame = pl.DataFrame(
            {
                "track_id": ids_of_uris(pl.Series([_text(uri) for uri in columns["track_uri"]], dtype=pl.String)),
                "caption": pl.Series([_text(text) for text in columns["meta_caption"]], dtype=pl.String),
                "start_s": pl.Series([float(start) for start in columns["start"]], dtype=pl.Float64),
            }
        )
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"the frame's columns are of other kinds: {error}", where=str(path)) from error
    named_rows = frame.drop_nulls("track_id")
    if named_rows.height < frame.height:
        progress.say(f"warning: {path.name}: {frame.height - named_rows.height} rows have no track_uri: left out")
    return named_rows.with_columns(pl.when(pl.col("start_s").is_finite()).then("start_s"))


def _text(cell: object) -> str | None:
    return cell if isinstance(cell, str) else None


class _Array:
    """A numpy array of text or numbers while it is read."""

    def __init__(self) -> None:
        self.values = np.empty(0, dtype=object)

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, object]) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(data, list):
            self.values = np.empty(len(data), dtype=object)
            self.values[:] = data
            self.values = self.values.reshape(shape)
        elif isinstance(data, bytes):
            self.values = _from_bytes(data, dtype, shape, "F" if fortran else "C").values
        else:
            raise TypeError(f"an array of {type(data).__name__}")


class _Dtype:
    """A numpy dtype while it is read."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.swapped = name, False

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.swapped = state[1] == ">"

    def numeric(self) -> np.dtype[Any]:
        """The dtype, if it is one of plain numbers."""
        dtype = np.dtype(self.name)
        if dtype.kind not in "biuf":
            raise TypeError(f"a column of dtype {self.name}")
        return dtype.newbyteorder(">" if self.swapped else "<")


class _TextArray:
    """A column of text as pandas 3 has it: the array behind it."""

    def __init__(self) -> None:
        self.values = np.empty(0, dtype=object)

    def __setstate__(self, state: tuple[object, _Array]) -> None:
        self.values = state[1].values


class _Index:
    """An index: its labels."""

    def __init__(self, labels: list[Any]) -> None:
        self.labels = labels


class _Manager:
    """The blocks of a frame: (array, places of its columns), and the axes."""

    def __init__(self, blocks: tuple[Any, ...] = (), axes: tuple[Any, ...] | list[Any] = ()) -> None:
        self.blocks, self.axes = blocks, axes


class _Frame:
    """A frame."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.manager = state.get("_mgr", state.get("_data"))

    def columns(self) -> dict[str, list[Any]]:
        """Return name -> values."""
        if not isinstance(self.manager, _Manager):
            raise TypeError("a frame without blocks")
        labels = self.manager.axes[0].labels
        found: dict[str, list[Any]] = {}
        for array, places in self.manager.blocks:
            rows = np.atleast_2d(array.values)
            for label, row in zip(np.array(labels, dtype=object)[_places(places)], rows, strict=True):
                found[label] = row.tolist()
        return found


def _places(places: object) -> Any:  # noqa: ANN401 - what numpy indexes with
    return places if isinstance(places, slice) else np.atleast_1d(places.values)  # type: ignore[attr-defined]


def _from_bytes(data: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.values = np.frombuffer(data, dtype.numeric()).reshape(shape, order="F" if order == "F" else "C")
    return array


class _FrameUnpickler(pickle.Unpickler):
    """An unpickler that hands out nothing but the classes above."""

    def __init__(self, stream: Any, path: Path) -> None:  # noqa: ANN401 - any binary stream
        super().__init__(stream)
        self._path = path
        self._names = _admitted()

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """Return the stand-in for a name.

        Raises:
            DataError: If there is none.
        """
        if (module, name) in self._names:
            return self._names[module, name]
        raise DataError(
            f"the pickle asks for {module}.{name}, which is not admitted; nothing was run",
            where=str(self._path),
            allowed="what pandas and numpy need to rebuild a frame of text and numbers (without pyarrow)",
            next_step="leave this file alone unless you know where it comes from; build without --release",
        )

    def persistent_load(self, pid: object) -> Any:  # noqa: ANN401
        """Refuse references to things outside of the file."""
        raise TypeError("references to something outside")


def _admitted() -> dict[tuple[str, str], Callable[..., Any]]:
    """Return (module, name) -> stand-in; made anew for each file, so that no file can change the next one's."""

    def new_index(_: object, state: dict[str, Any]) -> _Index:
        if "data" in state:
            return _Index(np.atleast_1d(state["data"].values).tolist())
        return _Index(list(range(int(state["start"]), int(state["stop"]), int(state["step"]))))

    def string_dtype(*_: object) -> None:
        return None

    def unpickle_block(values: _Array, places: object, _: int = 2) -> tuple[_Array, object]:
        return values, places

    def text_array(*_: object) -> _TextArray:
        return _TextArray()

    def reconstruct(*_: object) -> _Array:
        return _Array()

    def encode(text: str, encoding: str) -> bytes:
        return text.encode("latin-1")

    def scalar(dtype: _Dtype, data: bytes) -> Any:  # noqa: ANN401
        return _from_bytes(data, dtype, (1,), "C").values.tolist()[0]

    names: dict[tuple[str, str], Callable[..., Any]] = {
        ("pandas.core.frame", "DataFrame"): (frame := type("Frame", (_Frame,), {})),
        ("pandas", "DataFrame"): frame,
        ("pandas.core.internals.managers", "BlockManager"): type("Manager", (_Manager,), {}),
        ("pandas._libs.internals", "_unpickle_block"): unpickle_block,
        ("pandas.core.indexes.base", "_new_Index"): new_index,
        ("pandas", "StringDtype"): string_dtype,
        ("pandas.arrays", "StringArray"): type("StringArray", (), {}),
        ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): text_array,
        ("numpy", "ndarray"): type("NumpyArray", (), {}),
        ("numpy", "dtype"): type("Dtype", (_Dtype,), {}),
        ("builtins", "slice"): slice,
        ("__builtin__", "slice"): slice,
        ("_codecs", "encode"): encode,
    }
    for module, kinds in _INDEXES.items():
        names |= {(module, kind): type(kind, (), {}) for kind in kinds}
    for base in _NUMPY:
        names[f"{base}.multiarray", "_reconstruct"] = reconstruct
        names[f"{base}.multiarray", "scalar"] = scalar
        names[f"{base}.numeric", "_frombuffer"] = _from_bytes
    return names
