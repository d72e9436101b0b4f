"""Data sets out of the user's own copy of Yambda: likes or listens of a music service, with vectors of the sound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl

from larpbench import progress
from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.pairs import PairCollector, Pairs
from larpbench.datasets.provided import VectorCard, VectorWriter
from larpbench.datasets.schema import Manifest
from larpbench.datasets.sources.collection import (
    Collection,
    CollectionOptions,
    build_collection,
    chosen_vectors,
    stamps,
)
from larpbench.datasets.sources.parquet_files import (
    columns_of,
    height_of,
    largest,
    parts,
    require_columns,
    rows_of_lists,
)
from larpbench.datasets.sources.reduction import Reduction
from larpbench.errors import DataError, UsageError
from larpbench.table_files import scan_parquet

SIZES = ("50m", "500m", "5b")
EVENTS = ("likes", "listens")
LICENCE = "Apache-2.0 (Yambda, Yandex)"
HEARD = 50
"""A listen counts when more than so many per cent of the track were played."""
COLD_SECONDS = 28 * 86_400
_VECTORS, _ARTISTS, _ALBUMS = "embeddings.parquet", "artist_item_mapping.parquet", "album_item_mapping.parquet"
_ROWS = 4_000_000
_VECTOR_ROWS = 100_000
_CARD = VectorCard(
    what="Yambda's audio vectors, 128 numbers",
    by="the authors of Yambda, huggingface.co/datasets/yandex/yambda",
    licence=LICENCE,
)
NO_TITLES = "Yambda has no titles and no names: encoders of text say nothing here, and artists are numbers."
YAMBDA = DatasetSource(
    "yambda",
    "likes and listens of a music service, with vectors of the sound, from Yambda (Hugging Face)",
    build="larpbench dataset build yambda --source yambda --size 50m",
    card=DatasetCard(
        content="three sizes: 50m has 46,467,212 listens and 881,456 likes; vectors of 128 numbers for 7.72 million "
        "tracks; artists and albums as numbers; no titles, no sound",
        where="huggingface.co, yandex/yambda, without a login: larpbench dataset fetch yambda-50m",
        licence=LICENCE,
        size="likes of 50m: some MB; listens of 50m: some hundred MB; the vectors of all sizes: 13.8 GB, read with a "
        "filter",
        paper="A. Ploshkin et al., Yambda-5B: A Large-Scale Multi-modal Dataset for Ranking and Retrieval, RecSys 2025",
        citation=("ploshkin2025yambda",),
        without=OTHER_DATA,
        page="docs/datasets/yambda.md",
    ),
    fetch="larpbench dataset fetch yambda-50m",
    of_fetched="larpbench.datasets.sources.yambda:build_fetched",
)


@dataclass(frozen=True)
class YambdaOptions:
    """Which part of Yambda.

    Attributes:
        size: ``50m``, ``500m`` or ``5b``.
        events: ``likes`` or ``listens``.
        reduction: Which listeners and tracks stay.
    """

    size: Literal["50m", "500m", "5b"] = "50m"
    events: Literal["likes", "listens"] = "likes"
    reduction: Reduction = field(default_factory=Reduction)


def build_yambda(source: Path, options: CollectionOptions, yambda: YambdaOptions, output: Path) -> Manifest:
    """Build a data set from a copy of Yambda.

    Without `boundaries` and `cold_fraction` the tracks that anybody first plays in the last four weeks are test, and
    those of the four weeks before are valid.

    Args:
        source: Folder with ``flat/SIZE/likes.parquet`` or ``flat/SIZE/listens.parquet`` (or that file itself),
            ``embeddings.parquet``, and maybe ``artist_item_mapping.parquet`` and ``album_item_mapping.parquet``.
        options: How. Boundaries are in Yambda's own seconds, from 0 to 26,000,000.
        yambda: Which part.
        output: Folder to write.

    Raises:
        UsageError: If the options contradict each other.
        DataError: If a file is missing, damaged, or has other columns, or nothing is left.
    """
    options.require_sense()
    log = _find(source, yambda)
    require_columns(log, columns_of(log), _columns(yambda))
    vectors = source / _VECTORS
    there = ["audio"] if vectors.is_file() else []
    with_vectors = bool(chosen_vectors(options, there))
    if options.task == "cold-tracks" and options.boundaries is None and options.cold_fraction is None:
        last = largest(log, "timestamp")
        options = replace(options, boundaries=(str(last + 1 - 2 * COLD_SECONDS), str(last + 1 - COLD_SECONDS)))
    boundaries = _seconds(options.boundaries)
    beside = [path for name in (_ARTISTS, _ALBUMS) if (path := source / name).is_file()]
    key = [
        "yambda 1",
        stamps([log, *beside, *([vectors] if with_vectors else [])]),
        [yambda.size, yambda.events, *yambda.reduction.key],
    ]

    def read(work: Path) -> Collection:
        pairs, left_out = _read(log, yambda, boundaries)
        table = yambda.reduction.applied(pairs, options, left_out, boundaries)
        words = f"Yambda {yambda.size}, {yambda.events}{yambda.reduction.words}"
        interactions = replace(pairs, table=table)
        tracks = _tracks(source, interactions.present_tracks)
        return Collection(interactions, tracks, words, LICENCE, left_out, (NO_TITLES,))

    def stage(track_ids: pl.Series, staged: Path) -> None:
        if with_vectors and not (staged / "audio.npy").is_file():
            _stage(vectors, track_ids, staged)

    return build_collection(read, stage, options, output, key, rule=options.rule())


def build_fetched(source: Path, output: Path) -> Manifest:
    """Build the data set ``yambda`` the usual way: likes of 50m, cold tracks."""
    return build_yambda(source, CollectionOptions(output.name), YambdaOptions(), output)


def _seconds(boundaries: tuple[str, str] | None) -> tuple[int, int] | None:
    if boundaries is None:
        return None
    if not all(each.strip().lstrip("+-").isdecimal() for each in boundaries):
        raise UsageError(
            f"--split-at {','.join(boundaries)}", allowed="two numbers of Yambda's seconds, such as 21161000,23580200"
        )
    return int(boundaries[0]), int(boundaries[1])


def _find(source: Path, yambda: YambdaOptions) -> Path:
    name = f"{yambda.events}.parquet"
    places = (source / "flat" / yambda.size / name, source / yambda.size / name, source / name)
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DataError(
            f"there is no {name} of Yambda {yambda.size}",
            where=str(source),
            allowed=f"a folder with flat/{yambda.size}/{name}",
            next_step="larpbench dataset fetch yambda-50m",
        )
    return found


def _columns(yambda: YambdaOptions) -> list[str]:
    return ["uid", "timestamp", "item_id", *(["played_ratio_pct"] if yambda.events == "listens" else [])]


def _read(path: Path, yambda: YambdaOptions, boundaries: tuple[int, int] | None) -> tuple[Pairs, dict[str, int]]:
    needed = _columns(yambda)
    collector = PairCollector(boundaries[1:] if boundaries else ())
    total = height_of(path)
    counted = 0
    names = {"uid": "listener", "item_id": "track", "timestamp": "first_time"}
    for part in parts(path, scan_parquet(path).select(needed), _ROWS, total):
        if yambda.events == "listens":
            part = part.filter(pl.col("played_ratio_pct") > HEARD).drop("played_ratio_pct")
        part = part.drop_nulls()
        counted += part.height
        collector.add(part.rename(names))
    if not counted:
        raise DataError(f"no row of the {yambda.events} counts", where=str(path))
    reason = f"rows: listens to {HEARD} % of a track or less" if yambda.events == "listens" else "rows with empty cells"
    return collector.result(), {reason: total - counted}


def _tracks(source: Path, track_ids: pl.Series) -> pl.DataFrame:
    """Return the tracks with their artists and albums, which are numbers; of several artists the first is `artist`."""
    tracks = pl.DataFrame({"track_id": track_ids}).with_columns(title=pl.lit(""))
    items = track_ids.cast(pl.UInt32)
    for file, column, text in ((_ARTISTS, "artist_id", "artist"), (_ALBUMS, "album_id", "album")):
        path = source / file
        if not path.is_file():
            progress.say(f"there is no {file}: {text}s are not known")
            tracks = tracks.with_columns(pl.lit("").alias(text))
            continue
        require_columns(path, columns_of(path), (column, "item_id"))
        found = [
            part.filter(pl.col("item_id").is_in(items.implode()))
            for part in parts(path, scan_parquet(path).select(column, "item_id"), _ROWS, height_of(path))
        ]
        of = (
            pl.concat(found)
            .sort("item_id", column)
            .group_by("item_id", maintain_order=True)
            .agg(pl.format(f"{text} {{}}", column).unique(maintain_order=True).alias(f"{text}s"))
            .select(pl.col("item_id").cast(pl.String).alias("track_id"), f"{text}s")
            .with_columns(pl.col(f"{text}s").list.first().alias(text))
        )
        tracks = tracks.join(of, on="track_id", how="left", maintain_order="left")
    return tracks


def _stage(path: Path, track_ids: pl.Series, staged: Path) -> None:
    """Write the vectors of some tracks: the file is scanned part by part, and never held in memory."""
    require_columns(path, columns_of(path), ("item_id", "embed"))
    query = scan_parquet(path).select("item_id", "embed")
    wanted = track_ids.cast(pl.UInt32).implode()
    with VectorWriter(staged, "audio", _CARD) as writer:
        for part in parts(path, query, _VECTOR_ROWS, height_of(path)):
            mine = part.filter(pl.col("item_id").is_in(wanted) & (pl.col("embed").list.len() > 0))
            writer.add(*rows_of_lists(mine["item_id"].cast(pl.String), mine["embed"]))
