"""Arguments that make no sense: each verb refuses them with one message, and ignores none that it does not read."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import typer

from larpbench.cli import app
from larpbench.datasets.artists import toy
from larpbench.reproduction import targets

LONG = "x" * 300
NAMES = ("@", "+", "*[")  # strange, and good enough
TEXTS = (LONG, "a:" + LONG, LONG + ".csv", "é" * 200, "", "\0", "a\udcffb", "/dev/null/x", "a-file", *NAMES)
NUMBERS = ("inf", "nan", "-inf", "-1", "1e308", "1e9", "1" + "0" * 30, "many", "")
BASE = {
    "run": ("--dataset", "small", "--encoders", "random", "--output", "a-file"),
    "plan": ("--dataset", "small", "--encoders", "random"),
    "list": ("encoders", "tfidf"),
    "describe": ("encoder", "tfidf"),
    "fetch": ("tfidf",),
    "encode": ("--encoder", "random", "--dataset", "small"),
    "reproduce": ("table1", "--dataset", "small"),
    "table": ("empty",),
    "compare": ("empty", "tfidf", "random"),
    "report": ("empty",),
    "check": ("encoder", "tfidf"),
    "cite": ("tfidf",),
    "layers": ("tfidf", "--dataset", "small"),
    "dataset check": ("small",),
    "dataset stats": ("small",),
    "dataset build mpd": ("--source", "empty"),
    "dataset build lfm": ("--source", "empty"),
    "dataset build olga": ("--source", "empty", "--edges", "a-file"),
    "dataset build disco-olga": ("--source", "empty"),
    "dataset build artist-graph": ("--artists", "a-file", "--tracks", "a-file", "--edges", "a-file", "--output", "o"),
    "dataset build toy-artists": ("--output", "a-file"),
    "dataset build demo": ("--output", "a-file"),
    "dataset build csv": ("--tracks", "tracks.csv", "--playlists", "playlists.csv", "--output", "a-file"),
    "dataset build folder": ("--audio", "empty", "--output", "o"),
    "dataset build onion": ("--source", "empty", "--output", "o"),
    "dataset build yambda": ("--source", "empty", "--output", "o"),
    "dataset build talkplay": ("--source", "empty", "--output", "o"),
    "dataset build melon": ("--source", "empty", "--output", "o"),
    "dataset build aotm": ("--source", "empty", "--output", "o"),
    "dataset fetch": ("nothing",),
    "train larp": ("--dataset", "empty"),
    "train clap-ft": ("--dataset", "empty"),
    "train co-playlist": ("--dataset", "empty"),
    "train cnn": ("--dataset", "empty"),
    "train factors": ("--dataset", "empty"),
    "convert larp": ("a-file", "--output", "o"),
    "results export": ("empty", "e.csv"),
    "results check": ("empty",),
    "results list": ("empty",),
    "results rm": ("empty", "--encoder", "tfidf"),
    "export mteb": ("small", "--output", "a-file"),
    "results merge": ("empty", "empty", "--output", "o"),
}


def verbs(command, path=()):
    for name, each in getattr(command, "commands", {}).items():
        yield from verbs(each, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(path), command


VERBS = dict(verbs(typer.main.get_command(app)))


def hostile_calls(verb):
    """Yield the base of a verb with one argument or option after the other replaced by each hostile value."""
    arguments = [each for each in VERBS[verb].params if each.param_type_name == "argument"]
    for parameter in VERBS[verb].params:
        if parameter.name == "help" or getattr(parameter, "is_flag", False):
            continue
        is_number = {"min", "max"} & {name for name in dir(parameter) if getattr(parameter, name, None) is not None}
        values = [
            each for each in TEXTS if verb != "dataset build demo" or each not in ("a-file", *NAMES)
        ]  # it takes long
        for value in NUMBERS if is_number else values:
            call = list(BASE[verb])
            if parameter in arguments:
                call[arguments.index(parameter)] = value
            else:
                option = parameter.opts[0]
                if option in call:
                    del call[call.index(option) : call.index(option) + 2]
                call += [option, value]
            yield call


def test_every_verb_is_tried():
    assert set(BASE) == set(VERBS) - {"doctor"}  # takes no argument


@pytest.mark.parametrize("verb", sorted(BASE))
def test_hostile_arguments_end_in_one_message(verb, small, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(small.folder)
    monkeypatch.setattr(toy, "ToySpec", partial(toy.ToySpec, artists=60, communities=4, degree=8.0))
    Path("a-file").write_text("x")
    Path("empty").mkdir()
    for call in hostile_calls(verb):
        done = cli(*verb.split(), *call)
        assert done.code in (0, 1, 2, 3), call
        assert "Traceback" not in done.err, call
        assert not {"\0", "\x1b"} & set(done.out + done.err), call
        assert max(map(len, done.err.splitlines()), default=0) < 2_000, call
        if done.code:
            assert len([line for line in done.err.splitlines() if line.lower().startswith("error: ")]) == 1, call


@pytest.mark.parametrize("option", ["--clip-seconds", "--train-fraction"])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e308", "-1"])
def test_lengths_and_shares_are_finite(small, cli, tmp_path, option, value):
    command = ("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists)
    done = cli(*command, "--output", tmp_path / "o", option, value)
    assert done.code == 2
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", [LONG, "y/" + LONG])
def test_a_name_that_is_too_long_for_a_file(small, cli, tmp_path, name):
    data = small.folder / "small"
    unknown = cli("run", "--dataset", name)
    assert unknown.code == 2
    assert "unknown dataset" in unknown.err
    for command in (
        ("run", "--dataset", data, "--encoders", "random", "--output", tmp_path / name),
        ("dataset", "build", "toy-artists", "--output", tmp_path / name),
        ("report", tmp_path / name),
    ):  # fmt: skip
        refused = cli(*command)
        assert refused.code == 2, command
        assert "too long" in refused.err or "no results" in refused.err


def test_an_error_that_is_not_the_users_is_not_hidden(small, cli, monkeypatch):
    from larpbench.results import table as tables

    def broken(folder, *more):
        raise FileNotFoundError(2, "No such file or directory", "/somewhere/inside")

    monkeypatch.setattr(tables, "read_tables", broken)
    with pytest.raises(FileNotFoundError):
        cli("table", small.folder)


def test_a_home_of_nobody(cli, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", "~nobody-is-called-so/x")
    done = cli("list", "datasets")
    assert done.code == 2
    assert "no such user" in done.err


OPTIONS = {
    "encoders": "nonsense_xyz",
    "recommenders": "nonsense_xyz",
    "protocol": "paper",
    "trained_on": "demo-2",
    "size": "tiny",
    "seeds": "1",
    "budget": "1",
    "results": "elsewhere",
}
READ = {
    "table1": (),
    "table2": ("encoders", "recommenders", "size", "seeds", "budget", "results"),
    "table3": ("encoders", "recommenders", "size", "seeds", "budget", "results"),
    "table4": ("encoders", "recommenders", "size", "seeds", "budget", "results", "trained_on"),
    "figure3": ("encoders", "size", "seeds", "budget", "results"),
    "figure4": ("size", "seeds", "budget", "results"),
    "figure5": ("encoders", "size", "seeds", "budget", "results"),
    "artist-similarity": ("encoders", "recommenders", "protocol", "seeds", "results"),
}


@pytest.mark.parametrize("target", READ)
def test_an_option_that_a_target_does_not_read_is_refused_before_any_work(target, cli, tmp_path, home):
    for name in set(OPTIONS) - set(READ[target]):
        option = f"--{name.replace('_', '-')}"
        done = cli("reproduce", target, option, OPTIONS[name], "--output", tmp_path / "made")
        assert done.code == 2, (target, option)
        assert f"{option} changes nothing of {target}" in done.err
    assert not list(home.iterdir())
    assert not (tmp_path / "made").exists()


def test_an_option_that_one_of_several_targets_reads_is_fine():
    for target, options in READ.items():
        targets.require_read((target,), options)
        targets.require_read(("table1", target), options)
    targets.require_read(targets.chosen(["all"]), ["trained_on", "size", "budget"])
    assert {*READ} == {*targets.OF_PLAYLISTS, "artist-similarity"}


def test_all_refuses_what_none_of_its_targets_reads(cli):
    assert cli("reproduce", "all", "--protocol", "paper").code == 2


def test_names_of_a_second_data_set_are_checked_before_any_target(small, cli, tmp_path):
    done = cli(
        "reproduce", "all", "--dataset", small.folder / "small", "--trained-on", "nonsense", "--output", tmp_path / "m"
    )
    assert done.code == 2
    assert "unknown dataset 'nonsense'" in done.err
    assert "== table1" not in done.err


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "tiny", "--towers", "random,tfidf"),
        ("--audio-weights", "random"),
    ],
)
def test_train_refuses_what_its_stages_and_size_do_not_read(cli, options):
    done = cli("train", "larp", *options)
    assert done.code == 2
    assert done.err.startswith("error: ")


def test_bytes_that_are_no_text(tmp_path, home):
    done = subprocess.run(
        [sys.executable, "-m", "larpbench", "table", b"a\xffb"],
        env={**os.environ}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no text" in done.stderr


def test_an_output_that_holds_something_else_is_refused_before_long_work(small, cli, tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "diary.txt").write_text("mine")
    monkeypatch.setattr("larpbench.datasets.demo.build.draw_world", lambda spec: pytest.fail("it was made"))
    decoder = "larpbench.datasets.sources.folder.build.audible_tracks"
    monkeypatch.setattr(decoder, lambda *_: pytest.fail("it was decoded"))
    for command in (("demo",), ("folder", "--audio", small.folder)):
        refused = cli("dataset", "build", *command, "--output", tmp_path / "taken")
        assert refused.code == 2
        assert "holds something else" in refused.err
    assert (tmp_path / "taken" / "diary.txt").read_text() == "mine"


def test_options_of_a_split_or_of_audio_that_is_not_there_are_refused(small, cli, tmp_path):
    command = ("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists)
    for option in (("--train-fraction", "0.5"), ("--min-length", "3"), ("--split-rule", "tracks"),
                   ("--clip-seconds", "5")):  # fmt: skip
        refused = cli(*command, *option, "--output", tmp_path / "o")
        assert refused.code == 2, option
        assert option[0] in refused.err
    assert not (tmp_path / "o").exists()
