"""``larpbench dataset build | check | stats``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import dataset_graphs, dataset_published, options
from larpbench.cli.built import print_built

if TYPE_CHECKING:
    import polars as pl

    from larpbench.datasets.artists.graph import ArtistGraph
    from larpbench.datasets.schema import Dataset, SplitName

app = typer.Typer(help="Build, verify and describe data sets.", no_args_is_help=True)
build = typer.Typer(help="Build a data set folder.", no_args_is_help=True)
app.add_typer(build, name="build")
build.command("mpd", epilog=dataset_published.MPD_EPILOG)(dataset_published.build_mpd)
build.command("lfm", epilog=dataset_published.LFM_EPILOG)(dataset_published.build_lfm)
build.command("olga", epilog=dataset_graphs.OLGA_EPILOG)(dataset_graphs.build_olga)
build.command("disco-olga", epilog=dataset_graphs.DISCO_EPILOG)(dataset_graphs.build_disco_olga)
build.command("artist-graph", epilog=dataset_graphs.GRAPH_EPILOG)(dataset_graphs.build_artist_graph)
build.command("toy-artists", epilog=dataset_graphs.TOY_EPILOG)(dataset_graphs.build_toy_artists)

_Output = Annotated[Path, typer.Option("--output", help="Folder to write; its name is the data set's name.")]
_Dataset = Annotated[str, typer.Argument(help="Folder or name of a data set.")]


_TrainFraction = Annotated[
    float | None,
    typer.Option(
        "--train-fraction",
        callback=options.share,
        help="Fraction of train (default 0.7); 0 puts every playlist in test. Only where the builder splits.",
    ),
]
_MinLength = Annotated[
    int | None,
    typer.Option(
        "--min-length",
        min=1,
        help="Drop playlists with fewer tracks of their split (default 5). Only where the builder splits.",
    ),
]
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

larpbench dataset build csv --playlists entries.tsv --columns 'track_id=uri,title="Song name"' --output my-data

larpbench dataset build csv --playlists exported-playlists --max-bad-rows 0.05 --output my-data""",
)
def build_csv(
    context: typer.Context,
    playlists: Annotated[
        Path,
        typer.Option(
            help="CSV or Parquet: playlist_id,track_id[,split,role] with one row for each entry, or one row for each "
            "playlist with a list of ids; or a folder with one table for each playlist."
        ),
    ],
    output: _Output,
    tracks: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet: track_id,title,artist,album[,audio,split]. Without this option the table of "
            "playlists must have these columns."
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
    train_fraction: _TrainFraction = None,
    min_length: _MinLength = None,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    clip_seconds: _ClipSeconds = 10.0,
    licence: _Licence = "unknown",
) -> None:
    """Build a data set from tables of tracks and playlists.

    Columns split (train, valid, test) and role (seed, heldout) are used as they are. Without them the builder makes the
    cold-start split. With --audio, tracks without usable audio are dropped; the build reports how many, by reason.
    Common column names of other programs (Track URI, track_name, pid, ..), separators and encodings are recognised and
    printed.
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

larpbench dataset build folder --audio library --train-fraction 0 --min-length 2 --output albums""",
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
    train_fraction: _TrainFraction = None,
    min_length: _MinLength = None,
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


@app.command(epilog="Example: larpbench dataset check my-data")
def check(dataset: _Dataset, as_json: options.Json = False) -> None:
    """Verify a data set.

    Checks that no id is in two splits, and checks roles, counts, digests and audio files. Also prints the artists,
    albums and titles that the splits share. The exit code is 1 if a check fails.
    """
    import polars as pl

    from larpbench.datasets.check import check_dataset
    from larpbench.datasets.files import read_dataset
    from larpbench.datasets.splits.overlaps import copies_within, split_overlaps
    from larpbench.errors import printable

    folder = _folder(dataset)
    findings = check_dataset(folder)
    data = read_dataset(folder, as_built=False)
    overlaps, copies = split_overlaps(data), copies_within(data)
    if as_json:
        found = [{"what": each.what, "ok": each.ok, "detail": each.detail} for each in findings]
        whole = {"findings": found, "overlaps": overlaps.to_dicts(), "copies": copies.to_dicts()}
        typer.echo(json.dumps(whole, indent=2))
    else:
        for each in findings:
            typer.echo(printable(f"{'ok ' if each.ok else 'BAD'}  {each.what}: {each.detail}"))
        if data.graph is None:
            _print_overlaps(overlaps, copies)
    for of, tracks in copies.filter(pl.col("tracks") > 0).select("of", "tracks").iter_rows():
        typer.echo(f"warning: {tracks} test tracks have the same {of} as another one: see copies within test", err=True)
    if not all(each.ok for each in findings):
        typer.echo(
            "the data set contradicts its manifest or the protocol: correct the BAD lines and build it again",
            err=True,
        )
        raise typer.Exit(1)


def _print_overlaps(overlaps: pl.DataFrame, copies: pl.DataFrame) -> None:
    """Print the overlaps of the splits, and the test tracks that are copies of each other."""
    from larpbench.errors import clipped, named

    typer.echo("\nOverlaps of the splits (share: of the rows of the second split):")
    _print_frame(overlaps)
    typer.echo("\nCopies within test:")
    for row in copies.iter_rows(named=True):
        example = f", such as {clipped(named(row['example']))}" if row["groups"] else ""
        typer.echo(
            f"{row['of']}: {row['tracks']} tracks in {row['groups']} groups ({row['share']:.1%} of the tracks){example}"
        )


@app.command(
    epilog="""Examples:

larpbench dataset stats my-data --json

larpbench dataset stats my-data --encoder tfidf"""
)
def stats(
    dataset: _Dataset,
    encoder: Annotated[
        str | None, typer.Option(help="Also print the homogeneity of the test playlists for this encoder.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print the statistics of a data set.

    These are sizes, playlist lengths, overlaps of the splits, chance and ceiling, and the expected width of intervals.
    """
    import polars as pl

    from larpbench.datasets.files import read_dataset
    from larpbench.datasets.splits.overlaps import copies_within, split_overlaps
    from larpbench.datasets.stats import length_histogram, split_sizes

    data = read_dataset(_folder(dataset))
    if data.graph is not None:
        _print_graph(data, data.graph, as_json)
        return
    sizes, lengths = split_sizes(data), length_histogram(data)
    overlaps, copies = split_overlaps(data), copies_within(data)
    bounds = [row for name in ("valid", "test") for row in _bounds(data, name)]
    alike = None if encoder is None else _homogeneity(data, encoder)
    if as_json:
        found = {
            "sizes": sizes.fill_nan(None).to_dicts(),
            "lengths": lengths.fill_nan(None).to_dicts(),
            "overlaps": overlaps.fill_nan(None).to_dicts(),
            "copies": copies.to_dicts(),
            "bounds": bounds,
            "homogeneity": alike,
            "manifest": data.manifest.model_dump(mode="json"),
        }
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
        return
    typer.echo(f"{data.name}: {data.manifest.source}; licence: {data.manifest.licence}")
    _print_frame(sizes)
    typer.echo("\nPlaylists by number of tracks:")
    _print_frame(lengths)
    _print_overlaps(overlaps.filter(pl.col("shared") > 0), copies)
    typer.echo("\nChance and ceiling; interval: smallest width for a recall of twice chance:")
    _print_frame(pl.DataFrame(bounds))
    if alike is not None:
        typer.echo(f"\nHomogeneity of the test playlists (mean cosine of two tracks), {encoder}: {alike:.4f}")
    for reason, count in data.manifest.left_out.items():
        typer.echo(f"left out: {count} {reason}")


def _print_graph(data: Dataset, graph: ArtistGraph, as_json: bool) -> None:
    from larpbench.datasets.artists.check import graph_sizes

    sizes = graph_sizes(graph)
    if as_json:
        found = {"sizes": sizes.to_dicts(), "manifest": data.manifest.model_dump(mode="json")}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{data.name}: {data.manifest.source}; licence: {data.manifest.licence}")
    _print_frame(sizes)
    for name, count in data.manifest.counts.items():
        if name.startswith("edges."):
            typer.echo(f"{name}: {count}")
    typer.echo(f"ready-made features: {', '.join(graph.features) or 'none'}")
    for reason, count in data.manifest.left_out.items():
        typer.echo(f"left out: {count} {reason}")


def _folder(dataset: str) -> Path:
    """Return the folder of a data set by folder or name; a damaged data set has one too."""
    from larpbench.datasets.catalogue import DATASETS, load_dataset

    is_folder = dataset not in DATASETS.names() and Path(dataset).is_dir()
    return Path(dataset) if is_folder else load_dataset(dataset).folder


def _bounds(data: Dataset, name: SplitName) -> list[dict[str, object]]:
    from larpbench.evaluation.bounds import ceiling, chance
    from larpbench.evaluation.queries import queries_of
    from larpbench.evaluation.statistics import least_recall_width

    if not data.manifest.counts[f"{name}.playlists"]:
        return []
    queries = queries_of(data.split(name))
    heldout = queries.heldout.lengths
    low, high = chance(queries.candidates, heldout), ceiling(queries.candidates, heldout)
    rows: list[dict[str, object]] = []
    for metric in low:
        row = {"chance": float(low[metric].mean()), "ceiling": float(high[metric].mean())}
        twice = 2 * row["chance"]
        shown = metric.startswith("recall@") and twice < row["ceiling"]
        width = least_recall_width(heldout, twice) if shown else None
        rows.append({"split": name, "metric": metric, **row, "interval": width})
    return rows


def _homogeneity(data: Dataset, encoder: str) -> float | None:
    from larpbench.benchmark.plan import default_store
    from larpbench.encoders.names import get_encoder
    from larpbench.evaluation.homogeneity import homogeneity

    vectors = default_store().embed(get_encoder(encoder), data, "test", 0).vectors
    values = homogeneity(vectors, data.split("test").interactions())
    return float(values.mean()) if len(values) else None


def _print_frame(frame: pl.DataFrame) -> None:
    import polars as pl

    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="ASCII_MARKDOWN",
        tbl_width_chars=200,
        float_precision=4,
    ):
        typer.echo(str(frame))
