"""``larpbench dataset check`` and ``larpbench dataset stats``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import options

if TYPE_CHECKING:
    import polars as pl

    from larpbench.datasets.artists.graph import ArtistGraph
    from larpbench.datasets.schema import Dataset, SplitName

CHECK_EPILOG = "Example: larpbench dataset check my-data"
STATS_EPILOG = """Examples:

larpbench dataset stats my-data --json

larpbench dataset stats my-data --encoder tfidf"""

_Dataset = Annotated[str, typer.Argument(help="Folder or name of a data set.")]


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

    from larpbench.datasets.figures import figures_by_split
    from larpbench.datasets.files import read_dataset
    from larpbench.datasets.splits.overlaps import copies_within, split_overlaps
    from larpbench.datasets.stats import length_histogram, split_sizes

    data = read_dataset(_folder(dataset))
    if data.graph is not None:
        _print_graph(data, data.graph, as_json)
        return
    sizes, lengths, figures = split_sizes(data), length_histogram(data), figures_by_split(data)
    overlaps, copies = split_overlaps(data), copies_within(data)
    bounds = [row for name in ("valid", "test") for row in _bounds(data, name)]
    alike = None if encoder is None else _homogeneity(data, encoder)
    if as_json:
        found = {
            "sizes": sizes.fill_nan(None).to_dicts(),
            "lengths": lengths.fill_nan(None).to_dicts(),
            "figures": figures.fill_nan(None).to_dicts(),
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
    typer.echo("\nFigures of the playlists:")
    _print_frame(figures)
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
    from larpbench.datasets.listeners.table import LISTENERS
    from larpbench.evaluation.bounds import ceiling, chance
    from larpbench.evaluation.metrics import COLD_CUTOFFS, CUTOFFS
    from larpbench.evaluation.queries import listener_queries, queries_of
    from larpbench.evaluation.statistics import least_recall_width

    if not data.manifest.counts[f"{name}.playlists"]:
        return []
    known = data.manifest.kind == LISTENERS
    queries = listener_queries(data.split("train"), data.split(name)) if known else queries_of(data.split(name))
    cutoffs = COLD_CUTOFFS if known else CUTOFFS
    heldout = queries.heldout.lengths
    low, high = (bound(queries.candidates, heldout, cutoffs) for bound in (chance, ceiling))
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
        fmt_str_lengths=60,
        float_precision=4,
    ):
        typer.echo(str(frame))
