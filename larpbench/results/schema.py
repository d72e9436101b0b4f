"""Prints the JSON Schema of a record: ``python -m larpbench.results.schema``."""

from __future__ import annotations

import json
import sys

from larpbench.results.record import CellRecord


def schema_text() -> str:
    """Return the JSON Schema as indented text."""
    return json.dumps(CellRecord.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
