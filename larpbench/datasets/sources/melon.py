"""Data sets out of the user's own copy of the Melon Playlist Dataset: playlists with titles, artists and genres."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.schema import Manifest
from larpbench.datasets.sources.collection import (
    Collection,
    CollectionOptions,
    build_collection,
    chosen_vectors,
    stamps,
)
from larpbench.errors import DataError, clipped
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, read_json

LICENCE = "Melon Playlist Dataset (Kakao): academic research only, not to be passed on"
_PLAYLISTS, _SONGS, _MASKED = "train.json", "song_meta.json", ("val.json", "test.json")
_TEXTS = pl.List(pl.String)
_PLAYLIST: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "plylst_title": pl.String(),
    "tags": _TEXTS,
    "songs": pl.List(pl.Int64),
    "updt_date": pl.String(),
}
_SONG: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "song_name": pl.String(),
    "album_name": pl.String(),
    "artist_name_basket": _TEXTS,
    "song_gn_gnr_basket": _TEXTS,
    "issue_date": pl.String(),
}
NOTE = "Playlists of train.json alone: val.json and test.json of the Melon Playlist Dataset are masked."
MELON = DatasetSource(
    "melon",
    "playlists of a Korean music service, from your own copy of the Melon Playlist Dataset",
    build="larpbench dataset build melon --source melon",
    card=DatasetCard(
        content="115,071 playlists (train.json), 707,989 songs with titles, artists, albums and genres; spectrograms "
        "of 48 bands, which fit no pretrained encoder and are not read",
        where="arena.kakao.com and mtg.github.io/melon-playlist-dataset, behind a login; whether it is still served "
        "was not verified",
        licence=LICENCE,
        size="song_meta.json and train.json: some hundred MB; built in about a minute",
        paper="A. Ferraro et al., Melon Playlist Dataset: A Public Dataset for Audio-based Playlist Generation and "
        "Music Tagging, ICASSP 2021",
        citation=("ferraro2021melon",),
        without=OTHER_DATA,
        page="docs/datasets/melon.md",
    ),
)


def build_melon(source: Path, options: CollectionOptions, output: Path) -> Manifest:
    """Build a data set from a copy of the Melon Playlist Dataset.

    Args:
        source: Folder with ``train.json`` and ``song_meta.json``.
        options: How.
        output: Folder to write.

    Raises:
        UsageError: If the options contradict each other.
        DataError: If a file is missing, damaged, or no list of playlists or songs, or nothing is left.
    """
    options.require_sense()
    chosen_vectors(options, [])
    paths = [_require(source / name) for name in (_PLAYLISTS, _SONGS)]

    def read(work: Path) -> Collection:
        playlists, songs = _read(paths[0], _PLAYLIST, "songs"), _read(paths[1], _SONG, "song_name")
        entries = playlists.drop_nulls(["id", "songs"]).explode("songs").drop_nulls("songs")
        interactions = entries.select(
            pl.col("id").cast(pl.String).alias("listener_id"),
            pl.col("songs").cast(pl.String).alias("track_id"),
            pl.col("plylst_title").alias("title"),
            "tags",
            pl.col("updt_date").str.head(10).str.to_date("%Y-%m-%d", strict=False).alias("updated"),
        )
        if there := [name for name in _MASKED if (source / name).is_file()]:
            progress.say(f"not read, since they are masked: {', '.join(there)}")
        left_out = {"playlists without tracks": playlists.height - interactions["listener_id"].n_unique()}
        return Collection(
            interactions, _tracks(songs, interactions["track_id"]), "Melon Playlist Dataset, train.json", LICENCE,
            left_out, (NOTE,),
        )  # fmt: skip

    def stage(track_ids: pl.Series, staged: Path) -> None:
        """Stage nothing: it brings no vectors."""

    return build_collection(read, stage, options, output, ["melon 1", stamps(paths)], rule=options.rule())


def _require(path: Path) -> Path:
    if not path.is_file():
        masked = [name for name in _MASKED if path.with_name(name).is_file()]
        raise DataError(
            f"there is no {path.name}" + (f": {', '.join(masked)} hold masked playlists" if masked else ""),
            where=str(path.parent),
            allowed=f"a folder with {_PLAYLISTS} and {_SONGS}",
        )
    return path


def _read(path: Path, schema: dict[str, pl.DataType], needed: str) -> pl.DataFrame:
    try:
        with storage_errors(path, "read"):
            found = read_json(path.read_bytes(), schema=schema)
    except TABLE_ERRORS as error:
        reason = clipped(str(error).partition("\n")[0])
        raise DataError(
            f"the file is no list of the kind: {reason}", where=str(path), allowed="JSON, a list of objects"
        ) from error
    if found.is_empty() or found["id"].null_count() == found.height or found[needed].null_count() == found.height:
        raise DataError(
            f"no entry of the file has id and {needed}", where=str(path), allowed=f"a list of {{{', '.join(schema)}}}"
        )
    return found


def _tracks(songs: pl.DataFrame, held: pl.Series) -> pl.DataFrame:
    names = pl.col("artist_name_basket").list.eval(pl.element().filter(pl.element().fill_null("") != ""))
    tracks = songs.drop_nulls("id").select(
        pl.col("id").cast(pl.String).alias("track_id"),
        pl.col("song_name").alias("title"),
        names.list.first().alias("artist"),
        pl.col("album_name").alias("album"),
        names.alias("artists"),
        pl.col("song_gn_gnr_basket").alias("genres"),
        pl.col("issue_date").str.to_date("%Y%m%d", strict=False).alias("release_date"),
    )
    return tracks.filter(pl.col("track_id").is_in(held.unique().implode())).unique(
        "track_id", keep="first", maintain_order=True
    )
