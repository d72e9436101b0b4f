"""Results that different versions of tuning have chosen stay readable, and are never in one table."""

from __future__ import annotations

import json
import shutil

import pytest
from support.made_results import move_records, write_results

from larpbench import load_results
from larpbench.errors import UsageError
from larpbench.recommenders.base import TUNING_VERSION
from larpbench.report.facts import listings
from larpbench.results.record import CellRecord
from larpbench.results.store import read_records

TRIAL = {"params": {"l2": 1.0}, "valid_recall": 0.4, "failure": None}
RUNGS = [{"epoch": 3, "valid_recall": 0.3, "failure": None}, {"epoch": 7, "valid_recall": 0.4, "failure": None}]


def tuned(folder, encoders, version):
    """Let the results of a learned recommender be those of a version of tuning."""
    for encoder in encoders:
        for path in folder.glob(f"*/*/{encoder}/ridge/*.json"):
            record = json.loads(path.read_text())
            record["recommender"] |= {"params": {"l2": 1.0}, "budget": 1, "trials": [TRIAL]}
            if version:
                record["recommender"] |= {"tuning": version, "trials": [TRIAL | {"rungs": RUNGS}]}
            path.write_text(json.dumps(record))


@pytest.fixture
def results(tmp_path):
    """Results of which those of `a` are from before versions were recorded."""
    folder = write_results(tmp_path / "results", ["a", "b", "c", "random"], ("itemknn", "ridge"), seeds=2)
    tuned(folder, ["a"], None)
    tuned(folder, ["b", "c", "random"], TUNING_VERSION)
    return folder


def rows(table):
    return {(row.encoder, row.recommender) for row in table.rows}


def test_a_table_holds_the_newest_version_and_counts_the_others(cli, results):
    (table,) = load_results(results)
    assert ("a", "itemknn") in rows(table)
    assert ("a", "ridge") not in rows(table)
    assert len(table.rows) == 7
    assert table.footnotes[-1].startswith("2 older results are left out: an earlier version of tuning chose")
    assert "(protocol rule 11); larpbench table FOLDER --all shows them" in cli("table", results).out


def test_on_request_the_others_have_a_table_of_their_own(cli, results, tmp_path):
    newest, before = load_results(results, everything=True)
    assert rows(newest) == rows(load_results(results)[0])
    assert rows(before) == {("a", "ridge")}
    assert before.tested == "made (superseded: tuning version 1 or 2)"
    assert cli("table", results, "--all").code == 0
    done = cli("report", results, "--output", tmp_path / "report", "--all")
    assert done.code == 0, done.err


@pytest.mark.parametrize("version", [None, 3])
def test_results_of_one_version_stay_in_one_table(tmp_path, version):
    folder = write_results(tmp_path / "alike", ["a", "b"], ("itemknn", "ridge"))
    tuned(folder, ["a", "b"], version)
    (table,) = load_results(folder)
    assert len(table.rows) == 4
    assert not any("tuning" in note for note in table.footnotes)
    assert len(load_results(folder, everything=True)) == 1


def test_two_versions_are_not_compared(cli, results):
    compared = load_results(results).compare("a", "b")
    assert {line.recommender for line in compared.lines} == {"itemknn"}
    assert {line.recommender for line in load_results(results).compare("b", "c").lines} == {"itemknn", "ridge"}
    for path in results.glob("*/*/a/itemknn/*"):
        path.unlink()
    with pytest.raises(UsageError, match="no results"):
        load_results(results).compare("a", "b")
    (table,) = load_results(results)
    assert "all those of a among them" in table.footnotes[-1]


def test_they_are_listed_as_superseded_and_merged_as_they_are(cli, results, tmp_path):
    listed = json.loads(cli("results", "list", results, "--superseded", "--json").out)
    assert {(each["encoder"], each["recommender"]) for each in listed} == {("a", "ridge")}
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, left_out in ((old, "bc"), (new, "a")):
        shutil.copytree(results, folder)
        for encoder in left_out:
            for path in folder.glob(f"*/*/{encoder}"):
                shutil.rmtree(path)
    assert any(row.recommender == "ridge" for row in load_results(new)[0].rows)
    done = cli("results", "merge", old, new, "--output", tmp_path / "both")
    assert done.code == 0, done.err
    assert "results of a: newer results" in done.err
    assert "or tuned by a newer version" in done.err
    assert rows(load_results(tmp_path / "both")[0]) == rows(load_results(results)[0])


def test_two_versions_of_one_cell_are_not_merged(cli, results, tmp_path):
    anew = tmp_path / "anew"
    shutil.copytree(results, anew)
    tuned(anew, ["a"], TUNING_VERSION)
    for path in [*anew.glob("*/*/a/ridge/*.json")]:
        record = json.loads(path.read_text())
        key = f"{record['key'][:-1]}{'0' if record['key'][-1] != '0' else '1'}"
        path.write_text(json.dumps(record | {"key": key}))
    move_records(anew)
    assert len(load_results(anew)[0].rows) == 8
    done = cli("results", "merge", results, anew, "--output", tmp_path / "both")
    assert done.code == 2
    assert "or tuned by another version" in done.err
    assert not (tmp_path / "both").exists()


def test_a_record_without_rungs_is_written_as_before(results):
    for path in results.glob("*/*/a/ridge/*.json"):
        written = CellRecord.model_validate_json(path.read_text()).model_dump(mode="json")
        assert "tuning" not in written["recommender"]
        assert "rungs" not in written["recommender"]["trials"][0]
        assert "rung_wall_s" not in written["costs"]


def test_the_report_shows_the_rungs_of_each_trial(results):
    (record,) = [record for _, record in read_records(results) if record.cell.encoder == "b" and record.cell.seed == 1
                 and record.cell.recommender == "ridge"]  # fmt: skip
    (trials,) = listings([record])
    assert trials.title == "recommender.trials"
    line = dict(zip(trials.heads, trials.lines[0], strict=True))
    assert (line["rungs.1.epoch"], line["rungs.2.epoch"]) == ("3", "7")
    assert float(line["rungs.1.valid_recall"]) == 0.3
