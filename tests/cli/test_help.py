"""The command line describes itself: version, help in full, completion, lines of a usual length."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
import typer

from larpbench.cli import app

KINDS = ("encoders", "recommenders", "datasets", "tasks")


def commands(command=None, words=()):
    """Every command and group, as the words that name it."""
    command = command or typer.main.get_command(app)
    yield words
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from commands(below, (*words, name))


ALL = sorted(commands())


def test_the_version(cli):
    assert cli("--version").out == f"larpbench {metadata.version('larpbench')}\n"


@pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(words) or "larpbench")
def test_help_has_a_short_form_and_is_not_cut(cli, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = cli(*words, "--help")
    assert shown.code == 0
    assert cli(*words, "-h").out == shown.out
    listed = shown.out.partition("\nCommands:\n")[2]
    assert not re.search(r"\.\.\.$", listed, re.MULTILINE), "the first sentence of a help text is too long"
    assert all(len(line) <= 80 for line in listed.splitlines())


@pytest.mark.parametrize("words", ALL[1:], ids=" ".join)
def test_every_help_has_examples_of_its_own(cli, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    _, examples = re.split(r"\n  Examples?:\s+", cli(*words, "--help").out)
    assert examples.startswith(" ".join(("larpbench", *words)))


@pytest.mark.parametrize(
    ("command", "near"),
    [
        (("list", "encoder"), "did you mean encoders"),
        (("list", "dataset"), "did you mean datasets"),
        (("describe", "encoders", "tfidf"), "did you mean encoder"),
        (("check", "recomender", "itemknn"), "did you mean recommender"),
        (("check", "encoders"), "which encoder?"),
        (("dataset", "biuld"), "Did you mean 'build'"),
        (("dataset", "fetch", "onoin"), "did you mean onion"),
        (("train", "lapr"), "Did you mean 'larp'"),
        (("results", "lst"), "Did you mean 'list'"),
        (("reproduce", "tabel2"), "did you mean table2"),
        (("describe", "task", "continuatoin"), "did you mean continuation"),
        (("tabel",), "Did you mean 'table'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_word_that_is_nearly_right_is_answered_with_the_right_one(cli, command, near):
    refused = cli(*command)
    assert refused.code == 2
    assert near in refused.err


def test_the_main_help_names_every_command(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    listed = cli("--help").out.partition("\nCommands:\n")[2]
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ")} >= {
        words[0] for words in ALL if words
    }


def test_completion(tmp_path):
    """A shell asks for completions as it does once --install-completion has been run."""
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    installed = subprocess.run(
        [sys.executable, "-m", "larpbench", "--install-completion", "bash"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    assert "COMPLETE" in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    asked = {"_LARPBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "larpbench des", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['larpbench']; from larpbench.cli import main; main()"
    offered = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked, check=False
    )
    assert offered.stdout.split() == ["describe"], offered.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_lists_have_lines_of_a_usual_length(cli, kind):
    lines = cli("list", kind).out.splitlines()
    assert lines
    assert max(map(len, lines)) <= 100


def test_the_list_of_encoders_says_name_modality_dimension_and_status(cli):
    (line,) = cli("list", "encoders", "tfidf").out.splitlines()
    assert line.split()[:4] == ["tfidf", "text", "1024", "ready"]
