"""Which audio file an entry of a playlist means: the readings of what players write, in one order."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from larpbench.datasets.audio_files.library import AudioLibrary
from larpbench.datasets.sources.folder.playlist_files import Entry

STREAM = "entries that are addresses of streams"
AMBIGUOUS = "entries that fit several audio files"
NO_AUDIO = "entries that are no audio file"
NOWHERE = "entries that lead to no file in the audio folder"
_LONGEST = 32_768  # characters of a path on any system, percent-encoded ones not counted
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE_ADDRESS = re.compile(r"(?:file|smb|cifs|nfs|afp|sftp|ftp|davs?):(?://([^/\\]*))?(.*)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What an entry means.

    Attributes:
        track_id: The track; None if there is none.
        reason: Why there is none; None also for a comment.
        shared_names: How many names at the end of its path are the track's, where only the end is: 1 is the file's
            alone. 0 where the whole path is.
    """

    track_id: str | None = None
    reason: str | None = None
    shared_names: int = 0


def find_track(entry: Entry, playlist: Path, library: AudioLibrary) -> Answer:
    """Return the track that an entry means.

    Its locations are read as written, percent-decoded (the other way round in an address), without the spaces and the
    quotation marks around them, and with backslashes as slashes. Each reading is tried from the playlist's folder, then
    from the library's. First all readings as they are (in any form of Unicode), then along symbolic links, then in
    another letter case; last the longest end of a path that exactly one track has. A line that begins with ``#`` is
    an entry only if it is a file's exact name, else a comment. No file is opened.

    Args:
        entry: The entry.
        playlist: The playlist file.
        library: All audio files.
    """
    locations = [location for location in entry.locations if len(location) <= _LONGEST]
    texts = list(dict.fromkeys(text for location in locations for text in _readings(location, entry.is_url)))
    bases = (playlist.parent.as_posix(), library.root.as_posix())
    paths = [posixpath.normpath(posixpath.join(base, text)) for base in bases for text in texts]
    for path in paths:
        if track_id := library.track_at(path):
            return Answer(track_id)
    if entry.is_comment:
        return Answer()
    inside = False
    for path in paths:
        if os.path.lexists(path):
            real = os.path.realpath(path)
            if track_id := library.track_at(real):
                return Answer(track_id)
            inside |= Path(real).is_relative_to(library.root)
    for path in paths:
        if alike := library.tracks_like(path):
            return Answer(alike[0]) if len(alike) == 1 else Answer(reason=AMBIGUOUS)
    endings = [library.tracks_ending(posixpath.normpath(text)) for text in texts]
    shared_names, alike = max(endings, key=itemgetter(0), default=(0, []))
    if alike:
        return Answer(alike[0], None, shared_names) if len(alike) == 1 else Answer(reason=AMBIGUOUS)
    if inside:
        return Answer(reason=NO_AUDIO)
    return Answer(reason=STREAM if any(map(_is_stream, entry.locations)) else NOWHERE)


def _is_stream(location: str) -> bool:
    return bool(_ADDRESS.match(location.strip()) and not _FILE_ADDRESS.match(location.strip()))


def _readings(location: str, is_url: bool) -> Iterator[str]:
    """Yield the paths that a location may stand for, the likeliest first; a stream's address is none."""
    stripped = location.strip()
    quoted = _QUOTED.fullmatch(stripped)
    for text in (location, stripped, *([quoted[2]] if quoted else [])):
        if _is_stream(text):
            continue
        address = _FILE_ADDRESS.match(text)
        path = _path_of(address) if address else text
        written_and_decoded = [path, _percent_decoded(path)]
        yield from _with_slashes(reversed(written_and_decoded) if address or is_url else written_and_decoded)


def _with_slashes(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield text
        yield text.replace("\\", "/")


def _path_of(address: re.Match[str]) -> str:
    """Return the path of a file's address; ``#`` and ``?`` belong to it, as many players leave them unencoded."""
    host, path = address.groups()
    return path if host in (None, "", "localhost") else f"//{host}{path}"


def _percent_decoded(text: str) -> str:
    return re.sub(r"(?:%[0-9A-Fa-f]{2})+", _decoded_run, text)


def _decoded_run(run: re.Match[str]) -> str:
    data = bytes.fromhex(run[0].replace("%", ""))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
