"""``larpbench check``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from larpbench.cli import options
from larpbench.errors import MissingPartError

EPILOG = """Examples:

larpbench check tfidf

larpbench fetch clap-pt && larpbench check clap-pt --golden"""


def check(
    name: Annotated[str, typer.Argument(help="Encoder name: larpbench list encoders.")],
    golden: Annotated[
        bool, typer.Option("--golden", help="Compare it with the original code too: the stored reference, and itself.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say what an encoder keeps to and what it does not, of all that larpbench relies on; exit code 1 if it fails."""
    from larpbench.encoders.names import get_encoder
    from larpbench.testing import check_encoder, check_reference

    spec = get_encoder(name)
    status = spec.status()
    if status.state != "ready" and not (golden and status.state == "missing-weights"):
        raise MissingPartError(f"encoder {name!r} cannot run: {status.text}", next_step=status.next_step)
    checks = check_encoder(spec) if status.state == "ready" else []
    checks += check_reference(spec) if golden else []
    failed = [each for each in checks if each.outcome == "fail"]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in checks], indent=2, ensure_ascii=False))
    else:
        width = max(len(each.name) for each in checks)
        for each in checks:
            advice = f"; next: {each.advice}" if each.advice else ""
            typer.echo(f"{each.outcome:7}  {each.name:{width}}  {each.detail}{advice}".rstrip())
        counts = Counter(each.outcome for each in checks)
        typer.echo(f"{spec.identity}: {', '.join(f'{counts[name]} {name}' for name in sorted(counts))}")
    if failed:
        raise typer.Exit(1)
