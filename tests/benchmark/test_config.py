"""A run as a file: ``--config FILE`` on `run` and `plan`."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from support.small_data import build_split_tables
from support.small_graphs import small_toy

import larpbench
from larpbench.benchmark.config import _KEYS, RunConfig, read_config
from larpbench.cli import plan as plan_verb
from larpbench.cli import run as run_verb
from larpbench.errors import UsageError
from larpbench.offline import go_online


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    for name in ("one", "two"):
        build_split_tables(folder / name, seeds={"test": int(name == "two")})
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A working directory with two data sets and the vectors of the first."""
    for name in ("one", "two"):
        shutil.copytree(made / name, tmp_path / name)
    shutil.copy(made / "one-tables" / "vectors.npz", tmp_path / "vectors.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text, name="bench.toml"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def records(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]


FILE = """
datasets = ["one", "two"]
recommenders = ["itemknn", "ridge"]
seeds = 2
budget = 1
output = "made"
[encoders]
words = "tfidf"
random = "random"
"""


def test_a_file_means_what_the_flags_mean(here, cli):
    write(here, FILE)
    done = cli("run", "--config", "bench.toml")
    assert done.code == 0, done.err
    assert [line for line in done.out.splitlines() if line.startswith("## ")] == [
        "## continuation: one",
        "## continuation: two",
    ]
    assert "14 cells computed, 0 kept, 0 failed. Results: made" in done.err
    assert {record["cell"]["encoder"] for record in records(here / "made")} == {"words", "random"}
    digest = hashlib.sha256((here / "bench.toml").read_bytes()).hexdigest()
    assert {record["config"] for record in records(here / "made")} == {digest}

    flags = ("--dataset", "one,two", "--encoders", "words=tfidf,random", "--recommenders", "itemknn,ridge")
    flags += ("--seeds", "2", "--budget", "1")
    again = cli("run", *flags, "--output", "made")
    assert "0 cells computed, 14 kept" in again.err  # the file is no part of the key
    assert again.out == done.out
    by_flags = cli("run", *flags, "--output", "other")
    assert by_flags.code == 0, by_flags.err
    assert by_flags.out == done.out
    for ours, theirs in zip(records(here / "made"), records(here / "other"), strict=True):
        assert "config" not in theirs
        assert (ours["key"], ours["metrics"]) == (theirs["key"], theirs["metrics"])


def test_flags_take_the_place_of_the_file(here, cli):
    write(here, FILE)

    def planned(*flags):
        found = cli("plan", "--config", "bench.toml", "--json", *flags)
        assert found.code == 0, found.err
        return json.loads(found.out)

    def names(plan, *fields):
        return sorted({tuple(cell[field] for field in fields) for cell in plan["cells"]})

    first, second = planned()
    assert [names(first, "dataset"), names(second, "dataset")] == [[("one",)], [("two",)]]
    assert first["output"] == str(here / "made")
    assert names(first, "encoder", "seed") == [("random", 0), ("random", 1), ("words", 0), ("words", 1)]
    one = planned("--dataset", "two", "--seeds", "1", "--encoders", "random", "--output", "elsewhere")
    assert names(one, "dataset", "encoder", "seed") == [("two", "random", 0)]
    assert one["output"] == str(here / "elsewhere")
    same_as_default = planned("--dataset", "one", "--recommenders", "default", "--seeds", "3")
    assert names(same_as_default, "recommender", "seed") == [("itemknn", 0), ("itemknn", 1), ("itemknn", 2)]
    (changed,) = read_config("bench.toml", {"datasets": ["one"], "limit": 2}).plans()
    assert (changed.task.limit, changed.dataset.name) == (2, "one")


def test_options_of_the_task_are_a_table_and_flags_change_them_one_by_one(tmp_path, cli):
    artists = small_toy(tmp_path / "artists")
    file = write(
        tmp_path,
        f'task = "artist-similarity"\ndataset = "{artists}"\nencoders = "random"\nseeds = 1\n'
        '[options]\nlayers = [0]\nepochs = 2\nvisible-edges = "none"\n',
    )
    (plan,) = read_config(file).plans()
    assert plan.task.protocol == "artist-similarity-v1/visible-edges=none,epochs=2"
    assert "gnn-sage-0" in {each.cell.recommender for each in plan.cells}
    done = cli("run", "--config", file, "-O", "epochs=1", "--output", tmp_path / "results")
    assert done.code == 0, done.err
    assert "(visible-edges=none,epochs=1)" in done.out


def test_encoders_have_labels_and_columns(here, cli):
    mine = '{encoder = "precomputed:vectors.npz", column = "embeddings"}'
    file = write(here, f'dataset = "one"\n[encoders]\nmine = {mine}\n')
    assert read_config(file).encoders == ("mine=precomputed:vectors.npz#embeddings",)
    assert cli("run", "--config", file).code == 0
    (record,) = records(here / "results")
    assert record["cell"]["encoder"] == record["encoder"]["label"] == "mine"
    assert record["encoder"]["identity"] == "precomputed:vectors.npz#embeddings"
    file = write(here, 'encoders = "tfidf,precomputed:vectors.npz"\ncolumn = "embeddings"')
    assert read_config(file).encoder_names == ["tfidf", "precomputed:vectors.npz#embeddings"]
    file = write(here, 'similarity-by = "random"\nlimit = 3')
    assert (read_config(file).similarity_by, read_config(file).limit) == ("random", 3)
    file = write(here, 'encoders = ["b=random", "tfidf", "tfidf"]')
    assert read_config(file).encoders == ("b=random", "tfidf")


def test_the_home_folder_may_be_written_as_in_a_shell(here, cli, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.chdir("/")
    file = write(here, 'dataset = "~/one"\nencoders = "precomputed:~/vectors.npz"\noutput = "~/made"')
    (plan,) = read_config(file).plans()
    assert (plan.dataset.folder, plan.output) == (here / "one", here / "made")
    assert not plan.unavailable


def test_nothing_is_computed_if_one_data_set_cannot_be_tested(here, cli):
    shutil.copy(here / "vectors.npz", here / "some.npz")
    file = write(here, 'datasets = ["one", "two"]\nencoders = ["precomputed:vectors.npz"]')  # two has other test tracks
    done = cli("run", "--config", file)
    assert done.code == 3, done.err
    assert "cannot run: precomputed:vectors.npz" in done.err
    assert not (here / "results").exists()
    assert cli("run", "--dataset", "one,nowhere").code == 2
    assert not (here / "results").exists()


def test_a_comma_in_the_name_of_a_folder_separates_nothing(here, cli):
    shutil.move(here / "two", here / "two,three")
    found = cli("plan", "--dataset", "one,two,three", "--encoders", "tfidf", "--json")
    assert [plan["cells"][0]["dataset"] for plan in json.loads(found.out)] == ["one", "two"]


def test_network_and_smoke_runs_are_read_from_the_file_too(here, cli):
    both = cli("run", "--config", write(here, "offline = true\ndownload = true"))
    assert both.code == 2
    assert "--offline refuses it" in both.err
    smoke = cli("run", "--config", write(here, 'dataset = "one"\nencoders = "tfidf"\nlimit = 2\noffline = true'))
    assert smoke.code == 0, smoke.err
    assert "one (limit=2)" in smoke.out
    go_online()


KEYS = "allowed: allow_leaky, backend, budget, column, dataset, datasets, device, download, draws, encoders, engine, "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed = 3", ["unknown key 'seed'; did you mean seeds?", KEYS]),
        ("datasets = ['a']\ndataset = 'a'", ["datasets is there twice"]),
        ("similarity-by = 'a'\nsimilarity_by = 'a'", ["similarity_by is there twice"]),
        ("config = 'other.toml'", ["unknown key 'config'"]),
        ("digest = 'abc'", ["unknown key 'digest'"]),
        ("condition = 'always'", ["unknown key 'condition'"]),
        ("seeds = 'three'", ["seeds is 'three'", "allowed: a whole number from 1 to 1000"]),
        ("seeds = 0", ["seeds is 0", "allowed: a whole number from 1 to 1000"]),
        ("seeds = 2.0", ["seeds is 2.0"]),
        ("limit = true", ["limit is True", "allowed: a whole number from 1"]),
        ("download = 'yes'", ["download is 'yes'", "allowed: true or false"]),
        ("if = 'never'", ["if is 'never'", "allowed: missing, stale or always"]),
        ("output = 3", ["output is 3", "allowed: the path of a folder"]),
        ("encoders = []", ["encoders is []", "allowed: a list of names, or a table"]),
        ("encoders = ['tfidf', 3]", ["encoders is ['tfidf', 3]"]),
        ("encoders = ['tfidf', '']", ["encoders is ['tfidf', '']"]),
        ("datasets = {a = 'b'}", ["datasets is {'a': 'b'}"]),
        ("options = 'layers=3'", ["options is 'layers=3'", "allowed: a table"]),
        ("[encoders]\nx = 3", ["the encoder 'x' is 3"]),
        ("[encoders]\nx = 'tfidf'\nseeds = 3", ["the encoder 'seeds' is 3", "put seeds above the first [table]"]),
        ("[encoders]\nx = {column = 'a'}", ["the encoder 'x' has no name"]),
        ("[encoders]\nx = {encoder = 'tfidf', colum = 'a'}", ["key of the encoder 'x': 'colum'; did you mean column?"]),
        ("[encoders]\nx = {encoder = 'tfidf', column = 'a'}", ["the column 'a' is of no file"]),
        ("[encoders]\n'a+b' = 'tfidf'", ["'a+b' = 'tfidf' is no encoder with a label"]),
        ("[encoders]\na = 'b=tfidf'", ["'a' = 'b=tfidf' is no encoder with a label"]),
        ("encoders = [\n'tfidf'\nseeds = 3", ["no TOML: Unclosed array (at line 3, column 1)"]),
        ("seeds = 1\nseeds = 2", ["no TOML: Cannot overwrite a value"]),
        ("<!DOCTYPE html>\n<html>", ["no TOML: it is HTML or XML"]),
        ('{"seeds": 3}', ["no TOML: Invalid statement (at line 1"]),
        ("x = " + "[" * 3000, ["no TOML"]),
        ("x = '\xff'".encode("latin-1"), ["no text in UTF-8"]),
        (None, ["cannot be read: No such file or directory"]),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_allowed(here, cli, text, says):
    if text is not None:
        (here / "bench.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for verb in ("run", "plan"):
        refused = cli(verb, "--config", "bench.toml")
        assert refused.code == 2, refused.err
        assert "where: bench.toml" in refused.err
        for part in says:
            assert part in refused.err
    assert not (here / "results").exists()
    assert cli("plan", "--config", here).code == 2  # a folder


@given(st.text(max_size=60) | st.builds("{} = {}".format, st.sampled_from(sorted(RunConfig.model_fields)), st.text()))
@settings(deadline=None, max_examples=80)
def test_any_text_is_a_run_or_an_error_that_says_where(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass"))
    try:
        assert read_config(file).digest == hashlib.sha256(file.read_bytes()).hexdigest()
    except UsageError as error:
        assert str(file) in str(error)


def test_there_is_one_list_of_options_and_one_set_of_defaults():
    fields = {name: field.default for name, field in RunConfig.model_fields.items() if name != "digest"}
    arguments = inspect.signature(larpbench.plan).parameters
    for name, default in fields.items():
        if name in arguments and name != "output":
            there = arguments[name].default
            assert default in (there, (there,)) or dict(there) == default
    for verb in (run_verb.run, plan_verb.plan):
        flags = {name: each.default for name, each in inspect.signature(verb).parameters.items()}
        own = {"context", "config", "as_json"}
        assert set(flags) - own <= set(fields)
        assert set(fields) - set(flags) <= (
            {"download", "offline", "wait", "shard_timeout"} if verb is plan_verb.plan else set()
        )
        given = {name: default for name, default in flags.items() if name not in own | {"task_options"}}
        made = RunConfig(**given)
        assert {name: getattr(made, name) for name in given} == {name: fields[name] for name in given}
    assert set(_KEYS.values()) <= set(fields)


def test_the_engine_of_the_command_line_takes_the_place_of_workers_too(cli, with_demo, tmp_path):
    file = tmp_path / "bench.toml"
    file.write_text('encoders = ["tfidf"]\nengine = "ray"\nworkers = 3\nshard-timeout = 60\n')
    assert read_config(file).chosen_engine().shard_timeout == 60
    assert read_config(file, {"engine": "local"}).chosen_engine().is_local
    with pytest.raises(UsageError, match="--workers without an engine"):
        read_config(file, {"engine": "local", "workers": 2}).chosen_engine()
    done = cli("plan", "--config", file, "--engine", "local")
    assert done.code == 0, done.err
    assert "wall-clock time" not in done.out


def test_the_page_lists_every_key():
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    keys = {name: name.replace("_", "-") for name in RunConfig.model_fields if name != "digest"}
    keys |= {"condition": "if", "task_options": "[options]"}
    assert [key for key in keys.values() if f"`{key}`" not in page] == []
