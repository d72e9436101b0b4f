"""What of the records of a results folder must not depend on where they were computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_OF_THE_TIME = ("costs", "created", "created_at")


def values_of(folder: Path) -> dict[str, Any]:
    """Return every record without what it cost and when; the digest of its lists is in it."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text())
        for name in _OF_THE_TIME:
            record.pop(name, None)
        found[str(path.relative_to(folder))] = record
    return found
