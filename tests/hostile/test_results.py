"""Results that are read back are not believed: a number that cannot be right is never printed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from support.made_results import write_results

from larpbench import load_results
from larpbench.errors import DataError

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier-version"


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "results", ["a", "b", "random"])


def record_of(folder, encoder):
    (path,) = folder.glob(f"*/*/{encoder}/*/*.json")
    return path


def edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def first_metric(**values):
    return lambda record: record["metrics"][0].update(values)


def swapped(record):
    metric = record["metrics"][0]
    metric["ci_low"], metric["ci_high"] = metric["ci_high"], metric["ci_low"]


FALSE_RECORDS = {
    "recall above 1": first_metric(value=7.5, ci_high=8.0),
    "recall below 0": first_metric(value=-1.0, ci_low=-2.0),
    "recall of NaN": first_metric(value=float("nan")),
    "infinite end": first_metric(ci_high=float("inf")),
    "swapped interval": swapped,
    "half an interval": first_metric(ci_low=None),
    "chance of .9": first_metric(chance=0.9),
    "chance a little off": first_metric(chance=0.0341),
    "ceiling below": first_metric(ceiling=0.01),
    "another mean": first_metric(value=0.9, ci_high=0.95),
    "other counts": first_metric(n=7),
    "hits below 0": first_metric(hits=-3),
    "no metrics": lambda record: record.update(metrics=[]),
    "no counts": lambda record: record.update(counts=None),
    "other metrics": lambda record: record["metrics"].append(record["metrics"][0]),
    "failed for no reason": lambda record: record.update(status="failed", failure=None),
    "a card without licence": lambda record: record["encoder"]["card"].pop("licence"),
    "a card with a list for weights": lambda record: record["encoder"]["card"].update(weights=["none"]),
    "a card without a word on control": lambda record: record["encoder"]["card"].update(control="no"),
    "another encoder": lambda record: record["cell"].update(encoder="z"),
    "no interval": first_metric(ci_low=None, ci_high=None),
    "no chance": first_metric(chance=None),
    "not applicable": first_metric(applicable=False),
    "other hits": first_metric(hits=1),
    "other candidates": lambda record: record["counts"].update(candidates_min=200),
    "a share of ties above 1": lambda record: record["counts"]["tie_share"].update({"10": 3.0}),
    "draws that are no shares": lambda record: record.update(draws={"n": 2, "values": {"recall@10": [0.1, 17.0]}}),
    "draws of another value": lambda record: record.update(draws={"n": 2, "values": {"recall@10": [0.9, 0.9]}}),
    "costs below 0": lambda record: record["costs"].update(encode_wall_s=-5.0),
    "endless costs": lambda record: record["costs"].update(tracks_per_second=float("inf")),
    "no time": lambda record: record.update(created="yesterday"),
    "unknown schema": lambda record: record.update(schema_version=99),
    "unknown status": lambda record: record.update(status="splendid"),
    "a key of another": lambda record: record.update(key="0" * 32),
    "a number as text": lambda record: record["metrics"][0].update(value="high"),
    "the place of another data set": lambda record: (
        record["cell"].update(dataset="z"),
        record["dataset"].update(name="z"),
    ),
    "the place of another task": lambda record: record["cell"].update(task="cold-tracks"),
    "two data sets": lambda record: record["cell"].update(dataset="z"),
    "lists outside of its folder": lambda record: record.update(playlists_file=f"../../x/{record['playlists_file']}"),
    "lists of another name": lambda record: record.update(playlists_file="others.playlists.parquet"),
}


@pytest.mark.parametrize("name", FALSE_RECORDS)
def test_a_false_record_is_named_and_not_printed(cli, results, name):
    path = record_of(results, "b")
    edit(path, FALSE_RECORDS[name])
    for command in (
        ("table", results),
        ("report", results, "--output", results.parent / "report"),
        ("compare", results, "a", "b"),
        ("results", "export", results, results.parent / "all.csv"),
        ("results", "merge", results, write_results(results.parent / "more", ["c"]), "--output", results.parent / "m"),
    ):
        refused = cli(*command)
        assert refused.code == 2, (command, refused.out)
        assert path.name in refused.err
        assert "Traceback" not in refused.err
        shutil.rmtree(results.parent / "more", ignore_errors=True)
    assert not (results.parent / "m").exists()
    checked = cli("results", "check", results)
    assert checked.code == 1
    assert re.search(rf"BAD +\S*{path.name}", checked.out)
    assert "2 of 3 results are right" in checked.out
    with pytest.raises(DataError):
        load_results(results)


def test_a_metric_that_a_record_does_not_have_prints_n_a(cli, results):
    for encoder in "ab":
        edit(record_of(results, encoder), lambda record: record["metrics"].pop(3))
    printed = cli("table", results)
    assert printed.code == 0, printed.err
    row = next(line for line in printed.out.splitlines() if line.startswith("| a "))
    assert row.split(" | ")[5] == "n/a"


def test_a_folder_in_the_place_of_a_record_is_named(cli, results):
    (record_of(results, "b").parent / "x.json").mkdir()
    refused = cli("table", results)
    assert refused.code == 2
    assert "x.json" in refused.err


def test_a_record_copied_to_the_place_of_another_cell_is_named_with_its_own(cli, results):
    mine = record_of(results, "a")
    there = results / "continuation" / "elsewhere" / "a" / "itemknn"
    shutil.copytree(mine.parent, there)
    refused = cli("table", results)
    assert refused.code == 2
    assert f"{there / mine.name}: it is the result of another cell: its place is {mine}" in refused.err


@pytest.mark.parametrize("folders", [-1, 1], ids=["too high", "too deep"])
def test_a_record_at_another_depth_is_warned_of(cli, caplog, results, folders):
    mine = record_of(results, "a")
    there = mine.parents[1] if folders < 0 else mine.parent / "copy"
    there.mkdir(exist_ok=True)
    for each in (mine, mine.with_suffix(".playlists.parquet")):
        shutil.copyfile(each, there / each.name)
    printed = cli("table", results)
    assert printed.code == 0
    assert f"not read: {there / mine.name}: results lie in TASK/DATA SET/ENCODER/RECOMMENDER" in caplog.text


def test_the_folder_above_or_below_that_of_the_results_is_told_from_one_without_results(cli, results):
    for folder in (results.parent, results / "continuation"):
        refused = cli("table", folder)
        assert refused.code == 2
        assert "lies at another depth" in refused.err
        assert f"allowed: {folder}/TASK/DATA SET/ENCODER/RECOMMENDER/KEY.json" in refused.err


def test_the_playlists_of_another_cell_are_found(cli, results):
    mine, other = (record_of(results, name).with_suffix(".playlists.parquet") for name in ("b", "a"))
    shutil.copyfile(other, mine)
    refused = cli("compare", results, "a", "b")
    assert refused.code == 2
    assert mine.name in refused.err


def test_the_playlists_of_another_cell_are_found_in_records_without_a_digest(cli, tmp_path):
    shutil.copytree(EARLIER / "results" / "continuation", tmp_path / "results" / "continuation")
    files = {path.parent.parent.name: path for path in tmp_path.glob("*/*/*/*/itemknn/*.parquet")}
    shutil.copyfile(files["tfidf"], next(path for name, path in files.items() if name.startswith("precomputed")))
    refused = cli("table", tmp_path / "results")
    assert refused.code == 2
    assert "the mean over its playlists" in refused.err


def test_flipped_bytes_in_the_lists_are_found(cli, results):
    path = record_of(results, "a").with_suffix(".playlists.parquet")
    frame = pl.read_parquet(path)
    frame.with_columns(ranked=pl.col("ranked").list.reverse()).write_parquet(path)
    assert cli("table", results).code == 2


def test_check_recomputes_the_means_from_the_lists(cli, tmp_path, small):
    output = tmp_path / "results"
    assert cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", output).code == 0
    right = cli("results", "check", output)
    assert right.code == 0, right.out
    assert "1 of 1 results are right" in right.out
    path = record_of(output, "tfidf")
    lists = path.with_suffix(".playlists.parquet")
    frame = pl.read_parquet(lists)
    assert frame["heldout"].list.len().to_list() == frame["n_heldout"].to_list()
    # other lists with the same columns of metrics, and a digest that fits: only the lists themselves tell
    frame.with_columns(ranked=pl.col("ranked").list.reverse()).write_parquet(lists)
    from larpbench.fingerprint import digest_file

    edit(path, lambda record: record.update(playlists_sha256=digest_file(lists)))
    assert cli("table", output).code == 0
    wrong = cli("results", "check", output)
    assert wrong.code == 1
    assert "is not that of their lists" in wrong.out
    (found,) = json.loads(cli("results", "check", output, "--json").out)
    assert found["faults"]
    assert found["checked"] is True


def test_check_finds_a_record_in_the_place_of_another_cell_and_a_narrow_interval(cli, results):
    mine, other = record_of(results, "b"), record_of(results, "a")
    shutil.copyfile(other, mine.parent / other.name)
    shutil.copyfile(
        other.with_suffix(".playlists.parquet"), (mine.parent / other.name).with_suffix(".playlists.parquet")
    )
    value = json.loads(mine.read_text())["metrics"][0]["value"]
    edit(mine, first_metric(ci_low=value - 1e-4, ci_high=value + 1e-4))
    checked = cli("results", "check", results)
    assert checked.code == 1
    assert "the result of another cell" in checked.out
    assert "the interval of recall@10" in checked.out


@pytest.mark.parametrize("name", ["recall above 1", "unknown schema", "no metrics"])
def test_run_keeps_a_record_that_cannot_be_used_and_computes_the_cell_anew(cli, tmp_path, small, name):
    output, command = tmp_path / "results", ("run", "--dataset", small.folder / "small", "--encoders", "tfidf")
    first = cli(*command, "--output", output)
    path = record_of(output, "tfidf")
    right = json.loads(path.read_text())["metrics"]
    edit(path, FALSE_RECORDS[name])
    kept = path.read_text()
    assert "damaged" in cli("plan", *command[1:], "--output", output).out
    again = cli(*command, "--output", output)
    assert again.code == 0, again.err
    assert again.out == first.out
    assert "cannot be used" in again.err
    assert json.loads(path.read_text())["metrics"] == right
    assert path.with_name(f"{path.name}.set-aside").read_text() == kept
    edit(path, FALSE_RECORDS[name])
    assert cli(*command, "--output", output).code == 0
    assert path.with_name(f"{path.name}.set-aside-2").is_file()
    assert path.with_name(f"{path.name}.set-aside").read_text() == kept


def test_run_names_other_results_that_cannot_be_used_and_prints_its_own(cli, tmp_path, small):
    output = write_results(tmp_path / "results", ["a", "b"])
    edit(record_of(output, "b"), FALSE_RECORDS["recall above 1"])
    ran = cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", output)
    assert ran.code == 0, ran.err
    assert f"skipped, unusable: {record_of(output, 'b')}" in ran.err


def test_results_of_an_earlier_version_print_as_before_are_marked_and_merge(cli, tmp_path):
    shutil.copytree(EARLIER / "results", tmp_path / "results")
    printed = cli("table", tmp_path / "results", "--all", "--format", "csv")
    assert printed.code == 0, printed.err
    before = (EARLIER / "table.csv").read_text().splitlines()
    assert [line.split(",")[:12] for line in printed.out.splitlines()] == [line.split(",")[:12] for line in before]
    assert "10 results are unchecked" in cli("table", tmp_path / "results").out
    checked = cli("results", "check", tmp_path / "results")
    assert checked.code == 0, checked.out
    assert "without the digest of their lists" in checked.out
    merged = cli("results", "merge", tmp_path / "results", tmp_path / "results", "--output", tmp_path / "merged")
    assert merged.code == 0, merged.err
    assert cli("table", tmp_path / "merged", "--all", "--format", "csv").out == printed.out


def test_merge_says_which_encoders_no_table_would_show(cli, tmp_path, small):
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("".join(small.playlists.read_text().splitlines(keepends=True)[:-3]))
    other = tmp_path / "other" / "small"
    assert cli("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", fewer, "--output", other).code == 0
    for name, data, encoders in (("x", small.folder / "small", "tfidf,random"), ("y", other, "same-artist")):
        assert cli("run", "--dataset", data, "--encoders", encoders, "--output", tmp_path / name).code == 0
    merged = cli("results", "merge", tmp_path / "x", tmp_path / "y", "--output", tmp_path / "both")
    assert merged.code == 1
    assert "no table shows random, tfidf of continuation: small" in merged.err
    assert "on other ids, splits or playlists" in merged.err
    assert len(list((tmp_path / "both").glob("*/*/*/*/*.json"))) == 5  # nothing is lost: the cells are all there


def test_merged_rows_of_machines_with_other_audio_stand_in_one_table(cli, tmp_path, small):
    """The same ids, split and playlists: other captions, as other audio, change no other encoder's cells."""
    other = tmp_path / "other" / "small"
    built = cli("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists,
                "--caption", "title", "--output", other)  # fmt: skip
    assert built.code == 0, built.err
    for name, data, encoders in (("x", small.folder / "small", "tfidf,random"), ("y", other, "same-artist,random")):
        assert cli("run", "--dataset", data, "--encoders", encoders, "--output", tmp_path / name).code == 0
    merged = cli("results", "merge", tmp_path / "x", tmp_path / "y", "--output", tmp_path / "both")
    assert merged.code == 0, merged.err
    (table,) = load_results(tmp_path / "both")
    assert {row.encoder for row in table.rows} == {"tfidf", "random", "same-artist"}
