"""Checks a reproduced part of the committed results: nothing is missing, no number has moved beyond its interval."""

from __future__ import annotations

import sys
from pathlib import Path

import compare_tables

from larpbench.reproduction.targets import OF_PLAYLISTS


def main(committed: Path, reproduced: Path) -> int:
    """Print what is wrong and return how many faults there are."""
    wanted = [f"{name}.{suffix}" for name in OF_PLAYLISTS for suffix in ("md", "tex", "csv")]
    wanted += [f"{name}.{suffix}" for name in OF_PLAYLISTS if name.startswith("figure") for suffix in ("svg", "png")]
    missing = [name for name in wanted if not (committed / name).is_file()]
    for name in missing:
        sys.stdout.write(f"not committed: {committed / name}\n")
    faults = len(missing)
    for path in sorted(reproduced.glob("table*.csv")):
        sys.stdout.write(f"{path.name}: ")
        faults += compare_tables.main(committed / path.name, path)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
