"""Paths in what is kept: records, tables and pages hold the names of files, never the folders of a user's machine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

_ABSOLUTE = re.compile(r"(?<![\w:/.])(?:~?/|[A-Za-z]:\\)(?:[^\s/\\'\":,;()]+[/\\])+")
_ENDINGS = re.compile(r"[#:@]")


def without_folders(argument: str) -> str:
    """Return an encoder's argument with the path of a file or folder in it cut to its name.

    What follows the path, such as ``#column`` or ``:audio``, stays. A name of the Hugging Face hub is no path, unless a
    folder of that name is there.
    """
    ends = [len(argument), *sorted((found.start() for found in _ENDINGS.finditer(argument)), reverse=True)]
    for end in ends:
        if end and _exists(path := _path(argument[:end])):
            return (path.name or path.resolve().name) + argument[end:]
    return hide_folders(argument) if "/" in argument or "\\" in argument else argument


def shown_encoder(name: str) -> str:
    """Return the name of an encoder, without a label, as results have it: see `without_folders`."""
    base, colon, argument = name.partition(":")
    return base + colon + without_folders(argument)


def hide_folders(text: str, folders: Iterable[Path] = ()) -> str:
    """Return a text with every absolute path in it cut to its last part.

    Args:
        text: Such as the message of an error.
        folders: Folders that may be named in it, whatever characters they hold.
    """
    known = {str(each) for each in (*folders, Path.home(), Path.cwd(), Path(tempfile.gettempdir()))} - {"/", "."}
    for folder in sorted(known, key=len, reverse=True):
        text = re.sub(rf"{re.escape(folder)}(?=[/\\])", "/…", text)
    return _ABSOLUTE.sub("", text).replace("/…/", "")


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than a path can be
        return False
