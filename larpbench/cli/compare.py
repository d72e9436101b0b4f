"""``larpbench compare``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options

EPILOG = """Examples:

larpbench compare results handcrafted tfidf

larpbench compare results larp-ttc larp-wtc --json"""


def compare(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")],
    first: Annotated[str, typer.Argument(help="First encoder, as named in the table.")],
    second: Annotated[str, typer.Argument(help="Second encoder.")],
    as_json: options.Json = False,
) -> None:
    """Test the difference between two encoders.

    Prints the paired difference on the same playlists, its interval, the p-value and the effect size.
    """
    from larpbench.results.compare import compare_encoders
    from larpbench.results.table import read_tables
    from larpbench.results.writers import to_markdown

    found = compare_encoders(read_tables(results), first, second, str(results))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(line) for line in found.lines], indent=2, ensure_ascii=False))
    else:
        typer.echo(to_markdown([found.sheet()]), nl=False)
