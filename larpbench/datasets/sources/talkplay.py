"""Data sets out of the user's own copy of TalkPlayData-Challenge: sessions of music, with vectors of five encoders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.provided import VectorCard, VectorWriter
from larpbench.datasets.schema import Manifest
from larpbench.datasets.sources.collection import (
    Collection,
    CollectionOptions,
    build_collection,
    chosen_vectors,
    stamps,
)
from larpbench.datasets.sources.parquet_files import height_of, parquet_below, parts, require_columns, rows_of_lists
from larpbench.errors import DataError
from larpbench.table_files import scan_parquet

LICENCE = "TalkPlayData-Challenge: by the terms of its page on Hugging Face (its sister data set: CC-BY-NC-ND-4.0)"
NOTE = (
    "The dialogues of TalkPlayData are synthetic; its sessions were drawn from real listening. Tracks of one artist "
    "follow each other so often that same-artist belongs beside every number."
)
_BY = "the authors of TalkPlayData-Challenge, huggingface.co/datasets/talkpl-ai/TalkPlayData-Challenge-Track-Embeddings"
_WHAT = {
    "audio-laion_clap": ("LAION-CLAP of the sound, 512 numbers", "LAION-Audio-630K and others"),
    "image-siglip2": ("SigLIP 2 of the cover, 768 numbers", "WebLI"),
    "attributes-qwen3_embedding_0.6b": ("Qwen3-Embedding-0.6B of attributes in words, 1,024 numbers", "unknown"),
    "lyrics-qwen3_embedding_0.6b": ("Qwen3-Embedding-0.6B of the lyrics, 1,024 numbers", "unknown"),
    "metadata-qwen3_embedding_0.6b": (
        "Qwen3-Embedding-0.6B of title, artist, album and tags, 1,024 numbers",
        "unknown",
    ),
}
_CITATIONS = {"laion_clap": ("wu2023clap",), "qwen3_embedding": ("zhang2025qwen3",)}
LEAKS = {"cf-bpr": "factors of listening (BPR), made from the interactions that are tested"}
_TEXTS = ("track_name", "artist_name", "album_name")
_SESSION_ROWS, _VECTOR_ROWS = 2_000, 8_192
TALKPLAY = DatasetSource(
    "talkplay",
    "sessions of listeners, with titles and vectors of five encoders, from TalkPlayData-Challenge (Hugging Face)",
    build="larpbench dataset build talkplay --source talkplay",
    card=DatasetCard(
        content="16,199 sessions of 8 tracks each, 47,071 tracks with titles, artists, albums and tags, and vectors of "
        "sound, cover, lyrics, attributes and metadata",
        where="huggingface.co, talkpl-ai/TalkPlayData-Challenge-Dataset, -Track-Metadata, -Track-Embeddings; accept "
        "the terms there, then larpbench dataset fetch talkplay",
        licence=LICENCE,
        size="about 1.5 GB, of which the vectors are most; built in about a minute",
        citation=("choi2025talkplaydata",),
        without=OTHER_DATA,
        page="docs/datasets/talkplay.md",
    ),
    fetch="larpbench dataset fetch talkplay",
    of_fetched="larpbench.datasets.sources.talkplay:build_fetched",
)


@dataclass(frozen=True)
class _Files:
    sessions: list[Path]
    tracks: list[Path]
    vectors: dict[str, list[Path]]


def build_talkplay(source: Path, options: CollectionOptions, output: Path) -> Manifest:
    """Build a data set from a copy of TalkPlayData-Challenge.

    For ``continuation`` each session is a playlist; for ``cold-tracks`` each user is a listener, of all sessions.

    Args:
        source: Folder with the Parquet files of the three parts, at any depth; they are told apart by their columns.
        options: How.
        output: Folder to write.

    Raises:
        UsageError: If the options contradict each other.
        DataError: If a file is missing, damaged, or has other columns, or nothing is left.
    """
    options.require_sense()
    options = options.of_short_playlists()
    files = _find(source)
    names = chosen_vectors(options, list(files.vectors))
    paths = dict.fromkeys([*files.sessions, *files.tracks, *(path for name in names for path in files.vectors[name])])
    key = ["talkplay 1", stamps(list(paths))]

    def read(work: Path) -> Collection:
        owner = "user_id" if options.task == "cold-tracks" else "session_id"
        interactions, turns = _interactions(files.sessions, owner)
        left_out = {"music turns without a track": turns - interactions.height}
        what = "users" if options.task == "cold-tracks" else "sessions"
        return Collection(
            interactions, _tracks(files.tracks), f"TalkPlayData-Challenge, {what}", LICENCE, left_out, (NOTE,)
        )

    def stage(track_ids: pl.Series, staged: Path) -> None:
        for name in names:
            if not (staged / f"{name}.npy").is_file():
                _stage(name, files.vectors[name], track_ids, staged)

    return build_collection(read, stage, options, output, key, rule=options.rule())


def build_fetched(source: Path, output: Path) -> Manifest:
    """Build the data set ``talkplay`` the usual way: sessions as playlists."""
    return build_talkplay(source, CollectionOptions(output.name, task="continuation"), output)


def _find(source: Path) -> _Files:
    files = _Files([], [], {})
    for path, schema in parquet_below(source).items():
        if "conversations" in schema:
            require_columns(path, schema, ("session_id", "user_id", "conversations"))
            files.sessions.append(path)
        elif "track_name" in schema:
            require_columns(path, schema, ("track_id", *_TEXTS))
            files.tracks.append(path)
        elif "track_id" in schema:
            for name, kind in schema.items():
                if isinstance(kind, pl.List) and kind.inner.is_numeric():
                    files.vectors.setdefault(name, []).append(path)
    missing = [
        name for name, found in (("sessions", files.sessions), ("metadata of the tracks", files.tracks)) if not found
    ]
    if missing:
        raise DataError(
            f"the {' and the '.join(missing)} of TalkPlayData-Challenge are not there",
            where=str(source),
            allowed="Parquet files with session_id, user_id, conversations, and with track_id, track_name, artist_name",
            next_step="larpbench dataset fetch talkplay",
        )
    return files


def _interactions(paths: list[Path], owner: str) -> tuple[pl.DataFrame, int]:
    """Return ``listener_id`` and ``track_id`` of the music turns in their order, and how many turns there are."""
    found, turns = [], 0
    for path in paths:
        query = scan_parquet(path).select(pl.col(owner).cast(pl.String).alias("listener_id"), "conversations")
        for part in parts(path, query, _SESSION_ROWS, height_of(path)):
            turn = pl.col("conversations").struct.field
            music = (
                part.explode("conversations")
                .drop_nulls("conversations")
                .select("listener_id", turn("turn_number"), turn("role"), turn("content").alias("track_id"))
                .filter(pl.col("role") == "music")
                .sort("listener_id", "turn_number", maintain_order=True)
            )
            turns += music.height
            named = pl.col("track_id").str.strip_chars()
            found.append(music.select("listener_id", named).filter(pl.col("track_id").fill_null("") != ""))
    interactions = pl.concat(found)
    if interactions.is_empty():
        raise DataError("no session has a turn of the role music with a track", where=str(paths[0]))
    return interactions, turns


def _tracks(paths: list[Path]) -> pl.DataFrame:
    """Return the tracks; of several names the first one counts, and all artists are kept in ``artists``.

    The lists of names, ids and tags have different lengths, and may be empty: none is read beside another.
    """
    frames = []
    for path in paths:
        table = scan_parquet(path)
        schema = table.collect_schema()

        def texts(name: str, schema: pl.Schema = schema) -> pl.Expr:
            column = pl.col(name)
            listed = column if isinstance(schema[name], pl.List) else pl.concat_list(column)
            return listed.list.eval(pl.element().str.strip_chars()).list.eval(pl.element().filter(pl.element() != ""))

        columns = [
            pl.col("track_id").cast(pl.String),
            texts("track_name").list.first().fill_null("").alias("title"),
            texts("artist_name").list.first().fill_null("").alias("artist"),
            texts("album_name").list.first().fill_null("").alias("album"),
            texts("artist_name").alias("artists"),
        ]
        if "tag_list" in schema:
            columns.append(texts("tag_list").alias("tags"))
        if "popularity" in schema:
            columns.append(pl.col("popularity").cast(pl.Float64))
        if "release_date" in schema:
            columns.append(pl.col("release_date").str.to_date("%Y-%m-%d", strict=False))
        if "duration" in schema:
            columns.append((pl.col("duration").cast(pl.Float64) / 1000).alias("duration_s"))
        frames.append(table.select(columns).collect())
    tracks = pl.concat(frames).unique("track_id", keep="first", maintain_order=True)
    without = tracks.filter(pl.col("title") == "").height
    if without:
        progress.say(f"{without} tracks have no title")
    return tracks


def _stage(name: str, paths: list[Path], track_ids: pl.Series, staged: Path) -> None:
    """Write one set of vectors; an empty list is a missing vector."""
    what, trained = _WHAT.get(name, (f"{name} of TalkPlayData-Challenge", "unknown"))
    citation = next((keys for part, keys in _CITATIONS.items() if part in name), ())
    card = VectorCard(
        what=what, by=_BY, licence=LICENCE, training_data=trained, citation=citation, leak=LEAKS.get(name)
    )
    if card.leak:
        card = card.model_copy(update={"what": "factors of listening (BPR), 128 numbers"})
    wanted = set(track_ids.to_list())  # a copy may hold a track in several files, such as all_tracks and test_tracks
    with VectorWriter(staged, name, card) as writer:
        for path in paths:
            query = scan_parquet(path).select(pl.col("track_id").cast(pl.String), name)
            for part in parts(path, query, _VECTOR_ROWS, height_of(path)):
                mine = part.filter(pl.col("track_id").is_in(list(wanted)) & (pl.col(name).list.len() > 0))
                mine = mine.unique("track_id", keep="first", maintain_order=True)
                wanted.difference_update(mine["track_id"].to_list())
                writer.add(*rows_of_lists(mine["track_id"], mine[name]))
