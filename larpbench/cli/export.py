"""``larpbench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

larpbench export mteb demo

larpbench export mteb my-data --output my-data-mteb"""

app = typer.Typer(
    help="Export data sets for other evaluation libraries.",
    no_args_is_help=True,
    epilog="""Example:

larpbench export mteb my-data --output my-data-mteb""",
)


@app.callback()
def export() -> None:
    """Export data sets for other evaluation libraries."""  # a callback, see convert


@app.command(epilog=EPILOG)
def mteb(
    dataset: Annotated[str, typer.Argument(help="Name or folder of a data set of playlists: larpbench list datasets.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder to write, new or empty; by default mteb-NAME.")
    ] = None,
) -> None:
    """Write a data set as a retrieval task of mteb.

    The folder holds the captions of the test tracks, the test playlists and a Python file with the task class. With it,
    mteb evaluates text models on playlist continuation and gives the same recall and NDCG as the recommender itemknn.
    The export needs no mteb; the extra larpbench[mteb] installs it.
    """
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.export.mteb import export_mteb
    from larpbench.storage import slug

    data = load_dataset(dataset)
    output = output or Path(f"mteb-{slug(data.name)}")
    task = export_mteb(data, output)
    for reason, count in task.left_out.items():
        typer.echo(f"left out: {count} playlists with {reason}", err=True)
    typer.echo(f"{output}   ({task.tracks} tracks, {task.playlists} playlists)")
    typer.echo(f"next: {output / 'README.md'} shows how mteb runs it", err=True)
