"""A data set folder on disk: its files, how they are read back through their schema, and their digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from larpbench.datasets.artists.graph import (
    ARTIST_COLUMNS,
    ARTISTS,
    EDGE_COLUMNS,
    EDGES,
    FEATURES,
    SONG_COLUMNS,
    SONGS,
    ArtistGraph,
)
from larpbench.datasets.audio_table import AUDIO_FILE_COLUMNS, DatasetAudio, clips_digest
from larpbench.datasets.columns import with_kept
from larpbench.datasets.listeners.table import LISTEN_COLUMNS, LISTENERS, LISTENS
from larpbench.datasets.schema import PLAYLIST_COLUMNS, TEXT_COLUMNS, TRACK_COLUMNS, Dataset, Manifest, SplitRule
from larpbench.errors import DataError, schema_fault, shell_word
from larpbench.fingerprint import (
    CELL_END,
    MISSING,
    digest,
    digest_blocks,
    digest_columns,
    digest_file,
    digest_file_once,
)
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet, scan_parquet

MANIFEST = "dataset.json"
TRACKS = "tracks.parquet"
PLAYLISTS = "playlists.parquet"
AUDIO_FILES = "audio-files.parquet"
_ROWS_AT_A_TIME = 1 << 20
_CELLS_AT_A_TIME = 1 << 16


def refuse_others(output: Path) -> None:
    """Refuse an output that is there and is no data set: better before long work than after it.

    Raises:
        DataError: If it is.
    """
    if output.exists() and not (output.is_dir() and ((output / MANIFEST).is_file() or not any(output.iterdir()))):
        raise something_else(output)


def already_built(output: Path, recipe: str, split: SplitRule) -> Manifest | None:
    """Return the manifest of a data set that the same command has built there, None if there is nothing yet.

    Raises:
        DataError: If there is something else; better said before a long build than after it.
    """
    refuse_others(output)
    if not (output / MANIFEST).is_file():
        return None
    existing = read_manifest(output)
    if existing.recipe == recipe:
        return existing
    if existing.split != split:
        raise something_else(output)
    return None


def made_before(output: Path, source: str) -> Dataset | None:
    """Return the data set that was made from the same source in a folder, None if there is nothing yet.

    Raises:
        DataError: If there is something else.
    """
    refuse_others(output)
    if not (output / MANIFEST).is_file():
        return None
    if read_manifest(output).source != source:
        raise something_else(output)
    return read_dataset(output)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a data set folder.

    Raises:
        DataError: If it is no data set, or the manifest does not fit the schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is no data set folder: it has no {MANIFEST}",
            next_step="larpbench dataset build --help, or larpbench list datasets",
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"the manifest does not fit the schema: {schema_fault(error)}", where=str(path)) from error


def read_dataset(folder: Path, *, as_built: bool = True) -> Dataset:
    """Read a data set folder.

    Args:
        folder: Where it is.
        as_built: Whether its tables must be those that were built; whoever looks for what is wrong reads them anyway.

    Raises:
        DataError: If it is no data set, is damaged, was changed, or does not fit the schema.
    """
    manifest = read_manifest(folder)
    if as_built:
        _require_as_built(folder, manifest)
    tracks = read_table(folder / TRACKS, TRACK_COLUMNS, own=True)
    playlists = read_table(folder / PLAYLISTS, PLAYLIST_COLUMNS, own=True)
    audio = _read_audio(folder, manifest)
    if as_built and not {TRACKS, PLAYLISTS} <= manifest.files.keys():
        _require_digests(folder, manifest, table_digests(tracks, playlists.lazy(), audio))
    graph = _read_graph(folder) if manifest.kind == "artist-graph" else None
    listens = _open_listens(folder, manifest) if manifest.kind == LISTENERS else None
    return Dataset(folder, manifest, tracks, playlists, audio, graph, listens)


def _require_as_built(folder: Path, manifest: Manifest) -> None:
    if manifest.fingerprint != fingerprint_of(manifest.digests):
        raise DataError(
            "the manifest was changed since the data set was built: its fingerprint is not that of its digests",
            where=str(folder / MANIFEST),
            next_step="restore the file, or build the data set anew",
        )
    for name, built in manifest.files.items():
        with storage_errors(folder / name, "read"):
            same = (folder / name).is_file() and digest_file_once(folder / name) == built
        if not same:
            raise DataError(
                "a table of the data set is gone or was changed since it was built: its results would stand under the "
                "name of another data set",
                where=str(folder / name),
                next_step=f"larpbench dataset check {shell_word(folder)} says what is wrong; build it anew, or restore "
                "the file",
            )


def _require_digests(folder: Path, manifest: Manifest, found: Mapping[str, str]) -> None:
    """Compare the content of tables where the manifest does not say which bytes they have."""
    if wrong := [name for name, each in found.items() if manifest.digests.get(name, each) != each]:
        raise DataError(
            f"the tables are not what the manifest says: the digests of {', '.join(wrong)} differ",
            where=str(folder),
            next_step=f"larpbench dataset check {shell_word(folder)} says what is wrong; build it anew, or restore "
            "the files",
        )


def read_table(
    path: Path,
    columns: Mapping[str, type[pl.DataType]],
    newer: Mapping[str, pl.Expr] | None = None,
    *,
    own: bool = False,
) -> pl.DataFrame:
    """Read a Parquet file of the data set and check its columns.

    Args:
        path: The file.
        columns: Those that it has.
        newer: Columns that earlier versions did not write -> what stands for them.
        own: Whether it may have columns of its own, which are kept if their type can be.

    Raises:
        DataError: If it cannot be read or has other columns.
    """
    advice = "build the data set anew (larpbench dataset build), or restore the file"
    with storage_errors(path, "read"):
        try:
            frame = read_parquet(path)
        except TABLE_ERRORS as error:
            first_line = str(error).splitlines()[0]
            raise DataError(f"the file is damaged: {first_line}", where=str(path), next_step=advice) from error
    frame = frame.with_columns(**{name: value for name, value in (newer or {}).items() if name not in frame.columns})
    if own and frame.width > len(columns):
        frame = with_kept(frame, columns)
    stated = {name: kind for name, kind in frame.schema.items() if name in columns or not own}
    if stated != {name: kind() for name, kind in columns.items()}:
        found = ", ".join(f"{name} {kind}" for name, kind in frame.schema.items())
        allowed = ", ".join(f"{name} {kind.__name__}" for name, kind in columns.items())
        raise DataError(f"the table has other columns: {found}", where=str(path), allowed=allowed, next_step=advice)
    return frame


def _read_audio(folder: Path, manifest: Manifest) -> DatasetAudio | None:
    if manifest.audio_root is None or manifest.audio_policy is None:
        return None
    # Earlier versions digested the files' bytes: with these in its place their data sets keep their fingerprint.
    files = read_table(folder / AUDIO_FILES, AUDIO_FILE_COLUMNS, newer={"samples_sha256": pl.col("sha256")})
    return DatasetAudio(manifest.audio_root, manifest.audio_policy, files)


def _read_graph(folder: Path) -> ArtistGraph:
    tables = ((ARTISTS, ARTIST_COLUMNS), (SONGS, SONG_COLUMNS), (EDGES, EDGE_COLUMNS))
    artists, songs, edges = (read_table(folder / name, columns) for name, columns in tables)
    return ArtistGraph(artists, songs, edges, feature_files(folder))


def _open_listens(folder: Path, manifest: Manifest) -> pl.LazyFrame | None:
    """Return the table of listens, of which only the columns are read yet; None where there is none."""
    if "listens" not in manifest.digests:
        return None
    path = folder / LISTENS
    with storage_errors(path, "read"):
        try:
            found = parquet_schema(path)
        except TABLE_ERRORS as error:
            raise DataError(f"the file is damaged: {str(error).splitlines()[0]}", where=str(path)) from error
    if dict(found) != {name: kind() for name, kind in LISTEN_COLUMNS.items()}:
        raise DataError(f"the table has other columns: {', '.join(found)}", where=str(path))
    return scan_parquet(path)


def feature_files(folder: Path) -> dict[str, Path]:
    """Return name -> file of the ready-made artist features in a data set folder."""
    return {path.stem: path for path in sorted((folder / FEATURES).glob("*.npz"))}


def table_digests(
    tracks: pl.DataFrame,
    playlists: pl.LazyFrame,
    audio: DatasetAudio | None,
    graph: ArtistGraph | None = None,
    listens: pl.LazyFrame | None = None,
) -> dict[str, str]:
    """Return the digests of the manifest, each of just what an encoder of one modality, or the protocol, depends on."""
    digests = {
        "tracks.text": digest_blocks(*(_cell_blocks(tracks[column]) for column in ("track_id", "caption"))),
        "tracks.names": digest_blocks(
            *(_cell_blocks(tracks[column].fill_null("")) for column in ("track_id", *TEXT_COLUMNS))
        ),
        "playlists": digest_blocks(*(_text_blocks(playlists, column) for column in PLAYLIST_COLUMNS)),
        "split": digest_blocks(*(_cell_blocks(tracks[column]) for column in ("track_id", "split"))),
    }
    if audio is not None:
        starts = tracks.select("track_id", "clip_start_s")
        clips = starts.join(audio.files, on="track_id", how="left", maintain_order="left")
        digests["tracks.audio"] = clips_digest(clips, audio.policy)
    if listens is not None:
        digests["listens"] = digest_blocks(*(_text_blocks(listens, name) for name in LISTEN_COLUMNS))
    if graph is not None:
        digests["artists"] = digest_columns(*(graph.artists[name] for name in ARTIST_COLUMNS))
        digests["songs"] = digest_columns(*(graph.songs[name] for name in SONG_COLUMNS))
        digests["edges"] = digest_columns(*(graph.edges[name] for name in EDGE_COLUMNS))
        digests |= {f"{FEATURES}.{name}": digest_file(path) for name, path in graph.features.items()}
    return digests


def _cell_blocks(column: pl.Series) -> Iterator[str]:
    """Yield the cells of a column of text for `digest_blocks`."""
    for start in range(0, len(column), _CELLS_AT_A_TIME):
        yield column.slice(start, _CELLS_AT_A_TIME).fill_null(MISSING).str.join(CELL_END)[0]


def _text_blocks(table: pl.LazyFrame, column: str) -> Iterator[str]:
    """Yield the cells of a column for `digest_blocks`, a bounded number of rows at a time."""
    cells = table.select(pl.col(column).cast(pl.String).fill_null(MISSING))
    start = 0
    while (part := cells.slice(start, _ROWS_AT_A_TIME).collect()).height:
        yield part[column].str.join(CELL_END)[0]
        start += part.height


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """Return the fingerprint: the digest of all digests."""
    return digest(dict(digests))


def uncounted_playlists(entries: pl.DataFrame) -> pl.DataFrame:
    """Return the valid and test playlists without a seed or without a held-out track (protocol rule 8).

    Args:
        entries: Whole playlists, columns of ``playlists.parquet``.

    Returns:
        Columns ``playlist_id``, ``split``, ``tracks`` (how many it has) and ``seed``, ``heldout`` (whether it has one).
    """
    evaluated = entries.filter(pl.col("split") != "train")
    has = {role: (pl.col("role") == role).any() for role in ("seed", "heldout")}
    playlists = evaluated.group_by("playlist_id", "split").agg(tracks=pl.len(), **has)
    return playlists.filter(~(pl.col("seed") & pl.col("heldout")))


def something_else(output: Path) -> DataError:
    """Return the error for an output folder that holds another data set or other files."""
    return DataError(
        "the output folder is not empty and holds something else",
        where=str(output),
        next_step="choose another --output, or remove that folder first",
    )
