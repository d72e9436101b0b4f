"""OLGA (Korzeniowski et al. 2021) and its one-song-an-artist version (Groetschla et al. 2024), from the user's copy.

No edge of either comes with larpbench: those of OLGA are licensed from AllMusic, those of the second paper are in its
authors' archive.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.acousticbrainz import artist_vectors
from larpbench.datasets.artists.files import GraphTables
from larpbench.datasets.artists.tables import read_edges
from larpbench.datasets.catalogue import DatasetCard, DatasetSource
from larpbench.datasets.reading.array_files import read_array, read_sparse
from larpbench.datasets.reading.text_tables import read_text_table
from larpbench.datasets.schema import TEXT_COLUMNS
from larpbench.errors import DataError, named

OLGA = DatasetSource(
    "olga",
    "artists of OLGA and who is similar to whom, from your own copy and your own edges",
    build="larpbench dataset build olga --source olga --edges artist_connections.npz",
    card=DatasetCard(
        content="17,673 artists, 101,029 edges (who is similar to whom), AcousticBrainz features, songs by their "
        "MusicBrainz ids",
        where="gitlab.com/fdlm/olga (olga.csv, acousticbrainz.npy), without the edges, which have to be licensed from "
        "AllMusic",
        licence="the edges may not be passed on (AllMusic)",
        size="mostly features: 17,673 x 2,613 numbers of AcousticBrainz",
        paper="F. Korzeniowski et al., Artist Similarity with Graph Neural Networks, ISMIR 2021 (arXiv 2107.14541)",
        citation=("korzeniowski2021artist",),
        without=(
            "the invented graph, to try every command: larpbench run --task artist-similarity --dataset toy-artists",
            "your own graph: larpbench dataset build artist-graph --artists A --tracks T --edges E --output DIR",
        ),
        page="docs/artist-similarity.md",
    ),
)
DISCO_OLGA = DatasetSource(
    "disco-olga",
    "the artist graph of the second paper, from your own copy of its authors' archive",
    build="larpbench dataset build disco-olga --source disco-olga_data",
    card=DatasetCard(
        content="the artist graph of the second paper: 16,864 artists, 99,121 edges, features of CLAP, AcousticBrainz, "
        "moods and themes; no names, no audio",
        where="the archive of the paper's authors (similar_to.npz, *_mask.npy, *.npy), named in their code repository",
        licence="none is stated; its edges derive from AllMusic",
        size="mostly features: 16,864 x 2,589 numbers of AcousticBrainz, 16,864 x 512 of CLAP",
        paper="F. Groetschla et al., Towards Leveraging Contrastively Pretrained Neural Audio Embeddings for "
        "Recommender Tasks, 2024 (arXiv 2409.09026)",
        citation=("groetschla2024clap", "korzeniowski2021artist"),
        without=(
            "the invented graph, to try every command: larpbench run --task artist-similarity --dataset toy-artists",
            "your own graph: larpbench dataset build artist-graph --artists A --tracks T --edges E --output DIR",
        ),
        page="docs/artist-similarity.md",
    ),
)
_PARTITIONS = {"train": "train", "val": "valid", "valid": "valid", "test": "test"}
_MASKS = {"train": "train_mask.npy", "valid": "val_mask.npy", "test": "test_mask.npy"}
_DISCO_FEATURES = {
    "acousticbrainz": "acousticbrainz.npy",
    "clap": "clap.npy",
    "moods-themes": "moods_themes.npy",
}


def read_olga(
    source: Path,
    edges: Path,
    *,
    tracks: Path | None = None,
    low_level: Path | None = None,
    low_level_songs: int = 1,
) -> GraphTables:
    """Read the original OLGA.

    Args:
        source: Folder with ``olga.csv`` (``musicbrainz_id``, ``partition``, ``tracks``: a list of MusicBrainz ids of
            songs) and maybe ``acousticbrainz.npy`` (one row an artist).
        edges: The similarity lists, licensed separately: see `read_edges`; rows of a matrix are those of ``olga.csv``.
        tracks: CSV or Parquet ``track_id,title,artist,album``; without it nothing is known of the songs but their ids.
        low_level: Folder of AcousticBrainz low-level documents of the songs, in place of ``acousticbrainz.npy``.
        low_level_songs: Over how many songs an artist's vector is averaged.

    Raises:
        DataError: If a file is missing or broken, or an artist has no song.
    """
    table = read_text_table(source / "olga.csv", ("musicbrainz_id", "partition", "tracks"), ())
    ids = table["musicbrainz_id"].to_numpy().astype(str)
    wrong = table.filter(~pl.col("partition").is_in(list(_PARTITIONS)))
    if wrong.height:
        values = sorted({str(value) for value in wrong["partition"]})
        raise DataError(f"partitions {named(values)}", where=str(source / "olga.csv"), allowed=", ".join(_PARTITIONS))
    songs_of = [_listed(text, name) for name, text in table.select("musicbrainz_id", "tracks").iter_rows()]
    artists = table.select(artist_id="musicbrainz_id", split=pl.col("partition").replace_strict(_PARTITIONS))
    pairs = [(name, song) for name, songs in zip(ids.tolist(), songs_of, strict=True) for song in songs]
    songs = pl.DataFrame(pairs, schema=["artist_id", "track_id"], orient="row")
    features: dict[str, np.ndarray] = {}
    if low_level is not None:
        _require_songs(ids, songs_of, source / "olga.csv")
        features["acousticbrainz"] = artist_vectors(low_level, songs_of, low_level_songs)[1]
    elif (path := source / "acousticbrainz.npy").is_file():
        features["acousticbrainz"] = read_array(path)
    return GraphTables(artists, songs, read_edges(edges, ids), _texts(songs, tracks), features)


def read_disco_olga(source: Path) -> GraphTables:
    """Read the data of the second paper, as its authors' archive ``disco-olga_data`` has it.

    The artists have no ids there: their row numbers become ids, and stand for the one song of each.

    Args:
        source: Folder with ``similar_to.npz``, ``train_mask.npy``, ``val_mask.npy``, ``test_mask.npy`` (the row
            numbers of the artists, or one truth value an artist) and those of ``acousticbrainz.npy``, ``clap.npy``,
            ``moods_themes.npy`` that are wanted.

    Raises:
        DataError: If a file is missing or broken, or an artist is not in just one split.
    """
    matrix = source / "similar_to.npz"
    n_artists = read_sparse(matrix).shape[0]
    masks = _masks(source, n_artists)
    splits = np.select(list(masks.values()), list(masks), default="")
    ids = np.array([f"{number:05d}" for number in range(n_artists)])
    features = {name: read_array(source / file) for name, file in _DISCO_FEATURES.items() if (source / file).is_file()}
    songs = pl.DataFrame({"artist_id": ids, "track_id": ids})
    return GraphTables(
        pl.DataFrame({"artist_id": ids, "split": splits}),
        songs,
        read_edges(matrix, ids),
        _texts(songs, None),
        features,
    )


def _masks(source: Path, n_artists: int) -> dict[str, np.ndarray]:
    """Return (artists,) bool for each split, of files with truth values or with row numbers.

    All three with one number an artist are truth values: row numbers of three splits are as many together.
    """
    arrays = {split: read_array(source / name) for split, name in _MASKS.items()}
    for split, array in arrays.items():
        whole = array.dtype.kind in "biu" or (array.dtype.kind == "f" and bool((array == np.floor(array)).all()))
        if array.ndim != 1 or not whole:
            raise _no_mask(source, split, f"its numbers are {array.dtype}, its shape is {array.shape}", n_artists)
    masks = {}
    if all(len(array) == n_artists for array in arrays.values()):
        for split, array in arrays.items():
            if not np.isin(array, (0, 1)).all():
                raise _no_mask(source, split, f"one of its {n_artists} numbers is {array.max()}", n_artists)
            masks[split] = array.astype(bool)
    else:
        for split, array in arrays.items():
            if array.dtype.kind == "b":
                raise _no_mask(source, split, f"it has {len(array)} truth values", n_artists)
            if len(array) and not (array.min() >= 0 and array.max() < n_artists):
                raise _no_mask(source, split, f"its rows are {array.min()} to {array.max()}", n_artists)
            if len(np.unique(array)) < len(array):
                raise _no_mask(source, split, f"{len(array) - len(np.unique(array))} rows are there twice", n_artists)
            masks[split] = np.isin(np.arange(n_artists), array)
    total = np.sum(list(masks.values()), axis=0, dtype=int)
    if (total != 1).any():
        raise DataError(
            f"{int((total > 1).sum())} artists are in two splits, {int((total == 0).sum())} in none: "
            f"{named(np.flatnonzero(total != 1).tolist())}",
            where=f"{source}: {', '.join(_MASKS.values())}",
            allowed="every artist in one split",
        )
    return masks


def _no_mask(source: Path, split: str, reason: str, n_artists: int) -> DataError:
    return DataError(
        f"the file does not say which artists are in {split}: {reason}",
        where=str(source / _MASKS[split]),
        allowed=f"row numbers below {n_artists}, each once; or {n_artists} truth values (0 or 1), in all three files",
    )


def _listed(text: str | None, artist: str) -> list[str]:
    """Return the songs of a cell such as ``['<id>', '<id>']``; only a literal is read, nothing is run."""
    try:
        found = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError(f"the tracks of artist {artist!r} are no list", where="olga.csv") from error
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise DataError(f"the tracks of artist {artist!r} are no list of ids", where="olga.csv")
    return found


def _require_songs(ids: np.ndarray, songs_of: list[list[str]], where: Path) -> None:
    without = [name for name, songs in zip(ids.tolist(), songs_of, strict=True) if not songs]
    if without:
        raise DataError(f"{len(without)} artists have no song: {named(without)}", where=str(where))


def _texts(songs: pl.DataFrame, tracks: Path | None) -> pl.DataFrame:
    unique = songs.select("track_id").unique(maintain_order=True)
    if tracks is None:
        return unique.with_columns(pl.lit("").alias(name) for name in TEXT_COLUMNS)
    known = read_text_table(tracks, ("track_id", *TEXT_COLUMNS), ())
    return unique.join(known, on="track_id", how="left", maintain_order="left")
