"""The report as a whole: which pages there are, and how they come to lie in one folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench import progress, storage
from larpbench.datasets.catalogue import load_dataset
from larpbench.errors import UsageError
from larpbench.report.charts import bar, histogram, scale_of
from larpbench.report.comparisons import MOST, Group, read_groups
from larpbench.report.costs import CostPlot, cost_plots
from larpbench.report.entries import Entry, Section, encoder_page, read_sections
from larpbench.report.facts import chapters, listings
from larpbench.report.filters import leaderboard_choices, tokens_of
from larpbench.report.playlists import MOST_ROWS, SHOWN, Browser, read_browsers
from larpbench.report.rendering import Pages
from larpbench.report.reproduced import PaperTable, read_reproduced
from larpbench.report.slices import MOST_COLUMNS, SlicedSection, read_slices
from larpbench.report.slices import MOST_ROWS as MOST_SLICED
from larpbench.results.rows import FEW_HITS

MARK = "report.json"
"""Tells a report's folder from any other: only such a folder is ever replaced."""
_VERSION = "larpbench_report"


@dataclass(frozen=True)
class Content:
    """All that the pages show.

    Attributes:
        sections: The tables.
        groups: Encoders that are compared in pairs.
        plots: Cost against quality.
        browsers: Queries and their lists.
        slices: The tables' slices.
        reproduced: The papers' tables and figures.
    """

    sections: Sequence[Section]
    groups: Sequence[Group]
    plots: Sequence[CostPlot]
    browsers: Sequence[Browser]
    slices: Sequence[SlicedSection]
    reproduced: Sequence[PaperTable]


def write_report(
    results: Path,
    output: Path,
    *,
    datasets: Sequence[str] = (),
    playlists: int = 5,
    reproduced: Path | None = None,
    everything: bool = False,
) -> Path:
    """Write the report of a results folder.

    Args:
        results: The results folder.
        output: Folder of the report; an earlier report in it is replaced.
        datasets: Names or folders of data sets that the records' own names do not lead to: for titles, hits and
            slices.
        playlists: Playlists of each table whose lists are shown.
        reproduced: Folder that ``larpbench reproduce --output`` wrote.
        everything: Whether rows that failed, and superseded results, are shown.

    Returns:
        The page to open.

    Raises:
        DataError: If there are no results, or a file is damaged.
        UsageError: If `output` holds something else.
        StorageError: If it cannot be written.
    """
    _refuse_others(output)
    with progress.stage("report", 6, "parts") as advance:
        sections = read_sections(results, everything)
        advance(1)
        groups = read_groups(sections)
        advance(1)
        loaded = [load_dataset(each) for each in datasets]
        browsers = read_browsers(sections, loaded, playlists)
        advance(1)
        slices = read_slices(sections, loaded)
        advance(1)
        found = read_reproduced(reproduced) if reproduced else []
        content = Content(sections, groups, cost_plots(sections), browsers, slices, found)
        advance(1)
        with storage.staging_folder(output) as folder:
            _write_pages(folder, content)
            put = storage.put_in_place_of if _is_report(output) else storage.put_in_place
            put(folder, output)
        advance(1)
    return output / "index.html"


def read_contents(output: Path) -> dict[str, object]:
    """Return what a report holds: the titles of its tables, and how many rows, comparisons and lists there are."""
    found: dict[str, object] = json.loads((output / MARK).read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != _VERSION}


def _refuse_others(output: Path) -> None:
    if output.exists() and not _is_report(output) and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            "the folder holds something that is no report",
            where=str(output),
            allowed="a new or empty folder, or an earlier report",
            next_step="choose another one with --output",
        )


def _is_report(folder: Path) -> bool:
    try:
        return _VERSION in json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _write_pages(folder: Path, content: Content) -> None:
    menu = {"index.html": "Leaderboard"}
    menu |= {"compare.html": "Compare"} if content.groups else {}
    menu |= {"slices.html": "Slices"} if content.slices else {}
    menu |= {"costs.html": "Cost and quality"} if content.plots else {}
    menu |= {"playlists.html": "Lists"} if content.browsers else {}
    menu |= {"reproduced.html": "Papers' tables"} if content.reproduced else {}
    pages = Pages(folder, menu)
    entries = [entry for section in content.sections for entry in section.entries]
    _write_leaderboard(pages, content.sections)
    for section in content.sections:
        for entry in section.entries:
            _write_cell(pages, section, entry)
    _write_encoders(pages, content.sections)
    if content.groups:
        pages.write("compare.html", "comparisons.html", groups=content.groups)
    for group in content.groups:
        pages.write(f"compare/{group.page}", "comparison.html", scripted=True, group=group, most=MOST)
    if content.slices:
        pages.write("slices.html", "slices.html", slices=content.slices, most_columns=MOST_COLUMNS)
    for sliced in content.slices:
        for page in sliced.pages:
            pages.write(f"slices/{page.name}", "slice.html", sliced=sliced, page=page, most=MOST_SLICED, bar=bar)
    if content.plots:
        pages.write("costs.html", "costs.html", scripted=True, plots=content.plots)
    if content.browsers:
        pages.write("playlists.html", "playlists.html", browsers=content.browsers)
    for browser in content.browsers:
        for query in browser.queries:
            path = f"playlists/{query.page}"
            pages.write(path, "playlist.html", browser=browser, query=query, most=MOST_ROWS, shown=SHOWN)
    if content.reproduced:
        pages.write("reproduced.html", "reproduced.html", images=True, reproduced=content.reproduced)
    mark = {
        _VERSION: 1,
        "tables": [section.title for section in content.sections],
        "rows": len(entries),
        "comparisons": sum(len(group.pairs) for group in content.groups),
        "lists": sum(len(browser.queries) for browser in content.browsers),
        "reproduced": len(content.reproduced),
    }
    (folder / MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")


def _write_leaderboard(pages: Pages, sections: Sequence[Section]) -> None:
    choices = leaderboard_choices(sections)
    scales = {section.number: scale_of(section.table) for section in sections}
    pages.write(
        "index.html",
        "leaderboard.html",
        scripted=True,
        sections=sections,
        choices=choices,
        tokens=lambda section, entry: tokens_of(choices, section, entry),
        scales=scales,
        bar=bar,
        few_hits=FEW_HITS,
    )


def _write_cell(pages: Pages, section: Section, entry: Entry) -> None:
    pages.write(
        f"cells/{entry.page}",
        "cell.html",
        section=section,
        entry=entry,
        bins=histogram(entry.values) if len(entry.values) else (),
        mean=float(entry.values.mean()) if len(entry.values) else 0.0,
        chapters=chapters(entry.row.records),
        listings=listings(entry.row.records),
        metrics=_metrics(entry),
    )


def _metrics(entry: Entry) -> list[tuple[str, list[object]]]:
    """Return every metric with what each seed has of it."""
    names = dict.fromkeys(metric.name for record in entry.row.records for metric in record.measured)
    by_seed = [{metric.name: metric for metric in record.measured} for record in entry.row.records]
    return [(name, [found.get(name) for found in by_seed]) for name in names]


def _write_encoders(pages: Pages, sections: Sequence[Section]) -> None:
    found: dict[str, list[tuple[Section, Entry]]] = defaultdict(list)
    for section in sections:
        for entry in section.entries:
            found[entry.row.encoder].append((section, entry))
    for identity, results in found.items():
        card = results[0][1].card
        pages.write(f"encoders/{encoder_page(identity)}", "encoder.html", identity=identity, card=card, results=results)
