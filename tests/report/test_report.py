"""``larpbench report``: what is on the pages, and that they hold together."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.made_results import write_results
from support.pages import read_site, table_rows
from support.small_data import random_tables
from support.small_graphs import small_toy

from larpbench import load_results
from larpbench.evaluation.significance import compare, compare_all, holm
from larpbench.report.charts import Point, bar, scale_of, scatter
from larpbench.report.labels import text_width
from larpbench.report.site import write_report
from larpbench.results.compare import p_text
from larpbench.results.rows import Row, Score, Table
from larpbench.results.sheet import SheetCell, text_sheet
from larpbench.results.store import read_playlist_values, read_records
from larpbench.results.writers import write_sheet
from larpbench.tasks.artist_similarity.settings import graph_layers_installed

ENCODERS = ["clap", "musicnn", "tfidf", "random"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(
        tmp_path_factory.mktemp("made") / "results",
        [*ENCODERS[:3], "broken", "random"], ("itemknn", "ridge"), ("one", "two"),
        seeds=2, failed=("broken",), failure="no vector for 't1'\n  where: here",
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(results, tmp_path_factory):
    return read_site(write_report(results, tmp_path_factory.mktemp("site") / "report", everything=True).parent)


def test_every_row_of_every_table_is_on_the_leaderboard_and_has_a_page(site, results):
    rows = table_rows(site["index.html"])
    tables = list(load_results(results, everything=True))
    assert len(rows) == sum(len(table.rows) for table in tables) == 20
    for table in tables:
        for row in table.rows:
            (found,) = [
                each for each in rows
                if each["text"].startswith(row.encoder)
                and f" {row.recommender} " in each["text"]
                and each["section"] == f"table-{tables.index(table) + 1}"
            ]  # fmt: skip
            page = site[found["links"][0]]
            if row.failure:
                assert "failed" in found["text"]
                assert "no vector for 't1' where: here" in page.text
            else:
                assert f"{row.scores['recall@10'].value:.4f}" in found["text"]
                assert f"{row.scores['ndcg@40'].value:.4f}" in page.text
            assert ("control" in found["text"]) is row.control
    index = site["index.html"].text
    assert "chance 0.0340" in index
    assert "Made for a test." in index
    assert "broken with ridge failed: no vector for 't1'" in index


def test_every_link_leads_to_a_page_and_nothing_leads_out(site):
    for path, page in site.items():
        for link in page.links:
            assert re.fullmatch(r"[a-z0-9./#_-]+", link), (path, link)
            target = page.resolve(link)
            assert target in site, (path, link)
            anchor = link.partition("#")[2]
            assert not anchor or anchor in site[target].ids, (path, link)


def test_pages_are_sound_html(site):
    for path, page in site.items():
        assert page.unclosed == [], path
        assert len(page.ids) == len(set(page.ids)), path
        assert page.tags.count("h1") == page.tags.count("main") == 1, path
        assert page.text.count("None") == 0, path
        for attributes in page.attributes("th"):
            assert attributes["scope"] in ("row", "col"), path


def test_pages_stay_small(site):
    """So that a report of 200 cells stays below 5 MB: benchmarks/test_report.py."""
    sizes = {path: len(page.source.encode()) for path, page in site.items()}
    assert max(size for path, size in sizes.items() if path.startswith("cells/")) < 16_000  # two seeds
    assert sizes["index.html"] < 10_000 + 1_500 * 20


def test_a_cell_tells_all_that_its_records_hold(site, results):
    for path, record in read_records(results):
        name = re.escape(f"cells/{record.cell.encoder}-{record.cell.recommender}-")
        pages = [page.text for each, page in site.items() if re.match(name, each) and record.key in page.text]
        assert len(pages) == 1, path
        for text in (record.dataset.fingerprint, record.encoder.embeddings_key, "made:thing", record.created, "Linux"):
            assert text in pages[0], (path, text)
        if record.costs:
            assert f"costs.tracks_per_second {record.costs.tracks_per_second:.6g}" in pages[0]
            assert "60 playlists" in site[next(each for each in site if re.match(name, each))].source


def test_comparisons_are_those_of_the_stored_playlists(site, results):
    values = {}
    for path, record in read_records(results):
        if record.status == "ok" and (record.cell.dataset, record.cell.recommender) == ("one", "itemknn"):
            values.setdefault(record.cell.encoder, []).append(read_playlist_values(path, ["recall@10"])[:, 0])
    means = {name: np.mean(each, axis=0) for name, each in values.items()}
    page = next(p for name, p in site.items() if name.startswith("compare/") and "one with itemknn" in p.text)
    rows = table_rows(page)
    assert len(rows) == 6
    pairs = [row["cells"][:2] for row in rows]
    found = [compare(means[one], means[other]) for one, other in pairs]
    adjusted = holm(np.array([each.p for each in found]))
    for row, each, p in zip(rows, found, adjusted, strict=True):
        assert row["cells"][2] == f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}]"
        assert row["cells"][4] == p_text(p)
        assert row["cells"][5] == f"{each.effect_size:+.2f}"
        assert row["cells"][6] == ("yes" if p <= 0.05 else "no")


def test_all_pairs_at_once_are_what_each_is_by_itself():
    values = np.random.default_rng(3).random((5, 40))
    values[4] = values[0]
    pairs, found = compare_all(values)
    assert len(pairs) == 10
    for (one, other), each in zip(pairs, found, strict=True):
        alone = compare(values[one], values[other])
        assert (each.difference, each.effect_size) == (alone.difference, alone.effect_size)
        assert [each.low, each.high, each.p] == pytest.approx([alone.low, alone.high, alone.p], abs=1e-12)
    assert compare_all(values[:1])[1] == []


def test_playlists_show_titles_and_mark_hits(cli, small, tmp_path):
    data = small.folder / "small"
    run = cli("run", "--dataset", data, "--encoders", "tfidf", "--output", tmp_path / "results")
    assert run.code == 0, run.err
    without = cli("report", tmp_path / "results", "--output", tmp_path / "without")
    assert without.code == 0, without.err
    bare = read_site(tmp_path / "without")
    assert "not marked: the data set is not available" in bare["playlists.html"].text
    done = cli(
        "report", tmp_path / "results", "--output", tmp_path / "report", "--dataset", data, "--playlists", "30"
    )  # fmt: skip
    assert done.code == 0, done.err
    site = read_site(tmp_path / "report")
    pages = [page for path, page in site.items() if path.startswith("playlists/")]
    assert len(pages) == 30
    assert all("Artist " in page.text and "Song " in page.text for page in pages)
    (_, record), *_ = read_records(tmp_path / "results")
    hits = next(metric.hits for metric in record.metrics if metric.name == "recall@40")
    assert sum(page.text.count("✓ Artist") for page in pages) == hits > 0
    ids = [re.search(r"p\d{5}", page.text)[0] for page in pages]
    drawn = [page for page in bare if page.startswith("playlists/")]
    assert len(drawn) == 5
    assert all(any(name in bare[page].text for name in ids) for page in drawn)


def test_a_data_set_of_another_version_is_not_taken_for_the_tested_one(cli, small, tmp_path, home):
    run = cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", tmp_path / "results")
    assert run.code == 0, run.err
    other = random_tables(tmp_path / "other", seed=1)
    build = ("dataset", "build", "csv", "--tracks", other.tracks, "--playlists", other.playlists)
    assert cli(*build, "--output", home / "datasets" / "small").code == 0
    assert cli("report", tmp_path / "results", "--output", tmp_path / "report").code == 0
    text = read_site(tmp_path / "report")["playlists.html"].text
    assert "another version than the one that was tested" in text


def test_reproduced_tables_and_figures_join_in(cli, results, tmp_path):
    folder = tmp_path / "reproduced"
    rows = (("a|b", SheetCell("0.5000", "[0.4, 0.6]", 1)), ("c", SheetCell("0.4000", place=2)))
    write_sheet(text_sheet("Scores <b> (table 2)", ("Encoder", "Recall@10"), rows, ("A note.",), ()), folder, "table2")
    write_sheet(text_sheet("A figure", (), (), ("Another note.",), ()), folder, "figure3")
    (folder / "figure3.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    done = cli("report", results, "--output", tmp_path / "report", "--reproduced", folder)
    assert done.code == 0, done.err
    page = read_site(tmp_path / "report")["reproduced.html"]
    assert "Scores <b> (table 2)" in page.text
    assert "a|b 0.5000 [0.4, 0.6] c 0.4000 A note." in page.text
    (image,) = page.attributes("img")
    assert image["src"].startswith("data:image/svg+xml;base64,")
    assert image["alt"] == "Figure: A figure"
    assert "script" not in page.tags
    nothing = cli("report", results, "--output", tmp_path / "report", "--reproduced", results)
    assert nothing.code == 2
    assert "there are no reproduced tables" in nothing.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "of an earlier version, which wrote no JSON files"),
        ("{", "a table cannot be read"),
        ("[]", "no table of schema version 1"),
        ('{"schema_version": 2, "tables": []}', "no table of schema version 1"),
        ('{"schema_version": 1, "tables": [{"title": 3}]}', "a table cannot be read: 0.title"),
        (
            '{"schema_version": 1, "tables": [{"title": "", "columns": [], "rows": [{"cells": [{}]}]}]}',
            "has not 0 cells",
        ),
    ],
)
def test_reproduced_tables_that_cannot_be_read_are_named(cli, results, tmp_path, content, message):
    folder = tmp_path / "reproduced"
    folder.mkdir()
    (folder / "table2.md").write_text("## Scores\n")
    if content is not None:
        (folder / "table2.json").write_text(content)
    refused = cli("report", results, "--output", tmp_path / "report", "--reproduced", folder)
    assert refused.code == 2
    assert message in refused.err
    assert "larpbench reproduce" in refused.err
    assert not (tmp_path / "report").exists()


def test_an_earlier_report_is_replaced_and_nothing_else_ever_is(cli, results, site, tmp_path):
    first = cli("report", results, "--output", tmp_path / "report", "--all")
    assert first.code == 0, first.err
    assert first.out.strip() == str(tmp_path / "report" / "index.html")
    before = {path: page.source for path, page in site.items()}
    (tmp_path / "report" / "cells" / "old.html").write_text("old")
    assert cli("report", results, "--output", tmp_path / "report", "--all").code == 0
    assert {path: page.source for path, page in read_site(tmp_path / "report").items()} == before
    assert list(tmp_path.glob(".larpbench-tmp-*")) == []
    for wrong in (tmp_path / "results", tmp_path / "notes"):
        (wrong / "continuation").mkdir(parents=True)
        (wrong / "report.json").write_text(json.dumps(["mine"]))
        refused = cli("report", results, "--output", wrong)
        assert refused.code == 2
        assert "holds something that is no report" in refused.err
        assert (wrong / "report.json").is_file()


def test_where_all_has_failed_only_the_leaderboard_is_left(cli, tmp_path):
    write_results(tmp_path / "results", ["a", "b"], failed=("a", "b"), failure="")
    done = cli("report", tmp_path / "results", "--output", tmp_path / "report")
    assert done.code == 0, done.err
    site = read_site(tmp_path / "report")
    assert set(site) == {"index.html"}
    assert "All results failed, so that no row is left: 'a with itemknn', 'b with itemknn'" in site["index.html"].text
    assert cli("report", tmp_path / "results", "--output", tmp_path / "report", "--all").code == 0
    site = read_site(tmp_path / "report")
    assert {path.partition("/")[0] for path in site} == {"index.html", "cells", "encoders"}
    assert site["index.html"].text.count("failed") >= 2


def test_without_results_it_says_so(cli, tmp_path):
    done = cli("report", tmp_path, "--output", tmp_path / "report")
    assert done.code == 2
    assert "there are no results" in done.err
    assert not (tmp_path / "report").exists()


@pytest.mark.skipif(not graph_layers_installed(), reason="needs torch_geometric")
def test_another_task_has_its_own_words_and_columns(cli, tmp_path):
    toy = small_toy(tmp_path / "toy")
    run = cli(
        "run", "--task", "artist-similarity", "--dataset", toy, "--output", tmp_path / "results",
        "--encoders", "clap,random", "--layers", "0", "--seeds", "1", "--epochs", "1",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert cli("report", tmp_path / "results", "--output", tmp_path / "report", "--dataset", toy).code == 0
    site = read_site(tmp_path / "report")
    (table,) = load_results(tmp_path / "results")
    rows = [row for row in table_rows(site["index.html"]) if "data-text" in row["attributes"]]
    assert len(rows) == len(table.rows)
    assert "artist-similarity: toy-artists-3 (epochs=1)" in site["index.html"].text
    assert "by visible edges" in site["index.html"].text
    network = next(page for path, page in site.items() if path.startswith("cells/clap-gnn-sage-0"))
    assert re.search(r"Histogram of NDCG@\d+ over \d+ artists;", network.text)
    assert "recommender.fit.settings.learning_rate" in network.text
    assert "recommender.fit.facts.history" in network.text
    assert "the data set does not say as playlists what was hidden" in site["playlists.html"].text


def box_of(dot):
    width = text_width(dot.text)
    left = dot.label.x - {"start": 0, "middle": width / 2, "end": width}[dot.label.anchor]
    return left, dot.label.base - 10, left + width, dot.label.base + 3


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 0.4), st.integers(3, 28)), min_size=1, max_size=12))
@example([(n % 3, 0.2 + n / 1_000, 9) for n in range(20)])
@settings(max_examples=30, deadline=None)
def test_labels_of_a_chart_cover_neither_each_other_nor_points(places):
    points = [Point("e" * length, 10.0**x, y, y - 0.05, y + 0.05) for x, y, length in places]
    plot = scatter(points, 0.05)
    assert [dot.text for dot in plot.dots] == [point.name for point in points]
    boxes = [box_of(dot) for dot in plot.dots]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert right <= plot.width + 0.1
        covered = [*boxes[:i], *((dot.x - 4, dot.y - 4, dot.x + 4, dot.y + 4) for dot in plot.dots)]
        assert not [each for each in covered if left + 0.1 < each[2] and each[0] + 0.1 < right
                    and top + 0.1 < each[3] and each[1] + 0.1 < bottom]  # fmt: skip


def test_of_many_points_those_have_labels_that_no_other_one_beats():
    many = scatter([Point(str(n), 1.0 + n, 1 / (1 + abs(n - 30)), 0, 1) for n in range(60)], None)
    assert 0 < len([dot for dot in many.dots if dot.label]) <= 31


def test_an_axis_is_as_long_as_the_contenders_need():
    scores = {"tfidf": 0.05, "larp": 0.06, "oracle": 0.40}
    shown = {name: {"recall@10": Score(value, value - 0.01, value + 0.01)} for name, value in scores.items()}
    rows = tuple(Row(name, "itemknn", 1, "none", name == "oracle", score) for name, score in shown.items())
    table = Table("t", "d", None, ("recall@10",), rows, {"recall@10": 0.02}, {"recall@10": 1.0}, (), (), ())
    scale = scale_of(table)
    assert 0.07 < scale.end < 0.08
    bars = {row.encoder: bar(row.scores["recall@10"], scale) for row in rows}
    assert [name for name, each in bars.items() if each.beyond] == ["oracle"]
    assert bars["oracle"].value == 100
    assert bars["tfidf"].low < bars["tfidf"].value < bars["larp"].value < bars["larp"].high < 100
    alone = scale_of(replace(table, rows=rows[2:]))
    assert not bar(rows[2].scores["recall@10"], alone).beyond  # controls alone have an axis of their own

    points = [Point(name, 1.0 + n, value, value - 0.01, value + 0.01, name == "oracle")
              for n, (name, value) in enumerate(scores.items())]  # fmt: skip
    plot = scatter(points, 0.02)
    placed = {dot.name: dot for dot in plot.dots}
    assert placed["oracle"].y == 0
    assert placed["oracle"].text == "oracle ↑ 0.400"
    assert placed["larp"].text == "larp"
    assert 0 < placed["larp"].y < placed["tfidf"].y < plot.height / 2
