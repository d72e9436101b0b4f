"""Tests two checkpoints on the same playlists and says whether their difference may be chance."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import larpbench
from larpbench.results.writers import to_markdown


def main(arguments: Sequence[str]) -> str:
    """Run what is missing and return the comparison as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--output", default="results")
    given = parser.parse_args(arguments)
    encoders = {"first": f"checkpoint:{given.first}", "second": f"checkpoint:{given.second}"}
    results = larpbench.evaluate(encoders, given.dataset, output=given.output)
    return to_markdown([results.compare("first", "second").sheet()])


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]))
