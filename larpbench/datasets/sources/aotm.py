"""Data sets out of Art of the Mix (AotM-2011): mixes that people put together by hand, 1998 to 2011."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.schema import Manifest
from larpbench.datasets.sources.collection import (
    Collection,
    CollectionOptions,
    build_collection,
    chosen_vectors,
    stamps,
)
from larpbench.datasets.sources.parquet_files import parquet_below
from larpbench.errors import DataError
from larpbench.table_files import read_parquet

LICENCE = "AotM-2011: no licence is stated by its page on Hugging Face"
NOTE = (
    "AotM-2011 on Hugging Face has ids of songs alone: no titles, no artists, no sound. Bring vectors of your own "
    "(precomputed:FILE); encoders of text say nothing here."
)
AOTM = DatasetSource(
    "aotm",
    "mixes made by hand, 1998 to 2011, from AotM-2011 (Hugging Face)",
    build="larpbench dataset build aotm --source aotm",
    card=DatasetCard(
        content="97,568 mixes of songs of the Million Song Dataset (ids of Echo Nest), with category, user and time; "
        "no titles, no sound",
        where="huggingface.co, seungheondoh/aotm2011, without a login: larpbench dataset fetch aotm",
        licence=LICENCE,
        size="15 MB; built in seconds",
        paper="B. McFee and G. Lanckriet, Hypergraph Models of Playlist Dialects, ISMIR 2012",
        citation=("mcfee2012hypergraph",),
        without=OTHER_DATA,
        page="docs/datasets/aotm.md",
    ),
    fetch="larpbench dataset fetch aotm",
    of_fetched="larpbench.datasets.sources.aotm:build_fetched",
)


def build_aotm(source: Path, options: CollectionOptions, output: Path) -> Manifest:
    """Build a data set from AotM-2011, in the Parquet form of the Hugging Face hub.

    Args:
        source: Folder with the Parquet files, at any depth, or one such file.
        options: How.
        output: Folder to write.

    Raises:
        UsageError: If the options contradict each other.
        DataError: If a file is missing, damaged, or has other columns, or nothing is left.
    """
    options.require_sense()
    options = options.of_short_playlists()
    chosen_vectors(options, [])
    paths = [path for path, schema in parquet_below(source).items() if {"mix_id", "track_seq"} <= set(schema)]
    if not paths:
        raise DataError(
            "there are no mixes of AotM-2011",
            where=str(source),
            allowed="Parquet files with mix_id and track_seq",
            next_step="larpbench dataset fetch aotm",
        )

    def read(work: Path) -> Collection:
        mixes = pl.concat([_mixes(path) for path in paths])
        entries = mixes.explode("track_id").with_columns(pl.col("track_id").str.strip_chars())
        interactions = entries.filter(pl.col("track_id").fill_null("") != "")
        tracks = pl.DataFrame({"track_id": interactions["track_id"].unique().sort()})
        tracks = tracks.with_columns(pl.lit("").alias(name) for name in ("title", "artist", "album"))
        left_out = {
            "playlists without tracks": mixes["listener_id"].n_unique() - interactions["listener_id"].n_unique()
        }
        return Collection(interactions, tracks, "AotM-2011", LICENCE, left_out, (NOTE,))

    def stage(track_ids: pl.Series, staged: Path) -> None:
        """Stage nothing: it brings no vectors."""

    return build_collection(read, stage, options, output, ["aotm 1", stamps(paths)], rule=options.rule())


def build_fetched(source: Path, output: Path) -> Manifest:
    """Build the data set ``aotm`` the usual way: mixes as playlists."""
    return build_aotm(source, CollectionOptions(output.name, task="continuation"), output)


def _mixes(path: Path) -> pl.DataFrame:
    """Return a mix a row: its id, the list of its tracks, and columns of its own."""
    found = read_parquet(path)
    tracks = found.schema["track_seq"]
    if not (isinstance(tracks, pl.List) and tracks.inner in (pl.String, pl.Null)):
        raise DataError(f"the column track_seq is of type {tracks}", where=str(path), allowed="lists of ids of songs")
    columns = [pl.col("mix_id").cast(pl.String).alias("listener_id"), pl.col("track_seq").alias("track_id")]
    own = [pl.col(name).cast(pl.String) for name in ("category", "user_id") if name in found.columns]
    if "timestamp" in found.columns:
        own.append(pl.col("timestamp").cast(pl.String).str.head(10).str.to_date("%Y-%m-%d", strict=False).alias("date"))
    return found.select(*columns, *own)
