"""``larpbench results list``, ``rm`` and ``check``: results by name and state."""

from __future__ import annotations

import json

import pytest
from support.made_results import write_results

from larpbench.results.selection import Selection, remove, select
from larpbench.results.store import playlists_path, read_record


@pytest.fixture
def results(tmp_path):
    return write_results(
        tmp_path / "results", ["larp@one", "larp@two", "broken", "random"], ("itemknn", "ridge"), ("one", "two"),
        failed=("broken",), failure="no vector for 't1'\nand more",
    )  # fmt: skip


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts}


def listed(cli, folder, *filters):
    done = cli("results", "list", folder, *filters, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_results_are_listed_by_name_pattern_and_state(cli, results):
    everything = listed(cli, results)
    assert len(everything) == 4 * 2 * 2
    for filters, chosen in (
        (("--encoder", "larp@one"), lambda each: each["encoder"] == "larp@one"),
        (("--encoder", "larp@*"), lambda each: each["encoder"].startswith("larp")),
        (("--encoder", "larp@one", "--encoder", "random"), lambda each: each["encoder"] in ("larp@one", "random")),
        (("--recommender", "ridge", "--dataset", "two"), lambda each: (each["recommender"], each["dataset"])
         == ("ridge", "two")),
        (("--failed",), lambda each: each["encoder"] == "broken"),
        (("--failed", "--recommender", "ridge"), lambda each: (each["encoder"], each["recommender"])
         == ("broken", "ridge")),
        (("--task", "cont*"), lambda each: True),
        (("--superseded",), lambda each: False),
    ):  # fmt: skip
        assert listed(cli, results, *filters) == [each for each in everything if chosen(each)], filters
    text = cli("results", "list", results, "--failed")
    assert len(text.out.splitlines()) == 4
    line = "failed      2026-01-01T00:00  continuation: one x broken x itemknn (seed 0): no vector for 't1'"
    assert line in text.out.splitlines()
    assert text.err == "4 results\n"


@pytest.mark.parametrize("command", [("list",), ("check",), ("rm", "--yes")])
def test_a_name_without_results_is_refused_and_nothing_happens(cli, results, command):
    before = files(results)
    done = cli("results", command[0], results, "--encoder", "larp@on", *command[1:])
    assert done.code == 2
    assert "unknown encoder 'larp@on'; did you mean larp@one" in done.err
    assert files(results) == before


def test_results_are_removed_with_their_lists_and_empty_folders(cli, results):
    before = files(results)
    gone = {path for path in before if "larp-one" in path.parts[-3] and path.parts[-4] == "one"}
    filters = ("--encoder", "larp@one", "--dataset", "one")
    dry = cli("results", "rm", results, *filters, "--dry-run")
    assert (dry.code, len(dry.out.splitlines()), files(results)) == (0, 2, before)
    assert "2 results would be deleted" in dry.err
    done = cli("results", "rm", results, *filters, "--yes")
    assert done.code == 0, done.err
    assert done.out == dry.out
    assert len(gone) == 4
    assert files(results) == before - gone
    assert not [path for path in (results / "continuation").rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert cli("table", results).code == 0
    again = cli("results", "rm", results, "--failed", "--yes")
    assert (again.code, len(again.out.splitlines())) == (0, 4)
    assert cli("results", "rm", results, "--failed", "--yes").err == "no result matches\n"


def test_removal_needs_a_filter_and_a_yes(cli, results):
    before = files(results)
    bare = cli("results", "rm", results, "--yes")
    assert bare.code == 2
    assert "--encoder, --recommender, --dataset, --task, --failed or --superseded" in bare.err
    unasked = cli("results", "rm", results, "--failed")
    assert unasked.code == 2
    assert "the same command with --yes" in unasked.err
    assert files(results) == before


def test_a_damaged_result_is_listed_and_can_be_removed_by_the_names_of_its_folders(cli, results):
    path = next(results.glob("*/one/random/ridge/*.json"))
    path.write_text("{")
    (found,) = [each for each in listed(cli, results, "--encoder", "random") if each["state"] == "damaged"]
    assert found["path"] == str(path)
    assert found["damage"]
    assert cli("table", results).code == 2
    assert cli("results", "check", results, "--encoder", "random").code == 1
    assert cli("results", "check", results, "--encoder", "larp*").code == 0
    done = cli("results", "rm", results, "--encoder", "random", "--dataset", "one", "--recommender", "ridge", "--yes")
    assert done.code == 0, done.err
    assert not path.exists()
    assert not playlists_path(path).exists()
    assert cli("table", results).code == 0


def test_superseded_results_are_those_that_tables_leave_out(cli, results):
    for path in results.glob("*/one/larp*/itemknn/*.json"):
        record = json.loads(path.read_text())
        record |= {"created": "2025-01-01T00:00:00+00:00"}
        record["dataset"]["fingerprint"] = "f" * 64
        path.write_text(json.dumps(record))
    superseded = listed(cli, results, "--superseded")
    assert {(each["encoder"], each["recommender"], each["dataset"], each["state"]) for each in superseded} == {
        (name, "itemknn", "one", "superseded") for name in ("larp@one", "larp@two")
    }
    assert len(listed(cli, results, "--superseded", "--failed")) == 2 + 4
    assert "2 older results are left out" in cli("table", results).out
    assert cli("results", "rm", results, "--superseded", "--yes").code == 0
    assert "older" not in cli("table", results).out


def test_a_result_that_was_written_anew_since_it_was_chosen_stays(results):
    chosen = select(results, Selection(encoders=("random",), recommenders=("ridge",)))
    path, other = (each.path for each in chosen)
    path.write_text(read_record(path).model_copy(update={"created": "2026-02-02T00:00:00+00:00"}).model_dump_json())
    assert [each.path for each in remove(results, chosen)] == [other]
    assert path.exists()
    assert playlists_path(path).exists()
    assert not other.exists()
