"""``larpbench results export`` and ``merge``."""

from __future__ import annotations

import csv
import io
import json
import shutil

import polars as pl
import pytest
from support.made_results import move_records, write_results

from larpbench import load_results
from larpbench.results.store import read_records


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*/*/*/*")}


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "results", ["a", "broken", "random"], seeds=2, failed=("broken",))


@pytest.mark.parametrize(("kind", "read"), [("parquet", pl.read_parquet), ("csv", pl.read_csv)])
def test_every_metric_of_every_cell_is_exported(cli, results, tmp_path, kind, read):
    done = cli("results", "export", results, "--format", kind, tmp_path / "all")
    assert done.code == 0, done.err
    frame = read(tmp_path / "all")
    assert f"({frame.height} lines)" in done.out
    for _, record in read_records(results):
        lines = frame.filter(pl.col("key") == record.key)
        assert lines["encoder"].unique().to_list() == [record.cell.encoder]
        assert lines["seed"].unique().to_list() == [record.cell.seed]
        if record.status == "failed":
            assert lines.select("metric", "value", "failure").rows() == [(None, None, "it broke")]
            continue
        found = {line["metric"]: line for line in lines.iter_rows(named=True)}
        assert set(found) == {metric.name for metric in record.metrics}
        for metric in record.metrics:
            line = found[metric.name]
            assert line["value"] == metric.value
            assert (line["ci_low"], line["chance"], line["hits"]) == (metric.ci_low, metric.chance, metric.hits)
        assert lines["licence"].unique().to_list() == [record.encoder.card["licence"]]
        assert lines["encode_wall_s"].unique().to_list() == [record.costs.encode_wall_s]


def test_a_failed_cell_has_a_line_in_the_csv_of_tables(cli, results):
    lines = list(csv.DictReader(io.StringIO(cli("table", results, "--all", "--format", "csv").out)))
    failed = [line for line in lines if line["encoder"] == "broken"]
    assert [(line["seed"], line["metric"], line["value"]) for line in failed] == [
        ("0", "failed", ""),
        ("1", "failed", ""),
    ]
    assert failed[0]["licence"]
    assert all(line["metric"] != "failed" for line in lines if line["encoder"] != "broken")


def test_the_name_of_the_file_says_what_is_written(cli, results, tmp_path):
    assert cli("results", "export", results, tmp_path / "o.csv").code == 0
    assert pl.read_csv(tmp_path / "o.csv").height > 10
    assert cli("results", "export", results, tmp_path / "o.parquet").code == 0
    assert pl.read_parquet(tmp_path / "o.parquet").height > 10
    unclear = cli("results", "export", results, tmp_path / "o.xlsx")
    assert unclear.code == 2
    assert "o.xlsx does not say what to write" in unclear.err


def test_to_is_the_earlier_name_of_format(cli, results, tmp_path):
    done = cli("results", "export", results, "--to", "csv", tmp_path / "all")
    assert done.code == 0, done.err
    assert "--to is now --format" in done.err
    assert pl.read_csv(tmp_path / "all").height > 10


def test_a_file_that_cannot_be_written_is_named(cli, results):
    done = cli("results", "export", results, "/proc/none/all.parquet")
    assert done.code == 1
    assert "/proc/none" in done.err


def test_parts_of_a_run_merge_to_the_whole(cli, results, tmp_path):
    parts = [tmp_path / name for name in "xy"]
    for part in parts:
        shutil.copytree(results, part)
    for number, (path, _) in enumerate(read_records(results)):
        if number % 3 < 2:  # every third one is in both
            (parts[number % 3] / path.relative_to(results)).unlink()
            (parts[number % 3] / path.relative_to(results)).with_suffix(".playlists.parquet").unlink(missing_ok=True)
    done = cli("results", "merge", *parts, "--output", tmp_path / "whole")
    assert done.code == 0, done.err
    assert "6 cells, of which 2 were in more than one folder" in done.out
    assert files(tmp_path / "whole") == files(results)
    assert load_results(tmp_path / "whole") == load_results(results)


def test_a_cell_that_worked_replaces_one_that_failed(cli, tmp_path):
    bad = write_results(tmp_path / "bad", ["a", "b"], failed=("a",))
    good = write_results(tmp_path / "good", ["a", "b"])
    for order in ((bad, good), (good, bad)):
        whole = tmp_path / order[0].name / "whole"
        assert cli("results", "merge", *order, "--output", whole).code == 0
        assert {record.status for _, record in read_records(whole)} == {"ok"}
        assert len(list(whole.rglob("*.parquet"))) == 2


def change(folder, **values):
    """Change the first record of a folder, and move it to where its key belongs."""
    path, _ = read_records(folder)[0]
    record = json.loads(path.read_text()) | values
    path.write_text(json.dumps(record))
    move_records(folder)
    return path, path.with_name(f"{record['key']}.json")


def test_a_cell_with_two_keys_is_refused_and_both_are_named(cli, results, tmp_path):
    shutil.copytree(results, tmp_path / "other")
    _, moved = change(tmp_path / "other", key="f" * 32)
    refused = cli("results", "merge", results, tmp_path / "other", "--output", tmp_path / "whole")
    assert refused.code == 2
    assert "two keys" in refused.err
    assert str(moved) in refused.err
    assert str(read_records(results)[0][0]) in refused.err
    assert not (tmp_path / "whole").exists()


def test_other_scores_under_one_key_are_refused_and_other_costs_are_not(cli, results, tmp_path):
    shutil.copytree(results, tmp_path / "other")
    change(tmp_path / "other", created="2027-01-01", machine={"system": "Other"})
    assert cli("results", "merge", results, tmp_path / "other", "--output", tmp_path / "whole").code == 0
    path, _ = change(tmp_path / "other", protocol="mine-v1")
    refused = cli("results", "merge", results, tmp_path / "other", "--output", tmp_path / "second")
    assert refused.code == 2
    assert "other contents (protocol)" in refused.err
    assert str(path) in refused.err
    assert not (tmp_path / "second").exists()


def test_all_damaged_results_are_named_and_nothing_is_merged(cli, results, tmp_path):
    shutil.copytree(results, tmp_path / "other")
    *_, (short, _) = read_records(tmp_path / "other")
    first, second = list((tmp_path / "other" / "continuation" / "made" / "a").rglob("*.parquet"))
    first.write_bytes(b"PAR1")
    second.unlink()
    kept = short.with_suffix(".playlists.parquet")
    pl.read_parquet(kept).head(5).write_parquet(kept)
    (third := min((tmp_path / "other").glob("*/*/random/*/*.json"))).write_text("{}")
    refused = cli("results", "merge", results, tmp_path / "other", "--output", tmp_path / "whole")
    assert refused.code == 2
    for path in (first, second, third, short):
        assert path.name.partition(".")[0] in refused.err
    assert not (tmp_path / "whole").exists()


def test_merging_into_something_or_with_nothing_is_refused(cli, results, tmp_path):
    for arguments, message in [
        ((results, results, "--output", results), "not empty"),
        ((results, "--output", tmp_path / "whole"), "nothing to merge with"),
        ((results, tmp_path / "none", "--output", tmp_path / "whole"), "there are no results"),
    ]:
        refused = cli("results", "merge", *arguments)
        assert refused.code == 2
        assert message in refused.err
