"""``larpbench reproduce``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from larpbench.cli import options, printing
from larpbench.errors import shell_word

EPILOG = """Targets: table1 (data sets), table2 (encoders x recommenders), table3 (ablation), table4 (transfer),
figure3 (a playlist among all tracks), figure4 (sensitivity to J), figure5 (convergence), all (of these);
artist-similarity (figure 1 of the second paper, on a data set of kind artist-graph);
tamm-2026, acarec-2026 (arXiv 2604.23077 and 2604.07090: cold tracks, on a data set of kind listeners).

Examples:

larpbench reproduce table2 --dataset mpd

larpbench reproduce table3 figure5 --dataset demo

larpbench reproduce table4 --dataset lfm --trained-on mpd --size paper

larpbench reproduce table2 --dataset mpd --encoders larp,mine=precomputed:vectors.npz --recommenders itemknn --seeds 1

larpbench reproduce table1 --json

larpbench reproduce artist-similarity --dataset toy-artists --encoders random,acousticbrainz

larpbench reproduce tamm-2026 --dataset onion

larpbench reproduce acarec-2026 --dataset demo-listeners --recommenders default,dropoutnet-content"""
_READ_BY_TARGETS = ("encoders", "recommenders", "protocol", "trained_on", "size", "seeds", "budget", "results")
_TRANSFERS = {"demo": "demo-2", "lfm": "mpd", "mpd": "lfm"}
_RESULTS = Path("results")


def reproduce(
    context: typer.Context,
    targets: Annotated[list[str], typer.Argument(help="Tables and figures, see below; all for every one.")],
    dataset: options.DatasetName = "demo",
    trained_on: Annotated[
        str | None,
        typer.Option(help="Training data of table4; default: mpd for lfm, lfm for mpd, demo-2 for demo."),
    ] = None,
    size: Annotated[
        Literal["heads", "tiny", "paper"],
        typer.Option(help="Size of trained encoders; tiny for those without heads. The published size is paper."),
    ] = "heads",
    seeds: options.Seeds = 3,
    budget: options.Budget = 6,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the results that the tables are made of; default results.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the tables and figures; default reproduced/DATASET.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", hidden=True)] = None,
    protocol: options.Protocol = None,
    encoders: Annotated[
        str,
        typer.Option(help="Rows to run: names separated by commas, also your own; default stands for the paper's."),
    ] = "default",
    recommenders: Annotated[
        str,
        typer.Option(help="Recommenders to run, in the same way; artist similarity: graph networks, gnn-sage-2."),
    ] = "default",
    as_json: options.Json = False,
) -> None:
    """Reproduce the papers' tables and figures on a data set.

    Published numbers stand beside those of the data set. Missing cells are run, and cells with a result are kept. Each
    table is written as Markdown, CSV, LaTeX and JSON, each figure as SVG, PNG and the numbers in it. What was not
    run is reported with the reason. An option that no target reads is refused.
    """
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.errors import LarpbenchError, UsageError
    from larpbench.reproduction import targets as registry
    from larpbench.reproduction.request import Request

    def report(line: str) -> None:
        typer.echo(line, err=True)

    chosen = registry.chosen(targets)
    written_options = options.given(context, _READ_BY_TARGETS)
    if to and output and not results:  # as versions before wrote it
        results, output = output, None
        written_options.append("results")
    registry.require_read(chosen, written_options)
    for note in registry.partly_read(
        chosen, [name for name in written_options if name in ("encoders", "recommenders")]
    ):
        report(f"note: {note}")
    if to and output:
        raise UsageError("--to and --output both name the folder of the tables and figures", allowed="--output alone")
    if to:
        report("note: --to is now --output, and what was --output is now --results; the next version has no --to")
    elif output:
        _require_no_results(output, results)
        report(f"note: --output is now the folder of the tables and figures; results lie in {results or _RESULTS}")

    if not options.given(context, ("dataset",)) and (usual := registry.usual_dataset(chosen)):
        dataset = usual
        report(f"note: the data set is {dataset}; --dataset chooses another one")
    data = load_dataset(dataset)
    source = trained_on or _TRANSFERS.get(data.name, "")
    if "all" in targets and "table4" not in targets and not source:
        chosen = tuple(target for target in chosen if target != "table4")
        report("left out: table4, which needs a second data set to learn from: --trained-on NAME")
    if "table4" in chosen and not source:
        raise UsageError(
            f"table4 needs a second data set to learn from, and {data.name!r} has none by default",
            next_step=f"larpbench reproduce table4 --dataset {shell_word(dataset)} --trained-on NAME",
        )
    if trained_on:
        load_dataset(trained_on)  # a typing error must not cost the targets before it

    request = Request(
        data,
        source,
        size,
        seeds,
        budget,
        (results or _RESULTS).absolute(),
        report,
        protocol,
        tuple(options.names(encoders)),
        tuple(options.names(recommenders)),
    )
    folder = output or to or Path("reproduced") / data.name
    failed: list[LarpbenchError] = []
    done: list[dict[str, object]] = []
    for target in chosen:
        report(f"== {target}")
        try:
            files = registry.reproduce(target, request, folder)
        except LarpbenchError as error:
            if len(chosen) == 1:
                raise
            report(f"error: {target}: {error}")  # the others go on
            failed.append(error)
            done.append({"target": target, "files": [], "not_run": [], "error": str(error)})
        else:
            done.append({"target": target, "files": [*map(str, files)], "not_run": _not_run(files), "error": None})
            if not as_json:
                typer.echo("\n".join(map(str, files)))
    if as_json:
        printing.print_json({"dataset": data.name, "output": str(folder), "targets": done})
    if failed:
        raise typer.Exit(max(error.exit_code for error in failed))


def _not_run(files: Iterable[Path]) -> list[str]:
    """Return what the notes of written tables say was not run, with the reason."""
    from larpbench.results.writers import read_json

    sheets = [sheet for path in files if path.suffix == ".json" for sheet in read_json(path)]
    start = "not run: "
    return [note.removeprefix(start) for sheet in sheets for note in sheet.notes if note.startswith(start)]


def _require_no_results(output: Path, results: Path | None) -> None:
    """Refuse a folder of results as --output where --results is not written: versions before meant that by it.

    Raises:
        UsageError: If the folder holds results.
    """
    from larpbench.errors import UsageError

    if results is None and any(output.glob("*/*/*/*/*.json")):
        raise UsageError(
            "--output is now the folder of the tables and figures, and this folder holds results",
            where=str(output),
            next_step=f"larpbench reproduce .. --results {shell_word(output)}, and --output for another folder",
        )
