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
    from larpbench.results.compare import compare_encoders
    from larpbench.results.table import read_tables

    chosen = printing.chosen_format(format_, as_json)
    found = compare_encoders(read_tables(results), first, second, str(results))
    if chosen == "json":
        printing.print_json([dataclasses.asdict(line) for line in found.lines])
    else:
        printing.print_sheets([found.sheet()], chosen)
