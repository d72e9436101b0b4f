"""The summary that every data set builder prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from larpbench.errors import printable, shell_word

if TYPE_CHECKING:
    from larpbench.datasets.schema import Manifest


def print_built(folder: Path, manifest: Manifest) -> None:
    """Print sizes, dropped tracks and playlists by reason, licence and fingerprint, and warnings."""
    from larpbench.datasets.build_report import build_warnings, kept_and_dropped

    for name in ("train", "valid", "test"):
        if manifest.kind == "artist-graph":
            artists, edges = manifest.counts[f"{name}.artists"], manifest.counts[f"edges.{name}-{name}"]
            typer.echo(f"{name:5}  {artists:8} artists  {edges:8} edges among them")
            continue
        playlists, tracks = manifest.counts[f"{name}.playlists"], manifest.counts[f"{name}.tracks"]
        typer.echo(f"{name:5}  {playlists:8} playlists  {tracks:8} tracks")
    if without_artist := manifest.counts.get("tracks.without_artist"):
        tracks = sum(manifest.counts[f"{name}.tracks"] for name in ("train", "valid", "test"))
        typer.echo(f"{without_artist} of {tracks} tracks have no artist; their captions contain none")
    for reason, count in manifest.left_out.items():
        typer.echo(printable(f"left out: {count} {reason}"))
    for line in kept_and_dropped(manifest):
        typer.echo(printable(line))
    typer.echo(f"licence: {manifest.licence}")
    typer.echo(f"fingerprint {manifest.fingerprint}")
    typer.echo(f"{folder}   (verify it: larpbench dataset check {shell_word(folder)})")
    for warning in build_warnings(manifest):
        typer.echo(f"warning: {warning}", err=True)
