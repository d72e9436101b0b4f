"""Artists and who is similar to whom: the graph of an ``artist-graph`` data set, and what makes it valid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.schema import SPLITS, SplitName
from larpbench.errors import DataError, named

ARTIST_COLUMNS: dict[str, type[pl.DataType]] = {"artist_id": pl.String, "name": pl.String, "split": pl.String}
SONG_COLUMNS: dict[str, type[pl.DataType]] = {"artist_id": pl.String, "track_id": pl.String}
EDGE_COLUMNS: dict[str, type[pl.DataType]] = {"artist_a": pl.String, "artist_b": pl.String}
ARTISTS = "artists.parquet"
SONGS = "songs.parquet"
EDGES = "edges.parquet"
FEATURES = "features"
"""Folder of ready-made artist features inside a data set folder: ``NAME.npz`` with ``ids`` and ``embeddings``."""


@dataclass(frozen=True)
class ArtistGraph:
    """Artists, their songs, and undirected "similar to" edges.

    Attributes:
        artists: Columns `ARTIST_COLUMNS`, train before valid before test; the order within a split is the source's.
        songs: Columns `SONG_COLUMNS`, in the order in which they are listed for each artist.
        edges: Columns `EDGE_COLUMNS`, each edge once, the artist that comes first in `artists` first.
        features: Name -> file of ready-made features.
    """

    artists: pl.DataFrame
    songs: pl.DataFrame
    edges: pl.DataFrame
    features: dict[str, Path]

    @cached_property
    def ids(self) -> np.ndarray:
        """(n,) str, in the order of `artists`; an artist's number is its place here."""
        return self.artists["artist_id"].to_numpy().astype(str)

    @cached_property
    def pairs(self) -> np.ndarray:
        """(e, 2) int64 artist numbers of the edges, the smaller one first."""
        return numbered_edges(self.artists, self.edges)

    @cached_property
    def split_numbers(self) -> np.ndarray:
        """(n,) int64: 0, 1, 2 for artists of train, valid, test; ascending."""
        return (
            self.artists["split"].replace_strict(dict(zip(SPLITS, range(3), strict=True))).to_numpy().astype(np.int64)
        )

    def rows(self, split: SplitName) -> np.ndarray:
        """Return the numbers of the artists of a split, (n,) int64, consecutive."""
        return np.flatnonzero(self.split_numbers == SPLITS.index(split))


def numbered_edges(artists: pl.DataFrame, edges: pl.DataFrame) -> np.ndarray:
    """Return (e, 2) int64 artist numbers, the smaller one first, sorted."""
    number = artists.select(artist_id="artist_id").with_row_index("number")
    pairs = np.empty((edges.height, 2), dtype=np.int64)
    for column, name in enumerate(EDGE_COLUMNS):
        found = edges.select(artist_id=name).join(number, on="artist_id", how="left", maintain_order="left")
        pairs[:, column] = found["number"].to_numpy()
    pairs.sort(axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def ordered_artists(artists: pl.DataFrame) -> pl.DataFrame:
    """Return checked artists, train before valid before test.

    Args:
        artists: Columns ``artist_id``, ``split`` and maybe ``name``.

    Raises:
        DataError: If an id is empty or there twice (such as in two splits), or a split is no split or empty.
    """
    bad = artists.filter(pl.col("artist_id").fill_null("").str.contains(r"^$|[\x00-\x1f\x7f]"))
    if bad.height:
        raise DataError(
            f"{bad.height} artists have an empty id, or one with control characters",
            where="artists",
            allowed="printable, non-empty ids",
        )
    repeated = artists.filter(pl.col("artist_id").is_duplicated())["artist_id"].unique().sort()
    if len(repeated):
        raise DataError(
            f"{len(repeated)} artist ids occur more than once: {named(repeated)}",
            where="artists",
            allowed="one row an artist, in one split",
        )
    wrong = artists.filter(~pl.col("split").fill_null("").is_in(SPLITS))
    if wrong.height:
        raise DataError(
            f"{wrong.height} artists are in no split: {named(wrong['artist_id'])}",
            where="artists",
            allowed=", ".join(SPLITS),
        )
    empty = [name for name in SPLITS if name not in set(artists["split"])]
    if empty:
        raise DataError(f"no artist is in {' or '.join(empty)}", where="artists", allowed="artists in every split")
    texts = artists if "name" in artists.columns else artists.with_columns(name=pl.lit(""))
    clean = pl.col("name").fill_null("").str.replace_all(r"[\x00-\x1f\x7f]+", " ").str.strip_chars()
    order = pl.col("split").replace_strict(dict(zip(SPLITS, range(3), strict=True)))
    return texts.with_columns(clean).sort(order, maintain_order=True).select(list(ARTIST_COLUMNS))


def checked_edges(artists: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Return each undirected edge once, in the order of the artists.

    An edge may be listed once, in either direction; or the whole list may be symmetric, each edge in both directions.

    Args:
        artists: As `ordered_artists` returns them.
        edges: Columns `EDGE_COLUMNS`.

    Raises:
        DataError: If an edge has an unknown artist, joins an artist with itself, or is there twice; or if some edges
            are listed in both directions and others are not.
    """
    unknown = pl.concat([edges[name].alias("artist_id") for name in EDGE_COLUMNS]).unique().sort()
    unknown = unknown.filter(~unknown.is_in(artists["artist_id"].implode()) | unknown.is_null())
    if len(unknown):
        raise DataError(
            f"{len(unknown)} artists of edges are unknown: {named(unknown)}",
            where="edges",
            allowed="artist_id values of the artists table",
            next_step="list these artists too, or leave their edges out",
        )
    loops = edges.filter(pl.col("artist_a") == pl.col("artist_b"))["artist_a"].unique().sort()
    if len(loops):
        raise DataError(f"{len(loops)} artists are similar to themselves: {named(loops)}", where="edges")
    if edges.is_empty():
        raise DataError("there are no edges", where="edges", allowed="at least one pair of artists")
    _require_once(edges, "in the same direction")
    turned = edges.select(artist_a="artist_b", artist_b="artist_a")
    both = edges.join(turned, on=list(EDGE_COLUMNS), how="semi")
    if 0 < both.height < edges.height:
        raise DataError(
            f"{both.height // 2} of the edges are duplicates, listed in both directions: {_pairs_named(both)}",
            where=f"edges: {edges.height - both.height} are listed in one direction only",
            allowed="every edge once, or every edge in both directions",
            next_step="--symmetrise takes those of one direction as edges like the others",
        )
    place = artists.select(artist_id="artist_id").with_row_index("number")
    numbered = edges.join(place.rename({"artist_id": "artist_a", "number": "a"}), on="artist_a").join(
        place.rename({"artist_id": "artist_b", "number": "b"}), on="artist_b"
    )
    forward = numbered.filter(pl.col("a") < pl.col("b"))
    backward = numbered.filter(pl.col("a") > pl.col("b"))
    turned_back = backward.select(artist_a="artist_b", artist_b="artist_a", a="b", b="a")
    once = pl.concat([forward.select(turned_back.columns), turned_back]).unique()
    return once.sort("a", "b").select(list(EDGE_COLUMNS))


def once_an_edge(edges: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the edges without those whose other direction came before, and how many have no other direction.

    Args:
        edges: Columns `EDGE_COLUMNS`; an edge that is there twice in one direction stays so.
    """
    rows = edges.with_row_index("row")
    turned = rows.select(artist_a="artist_b", artist_b="artist_a", other="row")
    earliest = turned.group_by(list(EDGE_COLUMNS)).agg(pl.col("other").min())
    found = rows.join(earliest, on=list(EDGE_COLUMNS), how="left", maintain_order="left")
    later = (pl.col("other") < pl.col("row")).fill_null(value=False)
    return found.filter(~later).select(list(EDGE_COLUMNS)), found["other"].null_count()


def checked_songs(artists: pl.DataFrame, songs: pl.DataFrame) -> pl.DataFrame:
    """Return the songs of the artists, in the order of the artists.

    Args:
        artists: As `ordered_artists` returns them.
        songs: Columns `SONG_COLUMNS`.

    Raises:
        DataError: If an artist is unknown or has no song, or a song belongs to artists of two splits.
    """
    strange = songs.filter(~pl.col("artist_id").is_in(artists["artist_id"].implode()))["artist_id"].unique().sort()
    if len(strange):
        raise DataError(f"{len(strange)} artists of songs are unknown: {named(strange)}", where="songs")
    without = artists.filter(~pl.col("artist_id").is_in(songs["artist_id"].implode()))["artist_id"]
    if len(without):
        raise DataError(
            f"{len(without)} artists have no song: {named(without)}",
            where="artists",
            allowed="one song or more an artist: encoders read songs",
            next_step="list a song of theirs, or leave these artists out",
        )
    torn = (
        songs.join(artists.select("artist_id", "split"), on="artist_id")
        .group_by("track_id")
        .agg(pl.col("split").n_unique())
        .filter(pl.col("split") > 1)["track_id"]
        .sort()
    )
    if len(torn):
        raise DataError(
            f"{len(torn)} songs belong to artists of two splits: {named(torn)}",
            where="songs",
            allowed="train, valid and test share no song",
        )
    place = artists.select("artist_id").with_row_index("place")
    ordered = songs.unique(maintain_order=True).join(place, on="artist_id", how="left", maintain_order="left")
    return ordered.sort("place", maintain_order=True).select(list(SONG_COLUMNS))


def edge_groups(graph: ArtistGraph) -> dict[str, int]:
    """Return how many edges there are within and between splits: ``edges.train-valid`` and so on."""
    found = {}
    splits = graph.split_numbers[graph.pairs]
    for first, low in enumerate(SPLITS):
        for second, high in list(enumerate(SPLITS))[first:]:
            found[f"edges.{low}-{high}"] = int(((splits[:, 0] == first) & (splits[:, 1] == second)).sum())
    return found


def _require_once(edges: pl.DataFrame, how: str) -> None:
    repeated = edges.filter(edges.is_duplicated()).unique().sort(list(EDGE_COLUMNS))
    if repeated.height:
        raise DataError(
            f"{repeated.height} edges are duplicates, listed more than once {how}: {_pairs_named(repeated)}",
            where="edges",
            allowed="every edge once, or every edge in both directions",
        )


def _pairs_named(edges: pl.DataFrame) -> str:
    return named([f"{a} - {b}" for a, b in edges.sort(list(EDGE_COLUMNS)).iter_rows()], 3)
