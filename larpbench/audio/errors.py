"""What can be wrong with an audio file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from larpbench.errors import DataError

Reason = Literal["missing", "unreadable", "empty", "too short", "silent", "not finite"]
"""Why a file cannot be used: no such file; no audio, damaged, or not allowed to be read; no samples; less sound than
needed; nothing above the silence level; NaN or infinity among the samples."""


class UnusableAudio(DataError):  # noqa: N818 (it is a finding about a file, which builders count, more than a fault)
    """An audio file from which no clip can be taken.

    Args:
        reason: One of the few words by which data set builders count what they leave out.
        path: The file.
        detail: More about it.
    """

    def __init__(self, reason: Reason, path: Path, detail: str) -> None:
        self.reason, self.path, self.detail = reason, path, detail
        super().__init__(f"audio {reason}: {detail}", where=str(path))


class CannotDecodeError(Exception):
    """One decoder gives up on a file; another may not."""
