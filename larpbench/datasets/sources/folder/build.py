"""Data sets out of anybody's music library: a folder of audio, and playlists as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.audio_files.library import (
    AUDIO_SUFFIXES,
    AudioLibrary,
    composed,
    find_library,
    folder_without_links,
    name_fault,
    walk,
)
from larpbench.datasets.audio_files.tags import Tags, read_tags
from larpbench.datasets.audio_files.usable import audible_tracks
from larpbench.datasets.files import refuse_others
from larpbench.datasets.left_out import LeftOut, in_words, with_names
from larpbench.datasets.schema import Dataset
from larpbench.datasets.sources.folder.albums import album_groups, artist_groups
from larpbench.datasets.sources.folder.playlist_files import PLAYLIST_READERS, read_playlist
from larpbench.datasets.sources.folder.playlist_lookup import find_track
from larpbench.errors import DataError, LarpbenchError

NO_PLAYLISTS = (
    "The groups are {groups}, not playlists: nobody chose these tracks to be heard together, so this is no evidence of "
    "how well an encoder continues playlists."
)


def build_folder(
    audio: Path, playlists: Path | None, options: BuildOptions, policy: AudioPolicy, output: Path
) -> Dataset:
    """Build a data set from a folder of audio files.

    A track's id is its path below `audio`, in Unicode's composed form. Tags of genre, language and date become columns
    of the tracks: ``genre``, ``language``, ``release_year``. Without playlists, albums are the groups, or
    artists where no album has two tracks; every table then says so.

    Args:
        audio: Folder of audio files, at any depth.
        playlists: Folder of M3U, M3U8, PLS and XSPF files, at any depth.
        options: How to split and caption.
        policy: How clips are cut.
        output: Folder to write.

    Raises:
        DataError: If there is nothing usable, or a folder is missing.
    """
    options.drawn_rule()  # refuses options that contradict each other before anything is read
    refuse_others(output)
    root = folder_without_links(audio)
    lists = folder_without_links(playlists) if playlists else None
    left_out = LeftOut()
    library = find_library(root, left_out)
    if not library.files:
        raise DataError(
            f"there are no audio files in {audio}", allowed=f"files that end with {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    ids = pl.DataFrame({"track_id": sorted(library.files)})
    audible = audible_tracks(ids, library.files, root, policy, options.split_seed)
    if audible.tracks.is_empty():
        reasons = in_words(left_out.by_reason() | audible.left_out)
        raise DataError(f"none of the {len(library.files)} audio files can be used: {reasons}", where=str(audio))
    tags = {track_id: read_tags(library.files[track_id]) for track_id in audible.tracks["track_id"]}
    if lists is None:
        entries, groups = _groups(tags)
        options = replace(options, notes=(*options.notes, NO_PLAYLISTS.format(groups=groups)))
    else:
        entries = _playlist_entries(lists, library, set(tags), left_out)
    texts = {name: [getattr(each, name) for each in tags.values()] for name in ("title", "artist", "album")}
    columns = [pl.Series(name, column, pl.String) for name, column in texts.items()]
    return assemble(
        audible.tracks.with_columns(*columns, *_own_columns(list(tags.values()))),
        entries,
        options,
        output,
        audio=audible.audio,
        left_out=left_out.by_reason() | audible.left_out,
    )


def _own_columns(tags: list[Tags]) -> list[pl.Series]:
    """Return the columns ``genre``, ``language``, ``date`` and ``release_year``, of those that some file has."""
    columns = [
        pl.Series("genre", [list(each.genres) for each in tags], pl.List(pl.String)),
        pl.Series("language", [list(each.languages) for each in tags], pl.List(pl.String)),
        pl.Series("date", [each.date or None for each in tags], pl.String),
        pl.Series("release_year", [each.year for each in tags], pl.Int64),
    ]
    return [column for column in columns if column.explode().drop_nulls().len()]


def _groups(tags: Mapping[str, Tags]) -> tuple[pl.DataFrame, str]:
    for name, groups in (("albums", album_groups(tags)), ("artists", artist_groups(tags))):
        if len(set(groups.values())) < len(groups):
            return pl.DataFrame({"playlist_id": list(groups.values()), "track_id": list(groups)}), name
    raise DataError(
        "there are no playlists, and no two tracks share an album or artist in their tags",
        next_step="give playlists (--playlists DIR), or tag the files",
    )


def _playlist_entries(folder: Path, library: AudioLibrary, usable: set[str], left_out: LeftOut) -> pl.DataFrame:
    rows: list[tuple[str, str]] = []
    by_ending: list[tuple[int, str]] = []
    ids = _playlist_ids(folder, left_out)
    with progress.stage("playlists", len(ids), "files", brief=True) as advance:
        for path, playlist_id in ids.items():
            advance(1)
            name = path.relative_to(folder).as_posix()
            try:
                entries = read_playlist(path)
            except LarpbenchError as error:
                left_out.add("playlist files that cannot be read", f"{name}: {error.what}")
                continue
            before = len(rows)
            for entry in entries:
                answer = find_track(entry, path, library)
                if answer.track_id in usable:
                    rows.append((playlist_id, answer.track_id))
                elif answer.track_id is not None:
                    left_out.add("entries whose audio cannot be used", answer.track_id)
                elif answer.reason is not None:
                    left_out.add(answer.reason, entry.locations[0])
                if answer.shared_names:
                    by_ending.append((answer.shared_names, f"{answer.track_id} for {entry.locations[0].strip()}"))
            if len(rows) == before:
                left_out.add("playlists without an entry that can be used", name)
    if not rows:
        raise DataError(
            f"{len(ids)} playlist files in {folder} name no audio file below {library.root}"
            if ids
            else f"there are no playlist files in {folder}",
            where=in_words(left_out.by_reason()),
            allowed="M3U, M3U8, PLS or XSPF with paths that lead into --audio",
        )
    if by_ending:
        names_alone = sum(shared_names == 1 for shared_names, _ in by_ending)
        shown = [name for _, name in sorted(by_ending, key=itemgetter(0))[:3]]
        what = f"entries were found by the end of their path, {names_alone} of them by the file's name alone"
        progress.say(f"playlists: {len(by_ending)} {with_names(what, shown, len(by_ending))}")
    return pl.DataFrame(rows, schema={"playlist_id": pl.String, "track_id": pl.String}, orient="row")


def _playlist_ids(folder: Path, left_out: LeftOut) -> dict[Path, str]:
    """Return playlist file -> id: its path without the ending, or with it where two files would have the same id."""
    whole: dict[str, Path] = {}
    for path in walk(folder, left_out):
        if path.suffix.lower() not in PLAYLIST_READERS:
            continue
        name = path.relative_to(folder).as_posix()
        if fault := name_fault(name):
            left_out.add(f"playlist files whose name {fault}", name)
        elif composed(name) in whole:
            left_out.add("playlist files with the id of another file", name)
        else:
            whole[composed(name)] = path
    ids = {name: name[: -len(path.suffix)] for name, path in whole.items()}
    while torn := {name for name, count in Counter(ids.values()).items() if count > 1}:
        ids |= {name: name for name, playlist_id in ids.items() if playlist_id in torn}
    return {path: ids[name] for name, path in whole.items()}
