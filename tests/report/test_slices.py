"""The report's pages of slices."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
from support.browser import chromium
from support.made_results import write_results
from support.pages import read_site, table_rows
from support.sliced_world import build_sliced_world

from larpbench.report.site import write_report
from larpbench.report.slices import MOST_COLUMNS
from larpbench.results.slices.table import slice_tables


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_sliced_world(tmp_path_factory.mktemp("slices"))


@pytest.fixture(scope="module")
def site(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("site") / "report"
    return write_report(world / "results", output, datasets=[world / "data"]).parent


def test_each_kind_of_slices_has_a_page_with_the_numbers_of_the_table(site, world):
    pages = read_site(site)
    index = pages["slices.html"]
    assert len([link for link in index.links if "slices/" in link]) == 3 + 10  # built-in ones, and the data set's own
    for by in ("popularity", "genre", "mood"):
        page = next(page for name, page in pages.items() if name.startswith("slices/") and f"By {by}" in page.text)
        (found,) = slice_tables(world / "results", by, world / "data")
        assert all(note in page.text for note in found.notes)
        rows = table_rows(page)
        for part in found.slices:
            (head,) = [row for row in rows if row["text"].startswith(f"{part.value} {part.playlists} of 60 playlists")]
            below = rows[rows.index(head) + 1 :][: len(part.rows) + 2]
            for row, shown in zip(part.rows, below, strict=False):
                assert shown["text"].startswith(row.encoder)
                assert f"{row.scores['ndcg@40'].value:.4f}" in shown["text"]
                assert pages[page.resolve(shown["links"][0])].text
            for label, shown in zip(("chance", "ceiling"), below[-2:], strict=True):
                assert shown["text"].split()[:2] == [label, f"{getattr(part, label)['recall@10']:.4f}"]
    assert "<b>x" not in "".join(page.source for page in pages.values())


def test_without_the_data_set_the_page_says_why(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = read_site(write_report(world / "results", tmp_path / "report").parent)
    assert "There are no slices: the data set that was tested is not available" in pages["slices.html"].text
    assert not [name for name in pages if name.startswith("slices/")]


def test_results_of_an_earlier_version_and_of_other_tasks(tmp_path, world, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = write_results(tmp_path / "made", ["clap", "random"])
    pages = read_site(write_report(results, tmp_path / "report", datasets=[world / "data"]).parent)
    assert "There are no slices" in pages["slices.html"].text


def test_many_columns_and_one_that_differs_within_a_playlist(world, tmp_path):
    shutil.copytree(world / "data", tmp_path / "data")
    own = {f"column {n:02d}": pl.lit(f"v{n}") for n in range(30)}
    manifest = tmp_path / "data" / "dataset.json"
    for name, columns in (("tracks", own), ("playlists", {"position": pl.int_range(pl.len())})):
        path = tmp_path / "data" / f"{name}.parquet"
        pl.read_parquet(path).with_columns(**columns).write_parquet(path)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"files": {}}))
    pages = read_site(write_report(world / "results", tmp_path / "report", datasets=[tmp_path / "data"]).parent)
    assert f"The first {MOST_COLUMNS} columns of the data set have a page." in pages["slices.html"].text
    assert "column 29" in pages["slices.html"].text


@pytest.mark.browser
def test_slices_are_in_view(site, tmp_path):
    with chromium(site, tmp_path) as browser:
        for path in ("slices.html", *(f"slices/{page.name}" for page in (site / "slices").glob("*.html"))):
            browser.width(1280)
            browser.open(path)
            cut = "return [...document.querySelectorAll('.wide')].filter((each) => each.scrollWidth > each.clientWidth)"
            assert browser.run(f"{cut}.length") == 0, path
            browser.width(400)
            assert browser.run("return document.documentElement.scrollWidth") <= 400, path
        assert browser.complaints() == []
