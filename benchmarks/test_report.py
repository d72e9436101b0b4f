"""How long the report's leaderboard of 500 cells takes to sort and to filter in Chromium, and how large reports are."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # what makes results and starts a browser is there
from support.browser import chromium
from support.made_results import write_results

from larpbench.report.site import write_report

RUNS = 15
SORT = """
const done = arguments[arguments.length - 1];
const table = document.querySelector("table.sortable"), button = table.querySelectorAll("thead button")[arguments[0]];
const start = performance.now();
const drawn = () => { document.body.offsetHeight; done(performance.now() - start); };
table.addEventListener("sort-end", drawn, {once: true});
button.click();
"""
FILTER = """
const select = document.querySelectorAll("select")[arguments[0]];
const start = performance.now();
select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
select.dispatchEvent(new Event("input", {bubbles: true}));
document.body.offsetHeight;
return performance.now() - start;
"""


def made(folder: Path, cells: int, datasets: int) -> Path:
    encoders = [f"encoder-{number:02d}@data" for number in range(cells // (5 * datasets))]
    names = [f"data-{number}" for number in range(datasets)]
    results = write_results(folder / "results", encoders, [f"rec-{n}" for n in range(5)], names, playlists=40)
    return write_report(results, folder / "report").parent


@pytest.mark.parametrize("datasets", [1, 2])
def test_500_cells_sort_and_filter(tmp_path, figure, datasets):
    site = made(tmp_path, 500, datasets)
    with chromium(site, tmp_path / "profile") as browser:
        browser.open("index.html")
        rows = len(browser.all("tr[data-text]"))
        assert rows == 500
        sorts = [browser.driver.execute_async_script(SORT, number % 5) for number in range(RUNS)]
        filters = [browser.run(FILTER, number % 5) for number in range(RUNS)]
        shown = len(browser.shown("tr[data-text]"))
        assert 0 < shown < rows
    for name, values in (("sort", sorts), ("filter", filters)):
        text = f"{statistics.median(values):.0f} ms ({min(values):.0f} to {max(values):.0f}), layout included"
        figure(f"report, {name}, 500 cells in {datasets} tables", "< 200 ms", text, value=statistics.median(values))


def test_the_size_of_200_cells(tmp_path, figure):
    site = made(tmp_path, 200, 1)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    figure("report, size, 200 cells", "< 5 MB", f"{size / 1e6:.1f} MB", value=size / 1e6)
