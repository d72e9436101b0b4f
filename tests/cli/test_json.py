"""``--json``: JSON and nothing else on standard output, with all that the text says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.made_results import write_results

from larpbench.recommenders.itemknn import ItemKNN


def parsed(done, code=0):
    assert done.code == code, done.err
    return json.loads(done.out)


def test_run_tells_cells_tables_and_folder(cli, small, tmp_path):
    asked = ("run", "--dataset", small.folder / "small", "--output", tmp_path / "r", "--json")
    first = parsed(cli(*asked, "--encoders", "tfidf"))
    assert first["output"] == str(tmp_path / "r")
    assert [(each["encoder"], each["recommender"], each["seed"]) for each in first["computed"]] == [
        ("tfidf", "itemknn", 0)
    ]
    assert Path(first["computed"][0]["path"]).is_file()
    assert first["kept"] == first["failed"] == first["unavailable"] == []
    again = parsed(cli(*asked, "--encoders", "tfidf"))
    assert again["kept"] == first["computed"]
    assert again["tables"] == first["tables"]
    assert first["tables"] == json.loads(cli("table", tmp_path / "r", "--json").out)["tables"]


def test_run_tells_what_failed_and_ends_with_one(cli, small, tmp_path, monkeypatch):
    def broken(self, embeddings):
        raise MemoryError("not now")

    asked = ("run", "--dataset", small.folder / "small", "--output", tmp_path / "r", "--json", "--encoders")
    assert cli(*asked, "tfidf").code == 0
    monkeypatch.setattr(ItemKNN, "item_vectors", broken)
    done = cli(*asked, f"tfidf,precomputed:{small.vectors}")
    found = parsed(done, code=1)
    (failed,) = found["failed"]
    assert failed["encoder"].startswith("precomputed:")
    assert failed["message"].startswith("MemoryError: not now")
    assert f": {failed['message']}" in done.err
    (table,) = found["tables"]
    assert [row["cells"][0]["text"] for row in table["rows"]] == ["tfidf", "chance", "ceiling"]
    assert any(note.startswith("Left out, since they failed: ") for note in table["notes"])


def test_table_and_compare_have_one_json_by_two_names(cli, tmp_path):
    results = write_results(tmp_path / "r", ["a", "b", "random"])
    for command in (("table", results), ("compare", results, "a", "b")):
        assert cli(*command, "--json").out == cli(*command, "--format", "json").out
        parsed(cli(*command, "--json"))
    lines = cli("compare", results, "a", "b", "--format", "csv").out.splitlines()
    assert lines[0].startswith("task,dataset,recommender,metric,encoder_a,encoder_b,a,b,n,difference,low,high,p,effect")
    assert len(lines) == 1 + 6
    assert r"\begin{tabular}" in cli("compare", results, "a", "b", "--format", "latex").out


def test_report_tells_its_page_and_what_it_holds(cli, tmp_path):
    results = write_results(tmp_path / "r", ["a", "b", "random"], ("itemknn", "ridge"), ("one", "two"))
    found = parsed(cli("report", results, "--output", tmp_path / "report", "--json"))
    assert Path(found.pop("page")).is_file()
    assert found == {
        "tables": ["continuation: one", "continuation: two"], "rows": 12, "comparisons": 12, "lists": 10,
        "reproduced": 0,
    }  # fmt: skip


@pytest.mark.parametrize("stored", [True, False])
def test_encode_tells_shape_place_and_key(cli, small, stored):
    encoder = "tfidf" if stored else f"precomputed:{small.vectors}"
    found = parsed(cli("encode", "--encoder", encoder, "--dataset", small.folder / "small", "--json"))
    assert (found["dataset"], found["split"], found["dtype"]) == ("small", "test", "float32")
    assert found["tracks"] > 0
    assert found["dim"] > 0
    assert found["key"]
    assert found["warnings"] == []
    assert bool(found["folder"] and Path(found["folder"]).is_dir()) == stored
    assert bool(found["file"]) != stored


def test_reproduce_tells_files_and_what_was_not_run(cli, small, tmp_path):
    asked = ("--dataset", small.folder / "small", "--output", tmp_path / "o", "--results", tmp_path / "r")
    done = cli("reproduce", "table1", "--dataset", small.folder / "small", "--output", tmp_path / "o", "--json")
    (table,) = parsed(done)["targets"]
    assert table["target"] == "table1"
    assert {Path(path).name for path in table["files"]} == {f"table1.{kind}" for kind in ("md", "tex", "csv", "json")}
    assert all(Path(path).is_file() for path in table["files"])
    done = cli("reproduce", "table2", *asked, "--seeds", "1", "--budget", "1", "--json")
    (table,) = parsed(done)["targets"]
    assert any(each.startswith("mule: ") for each in table["not_run"])
    assert not any(each.startswith("tfidf") for each in table["not_run"])
