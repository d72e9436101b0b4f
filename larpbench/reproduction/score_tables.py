"""Tables 2 to 4 of the LARP paper: encoders x recommenders, the ablation, and the transfer to another data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from larpbench.encoders.baselines.settings import BASELINE_SIZES
from larpbench.encoders.larp.settings import SIZES
from larpbench.reproduction.cells import Cells, bound_rows, line, our_cells, our_lines
from larpbench.reproduction.request import Request, evaluate
from larpbench.reproduction.selection import report_not_run, select_encoders, select_recommenders
from larpbench.reproduction.yardstick import yardstick
from larpbench.results.published import PublishedScores, published_scores
from larpbench.results.rows import bound_cell
from larpbench.results.sheet import Column, Sheet, column_head, main_metrics, text_sheet
from larpbench.tasks.continuation.task import CONTINUATION

_PRINTED_RECOMMENDERS = {"itemknn": "ItemKNN", "dropoutnet": "DropoutNet", "clcrec": "CLCRec"}
_RECOMMENDERS = ("itemknn", "dropoutnet", "dropoutnet-content", "clcrec", "ridge")
_CONTROLS = ("same-artist", "random")
_COLUMNS = CONTINUATION.columns
_METRIC_COLUMNS = tuple(Column(column_head(name), minor=name not in main_metrics(_COLUMNS)) for name in _COLUMNS)


@dataclass(frozen=True)
class Layout:
    """What a table holds.

    Attributes:
        name: Such as ``table2``.
        title: What it is.
        encoders: Our name -> the name in print; None if the paper has no such row.
        recommenders: Ours.
    """

    name: str
    title: str
    encoders: dict[str, str | None]
    recommenders: tuple[str, ...]


def table2(request: Request) -> Sheet:
    """Return encoders x recommenders."""
    encoders = {
        "jukebox": "Jukebox",
        "mule": "MULE",
        request.sized("co-playlist", BASELINE_SIZES): "CO-Playlist",
        "clap-pt": "CLAP-PT",
        request.sized("clap-ft", BASELINE_SIZES): "CLAP-FT",
        request.sized("larp-tpc-fusion", SIZES): "LARP",
        **yardstick(request.dataset).rows,
        "handcrafted": None,
        "tfidf": None,
        **dict.fromkeys(_CONTROLS),
    }
    return _sheet(request, Layout("table2", "Encoders and recommenders (LARP, table 2)", encoders, _RECOMMENDERS))


def table3(request: Request) -> Sheet:
    """Return the ablation: stage by stage."""
    stages = {
        "larp-wtc": "LARP-WTC",
        "larp-ttc": "LARP-TTC",
        "larp-tpc": "LARP-TPC",
        "larp-tpc-fusion": "LARP-TPC-fusion",
    }
    encoders = {
        "bert": "BERT",
        "htsat": "HTS-AT",
        request.sized("larp-untrained", SIZES): None,
        **{request.sized(name, SIZES): printed for name, printed in stages.items()},
        **yardstick(request.dataset).rows,
        **dict.fromkeys(_CONTROLS),
    }
    return _sheet(request, Layout("table3", "Ablation of LARP (LARP, table 3)", encoders, ("itemknn",)))


def table4(request: Request) -> Sheet:
    """Return the transfer: LARP that learnt from another data set than the tested one."""
    larp = request.sized("larp-tpc-fusion", SIZES)
    name, _, size = larp.partition(":")
    encoders = {
        "mule": "MULE",
        request.sized("clap-ft", BASELINE_SIZES): "CLAP-FT",
        f"{name}@{request.trained_on}{':' if size else ''}{size}": "LARP-TPC-fusion",
        larp: None,
        yardstick(request.dataset, request.trained_on).factors: None,
        **yardstick(request.dataset).rows,
        "handcrafted": None,
        "tfidf": None,
        **dict.fromkeys(_CONTROLS),
    }
    title = f"Transfer from {request.trained_on} to {request.dataset.name} (LARP, table 4)"
    return _sheet(request, Layout("table4", title, encoders, ("itemknn",)))


def _sheet(request: Request, layout: Layout) -> Sheet:
    encoders = select_encoders(request, tuple(layout.encoders))
    recommenders = select_recommenders(request, layout.recommenders)
    found = evaluate(request, encoders.names, recommenders.names)
    printed = {
        (each.recommender, each.encoder, each.dataset): each
        for each in published_scores(layout.name)
        if each.dataset in request.published
    }
    heads: tuple[Column | str, ...] = ("Recommender", "Encoder", "Numbers of", *_METRIC_COLUMNS, "Group")
    rows: list[Cells] = []
    lines: list[dict[str, object]] = []
    notes: list[str] = []
    # Own rows stand beside all that the paper has, also beside rows that were not asked for.
    shown = (*layout.encoders, *encoders.own) if encoders.own else encoders.names
    for recommender in recommenders.names:
        for encoder in shown:
            if encoder in encoders.names:
                row = found.row(encoder, recommender)
                reason = found.absent.get(encoder) or found.absent.get(recommender)
                rows.append(our_cells(request, encoder, recommender, row, _COLUMNS))
                lines.extend(our_lines(found, request, encoder, recommender, row, reason, _COLUMNS))
            for dataset in request.published:
                name = layout.encoders.get(encoder)
                each = printed.get((_PRINTED_RECOMMENDERS.get(recommender, ""), name or "", dataset))
                if each:
                    rows.append(_published_cells(each))
                    lines.extend(_published_lines(each))
                    notes.extend(f"‡ {each.encoder}, {each.dataset}, as printed: {fault}." for fault in each.faults)
    rows.extend(bound_rows(found, _COLUMNS))
    table = found.table
    facts = (*table.facts, *table.footnotes)
    not_run = report_not_run(request, found.absent, encoders, recommenders)
    notes = list(dict.fromkeys((*request.published_note, *facts, *notes, *not_run)))
    return text_sheet(f"{layout.title}: {request.dataset.name}", heads, rows, notes, lines)


def _published_cells(each: PublishedScores) -> Cells:
    source = f"the paper, {each.dataset}{' ‡' if each.faults else ''}"
    return (each.recommender, each.encoder, source, *(bound_cell(each.values[column]) for column in _COLUMNS), "")


def _published_lines(each: PublishedScores) -> Iterator[dict[str, object]]:
    for column in _COLUMNS:
        note = "; ".join(each.faults)
        yield line(
            "the paper", each.dataset, each.recommender, each.encoder, column, value=each.values[column], note=note
        )
