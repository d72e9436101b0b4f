"""Tables as the user wants them: metrics, order, digits, intervals, captions; failed and superseded results."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from support.made_results import move_records, write_results

from larpbench import fingerprint, load_results
from larpbench.errors import UsageError
from larpbench.evaluation.significance import adjusted_p_values
from larpbench.results.store import read_playlist_values
from larpbench.results.table import viewed
from larpbench.results.view import View


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "results", ["a", "b", "c", "random"], ("itemknn", "ridge"), seeds=2)


def rows_of(markdown):
    lines = [line.strip("|").split(" | ") for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[:1] + lines[2:]]


def rewrite(folder, encoder, change):
    """Write changed copies of an encoder's records beside them, under other keys, and of the lists beside them."""
    for path in list(folder.glob(f"*/*/{encoder}/*/*.json")):
        record = json.loads(path.read_text())
        change(record)
        record["key"] = fingerprint.digest([record["key"], "changed"])[:32]
        copy = path.with_name(f"{record['key']}.json")
        if record["playlists_file"]:
            lists = path.with_suffix(".playlists.parquet").read_bytes()
            copy.with_suffix(".playlists.parquet").write_bytes(lists)
            record["playlists_file"] = copy.with_suffix(".playlists.parquet").name
        copy.write_text(json.dumps(record))


def test_chosen_metrics_are_the_columns_in_their_order(cli, results):
    done = cli("table", results, "--metrics", "ndcg@20,coverage@10,recall@10")
    head, *rows = rows_of(done.out)
    assert head == ["Encoder", "Recommender", "NDCG@20 ↑", "Coverage@10", "Recall@10 ↑", "Group"]
    (table,) = load_results(results)
    by_name = {(row.encoder, row.recommender): row.scores for row in table.rows}
    for row in rows[:-2]:
        scores = by_name[row[0].split(" ")[0], row[1]]
        for cell, name in ((row[2], "ndcg@20"), (row[4], "recall@10")):
            assert f"{scores[name].value:.4f}" in cell
    assert "**" not in "".join(row[3] for row in rows), "nothing is the best of what only describes lists"
    written = csv.DictReader(io.StringIO(cli("table", results, "--metrics", "ndcg@20", "--format", "csv").out))
    assert {line["metric"] for line in written} == {"ndcg@20"}


@pytest.mark.parametrize("shown", [(), ("recall@10", "map@40"), ("recall@10",)])
def test_the_sorting_metric_rules_order_and_letters_whether_it_is_shown_or_not(results, shown):
    (table,) = load_results(results, View(shown, sort="map@40"))
    assert (shown or table.columns) == table.columns
    means = [
        np.mean([read_playlist_values(path, ["map@40"])[:, 0] for path in row.files], axis=0) for row in table.rows
    ]
    values = [mean.mean() for mean, row in zip(means, table.rows, strict=True) if not row.control]
    assert values == sorted(values, reverse=True)
    adjusted = adjusted_p_values(np.stack(means))
    for i, one in enumerate(table.rows):
        for j, other in enumerate(table.rows):
            assert bool(set(one.group) & set(other.group)) == (adjusted[i, j] > 0.05)
    assert any("cannot be told apart by map@40" in fact for fact in table.facts)
    lines = [line for line in table.sheet().lines if line["metric"] == "map@40"]
    assert bool(lines) == (shown != ("recall@10",))
    assert all(line["group"] for line in lines)


def test_a_table_in_another_view_is_the_table_that_is_read_in_it(results):
    view = View(("ndcg@40", "recall@20"), sort="hit_rate@10", digits=2, intervals=False)
    (usual,), (other,) = load_results(results), load_results(results, view)
    assert viewed(usual, view) == other
    assert viewed(other, View()) == usual
    with pytest.raises(UsageError, match="unknown metric 'recall@11'; did you mean recall@10"):
        viewed(usual, View(("recall@11",)))


def test_digits_and_intervals_are_those_of_the_text_only(cli, results):
    _, *rows = rows_of(cli("table", results, "--digits", "2").out)
    assert all(len(cell.strip("*").split("</u>")[0].replace("<u>", "").split("[")[0].strip(" *")) == 4
               for row in rows for cell in row[2:-1])  # fmt: skip
    assert "[0.1" in rows[0][2]
    assert len(rows[0][2].split("[")[1]) == len("0.12, 0.18]")
    bare = cli("table", results, "--no-intervals").out
    assert "[" not in "".join("".join(row) for row in rows_of(bare))
    assert "†" in bare, "few hits are marked all the same"
    full = json.loads(cli("table", results, "--digits", "2", "--no-intervals", "--json").out)["tables"][0]
    usual = json.loads(cli("table", results, "--format", "json").out)["tables"][0]
    for one, other in zip(full["rows"], usual["rows"], strict=True):
        assert [(each.get("value"), each.get("low")) for each in one["cells"]] == [
            (each.get("value"), each.get("low")) for each in other["cells"]
        ]


def test_a_caption_is_the_title_and_several_tables_stay_apart(cli, tmp_path):
    one = write_results(tmp_path / "one", ["a", "b"])
    asked = ("--caption", "Ours & theirs", "--label", "tab:x")
    assert cli("table", one, *asked).out.startswith("## Ours & theirs\n")
    assert r"\caption{Ours \& theirs}" in cli("table", one, *asked, "--format", "latex").out
    two = write_results(tmp_path / "two", ["a", "b"], datasets=("one", "two"))
    latex = cli("table", two, *asked, "--format", "latex").out
    for number, name in ((1, "one"), (2, "two")):
        assert rf"\caption{{Ours \& theirs (continuation: {name})}}" in latex
        assert rf"\label{{tab:x-{number}}}" in latex


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--metrics", "recall@10,ncdg@10"), "unknown metric 'ncdg@10'; did you mean ndcg@10"),
        (("--sort", "speed"), "unknown metric 'speed'"),
        (("--metrics", "recall@10,recall@10"), "twice"),
        (("--metrics", ","), "names nothing"),
        (("--digits", "0"), "greater than or equal to 1"),
        (("--json", "--format", "csv"), "two formats"),
    ],
)
def test_a_wrong_view_is_refused_with_what_there_is(cli, results, wrong, said):
    done = cli("table", results, *wrong)
    assert done.code == 2
    assert done.out == ""
    assert said in done.err
    if "unknown" in said:
        assert "coverage@10" in done.err
        assert "map@40" in done.err


def test_failed_rows_are_counted_and_stand_in_the_table_on_request(cli, tmp_path):
    results = write_results(tmp_path / "r", ["a", "b", "random"], seeds=2, failed=("b",), failure="no vector\nfor x")
    printed = cli("table", results).out
    assert not any(line.startswith("| b") for line in printed.splitlines())
    assert "Left out, since they failed: 'b with itemknn'; larpbench table FOLDER --all shows them" in printed
    everything = cli("table", results, "--all").out
    assert "| b | itemknn | failed |" in everything
    assert "b with itemknn failed: no vector" in everything
    assert "Left out" not in everything
    assert [row.encoder for row in load_results(results)[0].rows] == ["a", "random"]
    whole = load_results(results, everything=True)
    assert len(whole.compare("a", "random").lines) == len(whole[0].columns)
    with pytest.raises(UsageError, match="no results on one data set"):
        whole.compare("a", "b")


@pytest.mark.parametrize("kind", ["md", "csv", "latex", "html", "json"])
def test_a_folder_of_failures_says_so(cli, tmp_path, kind):
    results = write_results(tmp_path / "r", ["a", "b"], failed=("a", "b"))
    done = cli("table", results, "--format", kind)
    assert done.code == 0, done.err
    if kind != "csv":
        assert "All results failed, so that no row is left: " in done.out
    assert cli("table", results, "--all", "--format", kind).out.count("failed") >= 2
    assert cli("table", results, "--metrics", "recall@10").code == 0
    assert "a" in cli("compare", results, "a", "b").err


def test_superseded_rows_stand_beside_the_newest_on_request(cli, results):
    def older(record):
        record["row_key"], record["created"] = "older", "2025-01-01T00:00:00.000000+00:00"

    rewrite(results, "b", older)
    (table,) = load_results(results)
    assert "4 older results of the same cells are left out" in table.footnotes[-1]
    assert len(table.rows) == 8
    (everything,) = load_results(results, everything=True)
    assert len(everything.rows) == 10
    pairs = [[row for row in everything.rows if (row.encoder, row.recommender) == ("b", name)]
             for name in ("itemknn", "ridge")]  # fmt: skip
    for new, old in pairs:
        assert (new.superseded, old.superseded) == ("", "2025-01-01T00:00")
        assert new.scores == old.scores
        assert new.group == old.group
    assert "b (superseded, of 2025-01-01T00:00) (2 seeds)" in cli("table", results, "--all").out
    expected = load_results(results).compare("a", "b").lines
    whole = load_results(results, everything=True)
    for _, old in pairs:
        for path in old.files:
            path.with_suffix(".playlists.parquet").unlink()  # no list of an older result is read
    assert whole.compare("a", "b").lines == expected


def test_superseded_data_has_tables_of_its_own_on_request(cli, results, tmp_path):
    def older(record):
        record["created"] = "2025-01-01T00:00:00.000000+00:00"
        record["dataset"]["fingerprint"] = "f" * 64

    rewrite(results, "a", older)
    (table,) = load_results(results)
    assert any("4 older results are left out: they were tested on other ids" in note for note in table.footnotes)
    newest, before = load_results(results, everything=True)
    assert newest.rows == table.rows
    assert {row.encoder for row in before.rows} == {"a"}
    assert before.tested == f"made (superseded: data set fingerprint {'f' * 12}, protocol cold-start-v1)"
    done = cli("report", results, "--output", tmp_path / "report", "--all")
    assert done.code == 0, done.err


def test_tables_of_other_tasks_show_what_they_hold_of_the_chosen_metrics(cli, results, caplog):
    for path in results.glob("*/*/[bc]/*/*.json"):
        record = json.loads(path.read_text())
        record["cell"]["task"] = "another"
        record["metrics"] = [each for each in record["metrics"] if each["name"].startswith("recall")]
        path.write_text(json.dumps(record))
    move_records(results)
    done = cli("table", results, "--metrics", "ndcg@10,recall@20", "--sort", "ndcg@10")
    heads = [line for line in done.out.splitlines() if line.startswith("| Encoder")]
    assert sorted(head.count("@") for head in heads) == [1, 2]
    alone = cli("table", results, "--metrics", "ndcg@10")
    assert alone.code == 0
    assert "left out: another on made: the results hold no ndcg@10" in caplog.text
