"""``larpbench convert larp``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from larpbench.errors import shell_word

EPILOG = """Examples:

larpbench convert larp checkpoint_best.pth --output larp-authors

larpbench convert larp checkpoint_best.pth --tokenizer bert-base-uncased --output larp-authors"""

app = typer.Typer(
    help="Convert checkpoints of other programs.",
    no_args_is_help=True,
    epilog="""Example:

larpbench convert larp checkpoint_best.pth --output larp-authors""",
)


@app.callback()
def convert() -> None:
    """Convert checkpoints of other programs."""  # a callback: otherwise typer makes the only command the group


@app.command(epilog=EPILOG)
def larp(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint of the LARP authors' code: .pth, .pt or .safetensors. No code in it is executed."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder to write; new or empty.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder of the text tower's tokenizer, or its name in the hub cache."),
    ] = None,
) -> None:
    """Convert a checkpoint of the LARP authors' code into an encoder."""
    from larpbench.encoders.larp.convert import convert as convert_larp

    summary = convert_larp(checkpoint, output, tokenizer)
    typer.echo(f"matched {summary.matched} tensors of the model, all that it has")
    typer.echo(f"ignored {summary.ignored} tensors of the checkpoint that features do not depend on")
    if summary.needs_tokenizer:
        typer.echo("no tokenizer was found: only :audio works; for text, convert again with --tokenizer DIR")
    typer.echo(str(output))
    view = "" if len(summary.views) > 1 else f":{summary.views[0]}"
    typer.echo(f"next: larpbench run --encoders {shell_word(f'checkpoint:{output}{view}')}")
