"""``larpbench compare``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options, printing

EPILOG = """Examples:

larpbench compare results handcrafted tfidf

larpbench compare results larp-ttc larp-wtc --format latex

larpbench compare results larp-ttc larp-wtc --json"""


def compare(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")],
    first: Annotated[str, typer.Argument(help="First encoder, as named in the table.")],
    second: Annotated[str, typer.Argument(help="Second encoder.")],
    format_: printing.Format = None,
    as_json: options.Json = False,
) -> None:
    """Test the difference between two encoders.

    Prints the paired difference on the same playlists, its interval, the p-value and the effect size.
    """
    from larpbench.results.compare import compare_encoders, comparison_sheet

    chosen = printing.chosen_format(format_, as_json)
    lines = compare_encoders(results, first, second)
    if chosen == "json":
        printing.print_json([dataclasses.asdict(line) for line in lines])
    else:
        printing.print_sheets([comparison_sheet(lines, first, second)], chosen)
