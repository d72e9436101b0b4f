"""The feature files of Music4All-Onion, ``id_NAME.tsv.bz2``: read once, a few hundred tracks at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.provided import VectorCard, VectorWriter
from larpbench.datasets.reading.packed_streams import unpacked
from larpbench.datasets.reading.packed_tables import as_wide, whole_lines
from larpbench.errors import DataError, clipped, named
from larpbench.storage import storage_errors
from larpbench.table_files import read_csv

_ENDINGS = (".tsv.bz2", ".tsv.gz", ".tsv")
_NO_VECTORS = ("tags_dict",)
_HEADER_BYTES = 1 << 16
_PIECE_BYTES = 16 * 2**20
_MB = 10**6
_BY = "the authors of Music4All-Onion (M. Moscati et al., CIKM 2022), zenodo.org record 15394646"
_WHAT = {
    "musicnn": "musicnn, 50 tag probabilities (30 s of audio)",
    "maest": "MAEST (30 s of audio)",
    "jukebox": "Jukebox (30 s of audio)",
    "mfcc_stats": "statistics of MFCCs (30 s of audio)",
    "mfcc_bow": "bag of audio words of MFCCs (30 s of audio)",
    "essentia": "descriptors of Essentia (30 s of audio)",
    "ivec256": "i-vectors of MFCCs, 256 Gaussians (30 s of audio)",
    "ivec1024": "i-vectors of MFCCs, 1,024 Gaussians (30 s of audio)",
    "gems": "predicted emotions (GEMS)",
    "bert": "BERT of the lyrics",
    "lyrics_word2vec": "word2vec of the lyrics",
    "lyrics_tf-idf": "tf-idf of the lyrics",
    "genres_tf-idf": "tf-idf of genres",
    "tags_tf-idf": "tf-idf of the tags of Last.fm users, which a new track does not have",
    "resnet": "ResNet of the video",
    "incp": "Inception of the video",
    "vgg19": "VGG19 of the video",
}
_CITATIONS = {
    "musicnn": ("pons2019musicnn",),
    "jukebox": ("dhariwal2020jukebox", "castellon2021codified"),
    "essentia": ("bogdanov2013essentia",),
    "bert": ("devlin2019bert",),
}


def feature_files(folder: Path) -> dict[str, Path]:
    """Return name -> file of the features in a folder; of one packed in several ways, the ``.bz2``."""
    found: dict[str, Path] = {}
    for ending in _ENDINGS:
        for path in sorted(folder.glob(f"id_*{ending}")):
            name = path.name.removeprefix("id_").removesuffix(ending)
            if name not in _NO_VECTORS:
                found.setdefault(name, path)
    return dict(sorted(found.items()))


def stage_features(files: dict[str, Path], track_ids: pl.Series, staged: Path, licence: str) -> None:
    """Write the vectors of some tracks, one set a file; a set that is there already is not read again.

    Args:
        files: Name -> file.
        track_ids: The tracks that are wanted.
        staged: Folder to write.
        licence: Licence of the data, in words.

    Raises:
        DataError: If a file is damaged, has other columns, or a cell that is no number.
    """
    for name, path in files.items():
        if (staged / f"{name}.npy").is_file():
            continue
        what, citation = _WHAT.get(name, f"{name} of Music4All-Onion"), _CITATIONS.get(name, ())
        card = VectorCard(what=what, by=_BY, licence=licence, citation=citation)
        dim = _dim(path)
        wanted, useless = set(track_ids.to_list()), 0
        texts: list[str] | None = None
        with VectorWriter(staged, name, card) as writer:
            for whole in _pieces(path, dim):
                texts = _texts(whole, path) if texts is None else texts
                frame = whole.drop(texts)
                mine = frame.filter(frame["id"].is_in(list(wanted)) & frame["id"].is_first_distinct())
                wanted.difference_update(mine["id"].to_list())
                vectors = _numbers(mine, path)
                usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
                useless += len(usable) - int(usable.sum())
                writer.add(mine["id"].filter(pl.Series(usable, dtype=pl.Boolean)), vectors[usable])
        if useless:
            progress.say(f"{path.name}: {useless} tracks have no vector: it is all zero, or not finite")


def _dim(path: Path) -> int:
    """Return the length of the vectors, by the header."""
    with storage_errors(path, "read"), unpacked(path) as stream:
        first = next(whole_lines(stream, path, _HEADER_BYTES), b"").partition(b"\n")[0]
    header = first.decode("utf-8-sig", "replace").rstrip("\r").split("\t")
    if header[0].strip().lower() not in ("id", "track_id") or len(header) < 2:
        raise DataError(
            f"the file of features has other columns: its header is {clipped(', '.join(header), 120)}",
            where=str(path),
            allowed="tab-separated id and one column a number, with a header row",
        )
    return len(header) - 1


def _pieces(path: Path, dim: int) -> Iterator[pl.DataFrame]:
    """Yield all rows: ``id``, and the numbers as columns; a cell that is none is null."""
    schema = {"id": pl.String(), **{str(number): pl.Float32() for number in range(dim)}}
    with (
        progress.stage(f"read {path.name}", path.stat().st_size // _MB, "MB") as advance,
        storage_errors(path, "read"),
        unpacked(path) as stream,
    ):
        done, header = 0, True
        for piece in whole_lines(stream, path, _PIECE_BYTES):
            text = piece.partition(b"\n")[2] if header else piece
            header = False
            if text.strip():
                yield read_csv(
                    as_wide(_without_wide_rows(text, dim), dim + 1),
                    has_header=False,
                    separator="\t",
                    quote_char=None,
                    schema=schema,
                    ignore_errors=True,
                    truncate_ragged_lines=True,
                    encoding="utf8-lossy",
                )
            advance(stream.position // _MB - done)
            done = stream.position // _MB


def _without_wide_rows(text: bytes, dim: int) -> bytes:
    """Return rows without the cells of those that have too many: nobody knows which of them are meant."""
    lines = text.split(b"\n")
    return b"\n".join(line.partition(b"\t")[0] if line.count(b"\t") > dim else line for line in lines)


def _texts(first: pl.DataFrame, path: Path) -> list[str]:
    """Return the columns that are no numbers, such as the name of a key: those without one in the first piece.

    Raises:
        DataError: If all are.
    """
    found = [column.name for column in first.drop("id") if column.null_count() == len(column)]
    if len(found) == first.width - 1:
        raise DataError("the file of features has no numbers", where=str(path))
    if found:
        progress.say(f"{path.name}: {len(found)} of {first.width - 1} columns hold no numbers and are left out")
    return found


def _numbers(frame: pl.DataFrame, path: Path) -> np.ndarray:
    """Return (n, dim) float32.

    Raises:
        DataError: If a cell is no number.
    """
    numbers = frame.drop("id")
    if any(column.has_nulls() for column in numbers):
        empty = numbers.select(pl.any_horizontal(pl.all().is_null())).to_series()
        raise DataError(
            f"the features of {int(empty.sum())} tracks have cells that are no numbers, or too few or too many cells: "
            f"{named(frame['id'].filter(empty))}",
            where=str(path),
            next_step="get the file anew: larpbench dataset fetch onion",
        )
    return numbers.to_numpy()
