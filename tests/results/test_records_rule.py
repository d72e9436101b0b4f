"""Tables show what the records hold, whatever metrics larpbench has today; one object is written in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from support.made_results import move_records, write_results
from support.pages import read_site

from larpbench import load_results
from larpbench.fingerprint import digest_file
from larpbench.results.writers import FORMATS, read_json

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier-version"
FIRST = "task,dataset,encoder,recommender,seed,metric,value,ci_low,ci_high,chance,ceiling,n"
USUAL = [f"{name}@{k}" for name in ("Recall", "NDCG") for k in (10, 20, 40)]


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "results", ["a", "b", "random"], seeds=2)


def edit(folder, encoder, change):
    """Change all records of an encoder, and the Parquet files beside them where `change` returns a frame."""
    for path in folder.glob(f"*/*/{encoder}/*/*.json"):
        record, lists = json.loads(path.read_text()), path.with_suffix(".playlists.parquet")
        frame = change(record, pl.read_parquet(lists))
        if frame is not None:
            frame.write_parquet(lists)
            record["playlists_sha256"] = digest_file(lists)
        path.write_text(json.dumps(record))


def add_metric(name, stored=True, **values):
    """Return a change that adds a metric: the values of recall@10, under another name."""

    def change(record, frame):
        record["metrics"].insert(0, record["metrics"][0] | {"name": name} | values)
        return frame.with_columns(pl.col("recall@10").alias(name)) if stored else None

    return change


def drop_metric(name):
    def change(record, frame):
        record["metrics"] = [metric for metric in record["metrics"] if metric["name"] != name]
        return frame.drop(name)

    return change


def heads(cli, folder):
    printed = cli("table", folder).out
    line = next(line for line in printed.splitlines() if line.startswith("| Encoder"))
    return [head.strip() for head in line.split("|")[3:-2]]


def every_command(cli, folder, tmp_path):
    """Run all that reads records; return the text of each format."""
    found = {}
    for name in FORMATS:
        done = cli("table", folder, "--format", name)
        assert done.code == 0, done.err
        found[name] = done.out
    for command in (
        ("report", folder, "--output", tmp_path / "report"),
        ("compare", folder, "a", "b"),
        ("results", "export", folder, tmp_path / "all.csv"),
        ("results", "merge", folder, folder, "--output", tmp_path / "merged"),
        ("results", "check", folder),
    ):
        done = cli(*command)
        assert done.code == 0, (command, done.err)
    assert cli("table", tmp_path / "merged").out == found["md"]
    return found


def test_the_first_columns_of_the_csv_keep_name_and_order(cli, results):
    for folder in (results, EARLIER / "results"):
        header = next(csv.reader(io.StringIO(cli("table", folder, "--format", "csv").out)))
        assert ",".join(header[:12]) == FIRST


def test_a_metric_that_no_record_has_is_no_column(cli, results, tmp_path):
    for encoder in ("a", "b", "random"):
        edit(results, encoder, drop_metric("recall@10"))
    found = every_command(cli, results, tmp_path)
    assert heads(cli, results) == [f"{name} ↑" for name in USUAL[1:]]
    assert "n/a" not in found["md"]
    assert "recall@10" not in found["csv"]
    assert "Recall@10" not in read_site(tmp_path / "report")["index.html"].text


def test_a_metric_that_some_records_lack_prints_n_a_there(cli, results, tmp_path):
    edit(results, "b", drop_metric("ndcg@20"))
    found = every_command(cli, results, tmp_path)
    rows = {line.split(" ")[1]: line.split(" | ") for line in found["md"].splitlines() if line.startswith("| ")}
    assert rows["b"][6] == "n/a"
    assert "n/a" not in rows["a"]
    assert float(rows["chance"][6]) > 0
    assert "- n/a: results of b hold no ndcg@20: another version wrote them." in found["md"]
    assert "K reaches" not in found["md"]
    assert '<th scope="row">b (2 seeds)</th>' in found["html"]
    lines = json.loads(cli("compare", results, "a", "b", "--json").out)
    assert "ndcg@20" not in {line["metric"] for line in lines}
    assert len(lines) == 5


@pytest.mark.parametrize("stored", [True, False])
def test_a_metric_that_larpbench_does_not_know_is_the_last_column(cli, results, tmp_path, stored):
    for encoder in ("a", "random"):
        edit(results, encoder, add_metric("surprise@10", stored))
    found = every_command(cli, results, tmp_path)
    assert heads(cli, results) == [f"{name} ↑" for name in (*USUAL, "Surprise@10")]
    (table,) = load_results(results)
    score = next(row for row in table.rows if row.encoder == "a").scores
    assert score["surprise@10"].value == pytest.approx(score["recall@10"].value)
    assert (score["surprise@10"].low is not None) == stored
    assert next(row for row in table.rows if row.encoder == "b").scores["surprise@10"] is None
    assert "results of b hold no surprise@10" in found["md"]
    for name in ("latex", "html", "json"):
        assert "Surprise@10" in found[name]
    assert "surprise@10" in (tmp_path / "all.csv").read_text()
    assert "Surprise@10" in read_site(tmp_path / "report")["index.html"].text


def test_a_metric_that_only_describes_lists_has_no_arrow(cli, results, tmp_path):
    edit(results, "a", add_metric("popularity@10", stored=False, chance=None, ceiling=None))
    every_command(cli, results, tmp_path)
    assert heads(cli, results)[-1] == "Popularity@10"


def test_records_with_other_cutoffs_print_them(cli, tmp_path):
    results = write_results(tmp_path / "results", ["a", "b", "random"], cutoffs=(5, 30))
    found = every_command(cli, results, tmp_path)
    assert heads(cli, results) == ["Recall@5 ↑", "Recall@30 ↑", "NDCG@5 ↑", "NDCG@30 ↑"]
    assert "cannot be told apart by recall@5" in found["md"]
    assert "Recall@30" in read_site(tmp_path / "report")["index.html"].text


def test_records_of_a_task_that_is_not_installed_print_all_they_have(cli, results, tmp_path):
    edit(results, "*", lambda record, _: record["cell"].update(task="gone"))
    move_records(results)
    assert cli("table", results).code == 0
    assert heads(cli, results)[0] == "Recall@10 ↑"
    assert "Coverage@10" in heads(cli, results)
    failed = write_results(tmp_path / "failed", ["a"], failed=("a",))
    edit_failed = next(failed.glob("*/*/*/*/*.json"))
    edit_failed.write_text(edit_failed.read_text().replace('"task": "continuation"', '"task": "gone"'))
    move_records(failed)
    assert "| a (control) | itemknn | failed |" in cli("table", failed, "--all").out


def test_results_of_an_earlier_version_print_their_table(cli):
    printed = cli("table", EARLIER / "results", "--all").out
    before = (EARLIER / "table.md").read_text()
    rows = [line for line in before.splitlines() if line.startswith("|")]
    assert [line for line in printed.splitlines() if line.startswith("|")] == rows


def test_json_holds_what_the_table_shows_and_is_read_back(cli, results, tmp_path):
    (tmp_path / "t.json").write_text(cli("table", results, "--format", "json").out)
    (sheet,) = read_json(tmp_path / "t.json")
    (table,) = load_results(results)
    assert [column.metric for column in sheet.columns if column.metric] == list(table.columns)
    assert sheet.notes == (*table.facts, *table.footnotes)
    for shown, row in zip(sheet.rows, table.rows, strict=False):
        assert shown.cells[0].text.startswith(row.encoder)
        assert shown.cells[-1].text == row.group
        for cell, column in zip(shown.cells[2:], table.columns, strict=False):
            score = row.scores[column]
            assert (cell.value, cell.low, cell.high, cell.place) == (score.value, score.low, score.high, score.place)
    assert [row.cells[0].text for row in sheet.rows if row.kind == "bound"] == ["chance", "ceiling"]
    lines = [{**line, "seed": str(line["seed"])} for line in table.sheet().lines]
    read = list(csv.DictReader(io.StringIO(cli("table", results, "--format", "csv").out)))
    assert [line["seed"] for line in lines] == [line["seed"] for line in read]
    assert FORMATS["md"]([sheet]) == cli("table", results).out


def test_a_metric_that_larpbench_has_since_is_no_column_of_earlier_results(cli, results, tmp_path, monkeypatch):
    from larpbench.evaluation.metrics import MetricSpec
    from larpbench.tasks.continuation.task import CONTINUATION

    before = every_command(cli, results, tmp_path)
    monkeypatch.setattr(type(CONTINUATION), "metrics", (MetricSpec("surprise", 10), *CONTINUATION.metrics))
    monkeypatch.setattr(type(CONTINUATION), "shown", ("surprise@10", *CONTINUATION.shown))
    assert every_command(cli, results, tmp_path) == before
    assert cli("table", EARLIER / "results").code == 0
