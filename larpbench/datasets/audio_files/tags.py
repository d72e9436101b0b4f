"""Title, artist, album and what slices and splits are made of, out of an audio file's tags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3

from larpbench.datasets.audio_files.iff_tags import read_iff_texts

LONGEST = 1_000
"""Characters that are kept of a tag: some files carry whole lyrics in their title."""
SEPARATOR = ", "
"""Between several artists of one file."""
_NAMES: dict[str, tuple[str, ...]] = {
    # Vorbis comments and APEv2 (letter case does not matter), ID3, MP4, ASF (WMA), RIFF INFO (WAV), AIFF
    "title": ("title", "TIT2", "\xa9nam", "Title", "INAM", "NAME"),
    "artist": ("artist", "TPE1", "\xa9ART", "Author", "IART", "AUTH"),
    "album": ("album", "TALB", "\xa9alb", "WM/AlbumTitle", "IPRD"),
    "album_artist": ("albumartist", "album artist", "album_artist", "TPE2", "aART", "WM/AlbumArtist", "IAAR"),
    "compilation": ("compilation", "TCMP", "cpil", "WM/IsCompilation"),
    "genre": ("genre", "TCON", "\xa9gen", "WM/Genre", "IGNR"),
    "language": ("language", "TLAN", "WM/Language", "ILNG"),
    "date": ("date", "TDRC", "\xa9day", "WM/Year", "ICRD", "year"),
}
_YEAR = re.compile(r"(?<!\d)(1[5-9]|20)\d\d(?!\d)")
_VARIOUS = {"various artists", "various", "va", "v.a.", "various artist"}
_NO = {"0", "false", "no"}
_GUESTS = re.compile(r"\s+[(\[]?(?:feat|ft|featuring)\b\.?\s", re.IGNORECASE)
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or " " for code in range(0x80, 0xA0)}
"""Control characters that stand where a program wrote Windows-1252 and said Latin-1."""


@dataclass(frozen=True)
class Tags:
    """What a file says of itself: printable text in Unicode's composed form.

    Attributes:
        title: The file's name without its ending, if it has no such tag.
        artist: Several are joined with `SEPARATOR`; the album's artist if it names none; empty if unknown.
        album: Empty if unknown.
        main_artist: The first of the artists, without guests (``feat. ..``); empty if unknown.
        album_artist: Who the album is by; empty if unknown, and where it says "Various Artists".
        compilation: Whether the album is said to be one, or to be by various artists.
        genres: Those that it names.
        languages: Those that it names.
        date: When the recording was released, such as ``2003`` or ``2003-05-12``, as the tag has it; empty if unknown.
        year: The year of that; None if unknown.
    """

    title: str
    artist: str
    album: str
    main_artist: str = ""
    album_artist: str = ""
    compilation: bool = False
    genres: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    date: str = ""
    year: int | None = None


def read_tags(path: Path) -> Tags:
    """Return a file's tags; a file whose tags cannot be read has none."""
    values = _values(path)
    album_artists = values["album_artist"]
    various = SEPARATOR.join(album_artists).casefold() in _VARIOUS
    album_artist = "" if various else _joined(album_artists)
    artists = values["artist"] or ([album_artist] if album_artist else [])
    return Tags(
        title=_joined(values["title"]) or _clean(path.stem)[:LONGEST],
        artist=_joined(artists),
        album=_joined(values["album"]),
        main_artist=_GUESTS.split(artists[0])[0][:LONGEST] if artists else "",
        album_artist=album_artist,
        compilation=various or any(flag.casefold() not in _NO for flag in values["compilation"]),
        genres=tuple(each[:LONGEST] for each in values["genre"]),
        languages=tuple(each[:LONGEST] for each in values["language"]),
        date=values["date"][0][:LONGEST] if values["date"] else "",
        year=next((int(found[0]) for found in map(_YEAR.search, values["date"]) if found), None),
    )


def _values(path: Path) -> dict[str, list[str]]:
    """Return the texts of each field, from the first kind of tag in the file that has it."""
    found: dict[str, list[str]] = {field: [] for field in _NAMES}
    for tags in _all_tags(path):
        found = {field: texts or _first(tags, _NAMES[field]) for field, texts in found.items()}
        if found["title"] and found["artist"] and found["album"]:
            break
    return found


def _all_tags(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the tags that belong to the format, then those that some programs write nevertheless."""
    readers: tuple[Callable[[Path], Any], ...] = (mutagen.File, ID3, APEv2, read_iff_texts)
    for read in readers:
        try:
            found = read(path)
        except Exception:  # mutagen raises what it happens to stumble over in a damaged file
            found = None
        tags = found.tags if isinstance(found, mutagen.FileType) else found
        if tags:
            yield tags


def _first(tags: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the texts of the first name that has any, each once."""
    for name in names:
        try:
            value = tags[name]
        except (KeyError, ValueError):  # mutagen refuses names that are none of the format's
            continue
        # An ID3 frame holds a list; of genres as numbers, mutagen knows the names.
        listed = getattr(value, "genres", None) or getattr(value, "text", value)
        if isinstance(listed, str) or not isinstance(listed, Iterable):
            listed = [listed]
        texts = [_clean(text) for each in listed for text in str(each).split("\x00")]
        if found := list(dict.fromkeys(filter(None, texts))):
            return found
    return []


def _clean(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8").translate(_WINDOWS)
    printable = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)
    return unicodedata.normalize("NFC", printable).strip()


def _joined(values: list[str]) -> str:
    return SEPARATOR.join(values)[:LONGEST]
