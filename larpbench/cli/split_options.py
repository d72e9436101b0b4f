"""Options of the builders that say how the split is drawn."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from larpbench.cli import options

TrainTracks = Annotated[int | None, typer.Option("--train-tracks", min=1, help="Number of train tracks.")]
ValidPlaylists = Annotated[int | None, typer.Option("--valid-playlists", min=1, help="Number of valid playlists.")]
TestPlaylists = Annotated[int | None, typer.Option("--test-playlists", min=1, help="Number of test playlists.")]
ArtistDisjoint = Annotated[bool, typer.Option("--artist-disjoint", help="Put every artist into one split only.")]
SplitBy = Annotated[
    str | None,
    typer.Option(
        "--split-by",
        metavar="COLUMN:A,B",
        help="Split the tracks by a column of years, dates or numbers: train before A, valid before B, test from B.",
    ),
]
TrainFraction = Annotated[
    float | None,
    typer.Option(
        "--train-fraction",
        callback=options.share,
        help="Fraction of train (default 0.7); 0 puts every playlist in test. Only where the builder draws shares.",
    ),
]
MinLength = Annotated[
    int | None,
    typer.Option(
        "--min-length",
        min=1,
        help="Drop playlists with fewer tracks of their split (default 5). Only where the builder splits.",
    ),
]
Task = Annotated[
    Literal["continuation", "cold-tracks"] | None,
    typer.Option(
        "--task",
        help="Task that the data set is for: continuation (the usual default), or cold-tracks: playlists are known "
        "listeners, and only tracks are split.",
    ),
]
ColdFraction = Annotated[
    float | None,
    typer.Option(
        "--cold-fraction",
        help="With --task cold-tracks: fraction of the tracks that nobody plays in train (default 0.1); two thirds of "
        "them are test, one third valid.",
    ),
]
