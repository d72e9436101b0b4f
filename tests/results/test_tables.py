from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections import defaultdict
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from support.made_results import move_records

from larpbench import load_results
from larpbench.evaluation.significance import adjusted_p_values
from larpbench.results.record import schema_text

HOSTILE = '<script>alert("x")</script> | _a_ & \\b {c} $d$'


@pytest.fixture(scope="module")
def made(_small, cli_once, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "results"
    run = cli_once(
        "run", "--dataset", _small.folder / "small", "--encoders", f"random,tfidf,precomputed:{_small.vectors}",
        "--recommenders", "all", "--output", output,
    )  # fmt: skip
    assert run.code == 0, run.err
    return output


@pytest.fixture
def results(made, small):
    return shutil.copytree(made, small.folder / "results")


def test_the_csv_is_long_and_holds_every_cell(cli, results):
    rows = list(csv.DictReader(io.StringIO(cli("table", results, "--format", "csv").out)))
    header = "task,dataset,encoder,recommender,seed,metric,value,ci_low,ci_high,chance,ceiling,n,group,licence"
    assert ",".join(rows[0]) == header
    cells = {(row["encoder"], row["recommender"], row["seed"]) for row in rows}
    assert len(cells) == 3 * 3 + 3 + 3
    for row in rows:
        assert row["n"] == "30"
        assert row["licence"] == ("that of the file" if row["encoder"].startswith("precomputed") else "Apache-2.0")
        if row["metric"].startswith("recall"):
            assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
            assert 0 < float(row["chance"]) < float(row["ceiling"]) <= 1


def test_records_recompute_from_the_playlists_file(results):
    for path in results.glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        frame = pl.read_parquet(path.parent / record["playlists_file"])
        assert frame.height == record["counts"]["playlists"]
        for metric in record["metrics"]:
            if metric["name"] in frame.columns:
                assert frame[metric["name"]].mean() == pytest.approx(metric["value"], abs=1e-12)
        assert frame["ranked"].list.len().unique().to_list() == [40]
        assert (frame["scores"].list.diff().list.max() <= 0).all()


def test_rows_that_cannot_be_told_apart_share_a_letter_in_every_format(cli, results):
    (table,) = load_results(results)
    found = defaultdict(list)
    for path in results.glob("*/*/*/*/*.json"):
        cell = json.loads(path.read_text())["cell"]
        values = pl.read_parquet(path.with_suffix(".playlists.parquet")).sort("playlist_id")["recall@10"]
        found[cell["encoder"], cell["recommender"]].append(values.to_numpy())
    means = [np.mean(found[row.encoder, row.recommender], axis=0) for row in table.rows]
    adjusted = adjusted_p_values(np.stack(means))
    for i, one in enumerate(table.rows):
        for j, other in enumerate(table.rows):
            assert bool(set(one.group) & set(other.group)) == (adjusted[i, j] > 0.05), (one, other)
    rows = csv.DictReader(io.StringIO(cli("table", results, "--format", "csv").out))
    written = {(r["encoder"], r["recommender"]): r["group"] for r in rows if r["metric"] == "recall@10"}
    assert written == {(row.encoder, row.recommender): row.group for row in table.rows}
    for kind, cell in (("md", " {} |\n"), ("latex", " {} \\\\"), ("html", "<td>{}</td></tr>")):
        text = cli("table", results, "--format", kind).out
        assert all(cell.format(row.group) in text for row in table.rows), kind


def test_seeds_are_averaged_in_the_table(cli, results):
    (table,) = load_results(results)
    row = next(row for row in table.rows if (row.encoder, row.recommender) == ("random", "itemknn"))
    assert row.random_seeds == 3
    rows = csv.DictReader(io.StringIO(cli("table", results, "--format", "csv").out))
    values = [
        float(r["value"])
        for r in rows
        if (r["encoder"], r["recommender"], r["metric"]) == ("random", "itemknn", "ndcg@20")
    ]
    score = row.scores["ndcg@20"]
    assert score is not None
    assert score.value == pytest.approx(np.mean(values))


def test_best_is_bold_second_underlined_and_controls_are_neither(cli, results):
    printed = cli("table", results).out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    assert sum(line.count("**") for line in lines) >= 2 * 6
    assert sum(line.count("<u>") for line in lines) >= 6
    assert not any("**" in line or "<u>" in line for line in lines if "(control)" in line)
    assert lines[-2].startswith("| chance")
    assert lines[-1].startswith("| ceiling")
    assert "30 playlists counted" in printed
    assert "are up to" in printed


def test_weights_from_elsewhere_are_named(cli, small, results):
    (line,) = [
        line for line in cli("table", results, "--format", "latex").out.splitlines() if "trained elsewhere" in line
    ]
    assert "vectors.npz (unknown)." in line
    assert "tfidf" not in line


def test_few_hits_are_marked(cli, small, results):
    printed = cli("table", results).out
    assert "†" in printed
    assert "fewer than 20 hits" in printed


def test_a_k_that_reaches_the_candidates_is_not_applicable(cli, tmp_path):
    (tmp_path / "t.csv").write_text("track_id,title,artist,album\n" + "".join(f"{i},T {i},A,\n" for i in range(25)))
    (tmp_path / "p.csv").write_text(
        "playlist_id,track_id\n" + "".join(f"p{p},{t}\n" for p in range(6) for t in range(p, p + 9))
    )
    build = ("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv")
    assert cli(*build, "--train-fraction", "0", "--output", tmp_path / "d").code == 0
    run = cli("run", "--dataset", tmp_path / "d", "--encoders", "tfidf", "--output", tmp_path / "r")
    assert run.code == 0, run.err
    row = next(line for line in run.out.splitlines() if line.startswith("| tfidf"))
    assert [cell.strip().startswith("n/a") for cell in row.split("|")[3:9]] == [False, False, True] * 2
    rows = csv.DictReader(io.StringIO(cli("table", tmp_path / "r", "--format", "csv").out))
    for line in rows:
        assert (line["value"] == "n/a") is line["metric"].endswith("@40"), line
    assert "K reaches the number of candidates" in run.out


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_names_are_escaped_everywhere(cli, results):
    paths = list(results.glob("*/*/*/*/*.json"))
    for path in paths:
        record = json.loads(path.read_text())
        record["cell"]["dataset"] = HOSTILE
        record["dataset"] |= {"name": HOSTILE, "notes": [HOSTILE]}
        path.write_text(json.dumps(record))
    move_records(results)
    page = cli("table", results, "--format", "html").out
    parser = Tags()
    parser.feed(page)
    assert "script" not in parser.tags
    assert HOSTILE in "".join(parser.text)
    assert "Content-Security-Policy" in page
    latex = cli("table", results, "--format", "latex").out
    assert r"\textbackslash{}b \{c\} \$d\$" in latex
    assert latex.count(r"\begin{tabular}") == 1
    markdown = cli("table", results).out
    assert "<script>" not in markdown
    assert r"\|" in markdown


def test_latex_has_one_cell_a_column(cli, results):
    body = cli("table", results, "--format", "latex").out
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 9 + 2
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {4}


def test_results_on_other_playlists_of_the_same_name_are_left_out_and_counted(cli, small, results):
    fewer = small.folder / "fewer.csv"
    fewer.write_text("".join(small.playlists.read_text().splitlines(keepends=True)[:-3]))
    other = small.folder / "elsewhere" / "small"
    built = cli("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", fewer, "--output", other)
    assert built.code == 0, built.err
    run = cli("run", "--dataset", other, "--encoders", "tfidf", "--output", results)
    assert run.code == 0, run.err
    assert "15 older results are left out, all those of precomputed:" in run.out
    assert sum(line.startswith("| tfidf") for line in run.out.splitlines()) == 1
    # what is kept prints its own table, and not that of newer results on other data
    kept = cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", results)
    assert "0 cells computed, 1 kept" in kept.err
    assert sum(line.startswith("| tfidf") for line in kept.out.splitlines()) == 3


def test_rows_with_other_captions_stand_in_one_table(cli, small, results):
    other = small.folder / "elsewhere" / "small"
    built = cli("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists,
                "--caption", "title", "--output", other)  # fmt: skip
    assert built.code == 0, built.err
    run = cli("run", "--dataset", other, "--encoders", "tfidf,random", "--output", results)
    assert run.code == 0, run.err
    assert "1 cells computed, 3 kept" in run.err  # random reads no caption
    assert "1 older results of the same cells are left out" in run.out
    assert "the same ids, split and playlists; other audio or text" in run.out
    rows = [line.split(" | ")[0] for line in run.out.splitlines() if line.startswith("| ")]
    assert sum("precomputed" in row for row in rows) == 3


def test_damaged_or_missing_results_are_named(cli, results, tmp_path):
    nothing = cli("table", tmp_path / "nothing")
    assert nothing.code == 2
    assert "there are no results" in nothing.err
    path = next(results.glob("*/*/random/*/*.playlists.parquet"))
    path.unlink()
    assert path.name in cli("table", results).err
    record = next(results.glob("*/*/*/*/*.json"))
    record.write_text(record.read_text().replace('"status"', '"state"'))
    refused = cli("table", results)
    assert refused.code == 2
    assert record.name in refused.err


def test_the_published_schema_is_the_one_in_use(request):
    stored = (request.config.rootpath / "docs" / "results-schema.json").read_text()
    assert stored == schema_text(), "run: make docs"


def test_what_may_have_been_heard_before_and_what_was_never_compared_is_told(cli, results):
    for path in results.glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        if record["cell"]["encoder"] == "tfidf":
            told = {
                "weights": "x: random: heads; tfidf: none",
                "overlaps": ["small"],
                "training_data": "the web",
                "original": "a paper's code",
            }
            record["encoder"]["card"] |= told
            path.write_text(json.dumps(record))
    for kind in ("md", "latex", "html"):
        printed = cli("table", results, "--format", kind).out
        assert "tfidf: its training data (the web) may hold tracks of this data set (not verifiable)." in printed
        assert "unverified adapters, never compared with the original code" in printed
        assert "weights: random, never trained: tfidf." in printed
    (table,) = load_results(results)
    (unverified,) = (note for note in table.footnotes if note.startswith("unverified"))
    assert unverified.endswith(": tfidf.")
    assert not [note for note in table.footnotes if "random: its training" in note]
