"""Weights do not change under one revision: what a file was when it was first used is recorded, and a change refused.

A file is known by its model, commit and name on the hub, or by its address. Its digest is the one that larpbench knows,
else the one that was recorded: in the home folder, which outlives the folder of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from larpbench import storage
from larpbench.errors import DataError


def recorded(memory: Path) -> dict[str, str]:
    """Return what a file is known by -> sha256, of all that were used so far.

    Args:
        memory: The file that holds it; it may be missing.
    """
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def require_unchanged(memory: Path, found: Mapping[str, tuple[str, str]], where: Path | str, record: bool) -> None:
    """Refuse files that were others when they were first used.

    Args:
        memory: The file that holds what was recorded.
        found: What a file is known by -> its sha256 now, and the one that it must have; the latter is empty if only
            the record tells.
        where: Where the files lie, for the message.
        record: Whether to record those that are new.

    Raises:
        DataError: If a file has changed.
    """
    before = recorded(memory)
    for known_by, (digest, expected) in found.items():
        must = expected or before.get(known_by, digest)
        if digest != must:
            forget = "" if expected else f"; to trust the new file, delete its line in {memory}"
            raise DataError(
                f"{known_by} has changed: expected sha256 {must}, found {digest}",
                where=str(where),
                allowed="the file of that revision as it was",
                next_step=f"delete {where} and run larpbench fetch ENCODER again{forget}",
            )
    fresh = {known_by: digest for known_by, (digest, _) in found.items() if known_by not in before}
    if fresh and record:
        storage.write_text(memory, json.dumps(before | fresh, indent=2, sort_keys=True) + "\n")
