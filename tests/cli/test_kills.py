"""A command that is killed at any change that it makes to files: run again, it ends with the same and leaves nothing.

What a living process writes is never swept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from support.killing import assert_same, killed
from support.made_results import write_results
from support.published_data import draw_tracks, mpd_playlist, write_zip
from support.small_data import split_tables

from larpbench import storage
from larpbench.datasets.demo.build import build_demo
from larpbench.datasets.demo.world import WorldSpec
from larpbench.errors import UsageError


@pytest.fixture
def tables(tmp_path):
    return split_tables(tmp_path / "tables")


@pytest.fixture
def results(tmp_path):
    one = write_results(tmp_path / "one", ["a", "b"], seeds=2)
    other = write_results(tmp_path / "other", ["c"], seeds=2)
    return one, other


def csv(tables, output):
    return (
        "dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists, "--output", output,
    )  # fmt: skip


def test_dataset_build_csv(tables, tmp_path):
    assert_same(*killed(tmp_path / "k", *csv(tables, "{place}/data")))


def test_dataset_build_mpd(tmp_path):
    slices = {}
    for first in range(0, 3_000, 1_000):
        playlists = [mpd_playlist(pid, draw_tracks(pid, 400)) for pid in range(first, first + 60)]
        slices[f"mpd.slice.{first}-{first + 999}.json"] = {"info": {}, "playlists": playlists}
    source = write_zip(tmp_path / "mpd.zip", slices)
    sizes = ("--train-tracks", 150, "--valid-playlists", 15, "--test-playlists", 25)
    build = ("dataset", "build", "mpd", "--source", source, "--output", "{place}/data", *sizes)
    assert_same(*killed(tmp_path / "k", *build))


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_results_export(results, tmp_path, name):
    assert_same(*killed(tmp_path / "k", "results", "export", results[0], f"{{place}}/{name}"))


def test_report(results, tmp_path):
    assert_same(*killed(tmp_path / "k", "report", results[0], "--output", "{place}/report"))


def test_train_factors(cli, tables, tmp_path):
    """At any change of a file: between vectors and weights, and in the middle of either."""
    assert cli(*csv(tables, tmp_path / "data")).code == 0
    train = ("train", "factors", "--dataset", tmp_path / "data", "--views", f"tfidf,precomputed:{tables.vectors}")
    whole, places = killed(tmp_path / "k", *train, kills=3)
    assert_same(whole, places)
    assert len(list(whole.glob("home/checkpoints/factors/*/model.safetensors"))) == 1


@pytest.mark.parametrize("prefix", [storage.TEMPORARY_PREFIX, storage.LOCK_PREFIX])
@pytest.mark.parametrize("name", ["data", "data-2", "0a1b2c3d", "x" * 200, "ünï [1]"])
def test_what_a_killed_process_has_left_goes_on_the_next_start(tmp_path, prefix, name):
    left = tmp_path / f"{prefix}{name}"
    if prefix == storage.LOCK_PREFIX:
        left = left.with_name(f"{left.name}.lock")
        left.touch()
    else:
        left.mkdir()
        (left / "half").write_text("x")
    (tmp_path / "mine").write_text("x")
    (tmp_path / ".larpbench").mkdir()
    with storage.atomic_folder(tmp_path / "data") as folder:
        (folder / "whole").write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".larpbench", "data", "mine"]


LIVING = """
import sys, pathlib
from larpbench import storage
output = pathlib.Path(sys.argv[1])
with storage.atomic_folder(output) as folder, storage.atomic_file(output.parent / "file") as file:
    (folder / "part").write_text("one")
    file.write_text("two")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def test_what_a_living_process_writes_is_not_swept(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LIVING, str(tmp_path / "living")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    storage.sweep(tmp_path)
    with storage.staging_folder(tmp_path / "other"):
        pass
    process.communicate("go on\n")
    assert process.returncode == 0
    assert (tmp_path / "living" / "part").read_text() == "one"
    assert (tmp_path / "file").read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "living"]


COUNTING = """
import sys, pathlib
from larpbench import storage
output = pathlib.Path(sys.argv[1])
for _ in range(40):
    with storage.locked(output):
        before = int(output.read_text()) if output.exists() else 0
        storage.write_text(output, str(before + 1))
    storage.sweep(output.parent)
"""


def test_a_lock_whose_file_comes_and_goes_still_lets_one_in_at_a_time(tmp_path):
    command = [sys.executable, "-c", COUNTING, str(tmp_path / "count")]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait() == 0
    assert (tmp_path / "count").read_text() == "120"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_another_thread_waits_and_the_same_one_does_not(tmp_path):
    order = []

    def wait():
        with storage.locked(tmp_path / "x"):
            order.append("second")

    with storage.locked(tmp_path / "x"), storage.locked(tmp_path / "y" / ".." / "x"):
        other = threading.Thread(target=wait)
        other.start()
        time.sleep(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(("silent", "said"), [(0.05, True), (60.0, False)])
def test_whoever_waits_for_long_says_for_what(tmp_path, monkeypatch, capsys, silent, said):
    monkeypatch.setattr("larpbench.storage._SILENT_SECONDS", silent)

    def wait():
        with storage.locked(tmp_path / "model"):
            pass

    with storage.locked(tmp_path / "model"):
        other = threading.Thread(target=wait)
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join()
    message = f"waiting for another process, which is making {tmp_path / 'model'}\n"
    assert capsys.readouterr().err == (message if said else "")


def test_a_folder_where_no_lock_can_be_made_is_named(cli, results):
    for arguments in (
        ("results", "export", results[0], "/proc/larpbench.csv"),
        ("report", results[0], "--output", "/proc/larpbench"),
    ):
        outcome = cli(*arguments)
        assert outcome.code == 1
        assert "error: cannot write" in outcome.err
        assert "/proc/larpbench" in outcome.err


def test_what_is_left_of_a_demo_that_was_just_finished_is_swept(tmp_path):
    spec = WorldSpec(tracks=(16, 16, 16), playlists=(6, 6, 6), artists=(2, 2, 2))
    build_demo(tmp_path / "demo", spec)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    for name in ("tmp-demo.audio", "tmp-demo"):
        (tmp_path / f".larpbench-{name}").mkdir()
    (tmp_path / ".larpbench-lock-demo.lock").touch()
    build_demo(tmp_path / "demo")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_merge_refuses_what_is_not_its_own_result(cli, results, tmp_path):
    merge = ("results", "merge", *results, "--output", tmp_path / "merged")
    assert cli(*merge).code == 0
    again = cli(*merge)
    assert again.code == 0
    assert "they were there already" in again.out
    record = min((tmp_path / "merged").glob("*/*/*/*/*.json"))
    for change in (lambda: record.write_text(record.read_text() + " "), record.unlink):
        change()
        refused = cli(*merge)
        assert refused.code == 2
        assert "not empty" in refused.err
    assert not list(tmp_path.rglob(".larpbench-*"))


def test_a_folder_that_is_the_same_stays_and_another_is_refused(tmp_path):
    for text, moved in (("a", True), ("a", False)):
        with storage.staging_folder(tmp_path / "out") as folder:
            (folder / "file").write_text(text)
            assert storage.put_in_place_once(folder, tmp_path / "out") is moved
    with storage.staging_folder(tmp_path / "out") as folder, pytest.raises(UsageError, match="something else"):
        (folder / "file").write_text("b")
        storage.put_in_place_once(folder, tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "a"
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208
