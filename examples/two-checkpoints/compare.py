"""Tests two checkpoints on the same playlists and says whether their difference may be chance."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import larpbench
from larpbench.results.compare import compare_encoders, comparison_sheet
from larpbench.results.writers import to_markdown


def main(arguments: Sequence[str]) -> str:
    """Run what is missing and return the comparison as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--output", default="results")
    given = parser.parse_args(arguments)
    encoders = [f"checkpoint:{folder}" for folder in (given.first, given.second)]
    plan = larpbench.plan(larpbench.load_dataset(given.dataset), encoders=encoders, output=given.output)
    larpbench.run(plan)
    return to_markdown([comparison_sheet(compare_encoders(Path(given.output), *encoders), *encoders)])


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]))
