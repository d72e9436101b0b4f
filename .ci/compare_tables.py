"""Compares a reproduced long CSV with the committed one: same rows, and no number outside its committed interval."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

_NUMBERS = {"value", "ci_low", "ci_high", "chance", "ceiling", "n", "seeds", "group", "licence", "note"}
"""All other columns name a row."""
_EXACT = ("chance", "ceiling", "n")
_TOLERANCE = 1e-9
_FLOAT32 = 1e-5  # a value without an interval may differ by the rounding of another CPU


def main(committed: Path, reproduced: Path) -> int:
    """Print every difference and return how many there are."""
    before, after = _read(committed), _read(reproduced)
    faults = [f"missing: {name}" for name in before.keys() - after.keys()]
    faults += [f"not committed: {name}" for name in after.keys() - before.keys()]
    moved = 0.0
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        without_interval = old.get("ci_low", "") in ("", "n/a") or new["value"] in ("", "n/a")
        exact = [each for each in (*_EXACT, "value") if each in old and (without_interval or each != "value")]
        differing = [column for column in exact if _differ(old, new, column)]
        faults += [f"{name}: {column} was {old[column]}, is {new[column]}" for column in differing]
        if without_interval:
            continue
        value = float(new["value"])
        moved = max(moved, abs(value - float(old["value"])))
        if not float(old["ci_low"]) - _TOLERANCE <= value <= float(old["ci_high"]) + _TOLERANCE:
            faults.append(f"{name}: {value} is outside [{old['ci_low']}, {old['ci_high']}]")
    for fault in sorted(faults):
        sys.stdout.write(f"{fault}\n")
    sys.stdout.write(f"{len(before)} numbers compared, largest move {moved:.2e}, {len(faults)} faults\n")
    return min(len(faults), 1)


def _read(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return {
            tuple(text for column, text in row.items() if column not in _NUMBERS): row for row in csv.DictReader(stream)
        }


def _differ(old: dict[str, str], new: dict[str, str], column: str) -> bool:
    try:
        return abs(float(old[column]) - float(new[column])) > (_FLOAT32 if column == "value" else _TOLERANCE)
    except ValueError:
        return old[column] != new[column]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
