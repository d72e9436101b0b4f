"""Commands that are printed to be run next: a shell takes them as they stand, whatever the folders are called."""

from __future__ import annotations

import json
import shlex

import pytest
from support.made_results import write_results

NAMES = ("my data", "it's $HOME", "a;b&c", "*")


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_of_a_new_data_set_is_one_word(cli, small, tmp_path, name):
    folder = tmp_path / name / "set"
    built = cli("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists, "--output", folder)
    assert built.code == 0, built.err
    (line,) = [line for line in built.out.splitlines() if "verify it" in line]
    command = shlex.split(line[line.index("larpbench") : -1])
    assert command == ["larpbench", "dataset", "check", str(folder)]
    assert cli(*command[1:]).code == 0
    described = cli("describe", "dataset", folder, "--json")
    assert described.code == 0, described.err
    words = shlex.split(json.loads(described.out)["next"].replace("; larpbench", " ; larpbench"))
    assert words.count(str(folder)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_of_results_is_one_word(cli, tmp_path, name):
    results = write_results(tmp_path / name, ["a", "b"])
    refused = cli("results", "rm", results)
    assert refused.code == 2
    command = shlex.split(refused.err.rpartition("next: ")[2])
    assert command == ["larpbench", "results", "list", str(results)]
    assert cli(*command[1:]).code == 0
    nothing = cli("table", results / "none")
    assert shlex.split(nothing.err.rpartition("next: ")[2])[-1] == str(results / "none")
