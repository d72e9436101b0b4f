"""Lists of names as text: names with commas between them."""

from __future__ import annotations

from pathlib import Path

from larpbench.errors import UsageError


def names(text: str) -> list[str]:
    """Split a list of names at its commas; a comma inside the path of a file that is there separates nothing.

    Raises:
        UsageError: If there is none.
    """
    parts, found = text.split(","), []
    while parts:
        joined = (",".join(parts[:count]) for count in range(1, len(parts) + 1))
        name = next((each for each in joined if _names_a_file(each)), parts[0])
        parts = parts[name.count(",") + 1 :]
        found += [name.strip()] if name.strip() else []
    if not found:
        raise UsageError(f"{text!r} names nothing", allowed="names with commas between them")
    return found


def _names_a_file(name: str) -> bool:
    """Whether a name is ``ENCODER:FILE``, or the folder of a data set, and that is there."""
    encoder, _, path = name.partition(":")
    try:
        paths = (path.strip(), path.strip().rpartition("#")[0])  # FILE, or FILE#COLUMN
        if "," not in encoder and any(each and Path(each).exists() for each in paths):
            return True
        return "," in name and Path(name.strip()).is_dir()
    except (OSError, ValueError):  # longer than a path can be
        return False
