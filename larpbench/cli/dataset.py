"""``larpbench dataset fetch | build | check | stats``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import (
    dataset_collections,
    dataset_facts,
    dataset_fetch,
    dataset_graphs,
    dataset_published,
    options,
    split_options,
)
from larpbench.cli.build_summary import print_built

app = typer.Typer(
    help="Fetch, build, verify and describe data sets.",
    no_args_is_help=True,
    epilog="""Examples:

larpbench dataset build csv --tracks tracks.csv --playlists playlists.csv --output my-data

larpbench dataset check my-data

larpbench dataset stats my-data""",
)
build = typer.Typer(
    help="Build a data set folder.",
    no_args_is_help=True,
    epilog="""Examples:

larpbench dataset build csv --tracks tracks.csv --playlists playlists.csv --output my-data

larpbench dataset build folder --audio library --playlists playlists --output my-music

larpbench dataset build mpd --source spotify_million_playlist_dataset.zip""",
)
app.add_typer(build, name="build")
app.command(epilog=dataset_fetch.EPILOG)(dataset_fetch.fetch)
app.command(epilog=dataset_facts.CHECK_EPILOG)(dataset_facts.check)
app.command(epilog=dataset_facts.STATS_EPILOG)(dataset_facts.stats)
build.command("mpd", epilog=dataset_published.MPD_EPILOG)(dataset_published.build_mpd)
build.command("lfm", epilog=dataset_published.LFM_EPILOG)(dataset_published.build_lfm)
build.command("onion", epilog=dataset_collections.ONION_EPILOG)(dataset_collections.build_onion)
build.command("yambda", epilog=dataset_collections.YAMBDA_EPILOG)(dataset_collections.build_yambda)
build.command("talkplay", epilog=dataset_collections.TALKPLAY_EPILOG)(dataset_collections.build_talkplay)
build.command("melon", epilog=dataset_collections.MELON_EPILOG)(dataset_collections.build_melon)
build.command("aotm", epilog=dataset_collections.AOTM_EPILOG)(dataset_collections.build_aotm)
build.command("olga", epilog=dataset_graphs.OLGA_EPILOG)(dataset_graphs.build_olga)
build.command("disco-olga", epilog=dataset_graphs.DISCO_EPILOG)(dataset_graphs.build_disco_olga)
build.command("artist-graph", epilog=dataset_graphs.GRAPH_EPILOG)(dataset_graphs.build_artist_graph)
build.command("toy-artists", epilog=dataset_graphs.TOY_EPILOG)(dataset_graphs.build_toy_artists)

_Output = Annotated[Path, typer.Option("--output", help="Folder to write; its name is the data set's name.")]

_ClipSeconds = Annotated[
    float,
    typer.Option(
        "--clip-seconds",
        min=0.1,
        max=3600,
        callback=options.finite,
        help="Length of the clip of each track that audio encoders get, in seconds.",
    ),
]
_Licence = Annotated[str, typer.Option("--licence", help="Licence of the data; it is kept with every result.")]


@build.command(
    "csv",
    epilog="""Examples:

larpbench dataset build csv --tracks tracks.csv --playlists playlists.csv --output my-data

larpbench dataset build csv --tracks tracks.csv --playlists playlists.csv --audio library --output my-data

larpbench dataset build csv --tracks t.parquet --playlists p.parquet --train-fraction 0 --min-length 2 --output D

larpbench dataset build csv --tracks t.csv --playlists p.csv --split-by release_year:2020,2022 --output by-year

larpbench dataset build csv --tracks t.csv --playlists p.csv --test-playlists 1000 --artist-disjoint --output small

larpbench dataset build csv --playlists entries.tsv --columns 'track_id=uri,title="Song name"' --output my-data

larpbench dataset build csv --playlists exported-playlists --max-bad-rows 0.05 --output my-data

larpbench dataset build csv --tracks t.csv --playlists listens.csv --task cold-tracks --cold-fraction 0.2 --output cold

larpbench dataset build csv --tracks t.csv --playlists listens.csv --task cold-tracks \
--split-by first_time:2025-01-01,2025-03-01 --output cold-by-time""",
)
def build_csv(
    context: typer.Context,
    playlists: Annotated[
        Path,
        typer.Option(
            help="CSV or Parquet: playlist_id,track_id[,split,role] with one row for each entry, or one row for each "
            "playlist with a list of ids; or a folder with one table for each playlist. Further columns are kept."
        ),
    ],
    output: _Output,
    tracks: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet: track_id,title,artist,album[,audio,split]; further columns (genre, language, ..) are "
            "kept. Without this option the table of playlists must have these columns."
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(help="Folder of the paths in column audio. Without this option the data set has no audio."),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(help='Columns with other names, as OURS=THEIRS: track_id=track_uri,title="Track Name".'),
    ] = "",
    max_bad_rows: Annotated[
        float,
        typer.Option(help="Largest fraction of unreadable rows that may be dropped; 0 allows none."),
    ] = 0.01,
    split_rule: options.Rule = None,
    split_by: split_options.SplitBy = None,
    train_tracks: split_options.TrainTracks = None,
    valid_playlists: split_options.ValidPlaylists = None,
    test_playlists: split_options.TestPlaylists = None,
    artist_disjoint: split_options.ArtistDisjoint = False,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    task: split_options.Task = None,
    cold_fraction: split_options.ColdFraction = None,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    clip_seconds: _ClipSeconds = 10.0,
    licence: _Licence = "unknown",
) -> None:
    """Build a data set from tables of tracks and playlists.

    Columns split (train, valid, test) and role (seed, heldout) are used as they are. Without them the builder makes the
    cold-start split. If a playlist stands in two given splits and no track does, or with --task cold-tracks, playlists
    are known listeners: only tracks are split, and columns count and first_time are kept. With --audio, tracks without
    usable audio are dropped; the build reports how many, by reason. Common column names of other programs (Track URI,
    track_name, pid, ..), separators and encodings are recognised and printed.
    """
    from larpbench.audio.policy import AudioPolicy
    from larpbench.datasets.assemble import BuildOptions
    from larpbench.datasets.reading.column_names import parse_columns
    from larpbench.datasets.reading.playlist_tables import COLUMNS
    from larpbench.datasets.sources.csv import build_csv as build_from_tables
    from larpbench.errors import UsageError

    if audio is None and options.given(context, ("clip_seconds",)):
        raise UsageError(
            "--clip-seconds has no effect without audio", allowed="--clip-seconds together with --audio FOLDER"
        )
    source = f"tables {tracks.name} and {playlists.name}" if tracks else f"table {playlists.name}"
    chosen = BuildOptions(
        name=output.resolve().name,
        source=source,
        licence=licence,
        caption_template=caption,
        split_seed=seed,
        split_rule=split_rule,
        train_fraction=train_fraction,
        min_length=min_length,
        split_by=split_by,
        train_tracks=train_tracks,
        valid_playlists=valid_playlists,
        test_playlists=test_playlists,
        artist_disjoint=artist_disjoint,
        task=task,
        cold_fraction=cold_fraction,
    )
    built = build_from_tables(
        tracks,
        playlists,
        chosen,
        output,
        audio=audio,
        policy=AudioPolicy(clip_seconds=clip_seconds),
        columns=parse_columns(columns, COLUMNS),
        max_bad_rows=max_bad_rows,
    )
    print_built(built.folder, built.manifest)


@build.command(
    "folder",
    epilog="""Examples:

larpbench dataset build folder --audio library --playlists playlists --output my-music

larpbench dataset build folder --audio library --train-fraction 0 --min-length 2 --output albums

larpbench dataset build folder --audio library --playlists lists --split-by date:2015,2020 --output by-date""",
)
def build_folder(
    audio: Annotated[
        Path, typer.Option(help="Folder of audio files, at any depth; their paths below it are the track ids.")
    ],
    output: _Output,
    playlists: Annotated[
        Path | None,
        typer.Option(
            help="Folder of M3U, M3U8, PLS and XSPF files. Without this option albums or artists are the playlists."
        ),
    ] = None,
    split_rule: options.Rule = None,
    split_by: split_options.SplitBy = None,
    train_tracks: split_options.TrainTracks = None,
    valid_playlists: split_options.ValidPlaylists = None,
    test_playlists: split_options.TestPlaylists = None,
    artist_disjoint: split_options.ArtistDisjoint = False,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    clip_seconds: _ClipSeconds = 10.0,
    licence: _Licence = "unknown",
) -> None:
    """Build a data set from a music library.

    Reads tags, audio and playlist files. Every clip is decoded once. Missing, corrupt, empty, silent and too-short
    files are dropped; the build reports how many, by reason.
    """
    from larpbench.audio.policy import AudioPolicy
    from larpbench.datasets.assemble import BuildOptions
    from larpbench.datasets.sources.folder.build import build_folder as build_library

    chosen = BuildOptions(
        name=output.resolve().name,
        source="a folder of audio files and " + ("playlists" if playlists else "their tags"),
        licence=licence,
        caption_template=caption,
        split_seed=seed,
        split_rule=split_rule,
        train_fraction=train_fraction,
        min_length=min_length,
        split_by=split_by,
        train_tracks=train_tracks,
        valid_playlists=valid_playlists,
        test_playlists=test_playlists,
        artist_disjoint=artist_disjoint,
    )
    built = build_library(audio, playlists, chosen, AudioPolicy(clip_seconds=clip_seconds), output)
    print_built(built.folder, built.manifest)


@build.command(
    "demo",
    epilog="""Examples:

larpbench dataset build demo --output demo

larpbench dataset build demo --seed 7 --no-private-noise --output second-world""",
)
def build_demo(
    output: _Output,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=options.LARGEST_SEED, help="Seed of another world; the default gives the data set demo."
        ),
    ] = None,
    private_noise: Annotated[
        bool, typer.Option("--private-noise/--no-private-noise", help="Add independent noise to audio and text.")
    ] = True,
) -> None:
    """Build the demo data set or a variant of it."""
    from larpbench.datasets.demo.build import build_demo as build_world
    from larpbench.datasets.demo.world import WorldSpec

    default = WorldSpec()
    spec = WorldSpec(seed=default.seed if seed is None else seed, private_noise=private_noise)
    built = build_world(output, spec)
    print_built(built.folder, built.manifest)
