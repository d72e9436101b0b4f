"""A run that is cut off: Ctrl-C, kill -9, a full disk, a folder that cannot be written."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import forked
from support.killing import assert_same, killed
from support.made_results import write_results
from support.small_data import random_tables, split_tables

KILLS = 3
VOLATILE = ("costs", "created")


def arguments(data, output, seeds=4):
    return (
        "run", "--dataset", data, "--encoders", "random,tfidf", "--recommenders", "all", "--seeds", seeds,
        "--output", output,
    )  # fmt: skip


def content(output: Path) -> dict[str, bytes | str]:
    """Everything that a results folder holds, timings aside."""
    found: dict[str, bytes | str] = {}
    for path in sorted(output.rglob("*")):
        if not path.is_file() or path.suffix == ".lock":
            continue
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            for name in VOLATILE:
                record.pop(name)
            found[str(path.relative_to(output))] = json.dumps(record)
        else:
            found[str(path.relative_to(output))] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    tables = random_tables(folder / "t", tracks=2_000, playlists=200, dim=8)
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    built = forked.run(*build, "--output", folder / "data")
    assert built.code == 0, built.err
    return folder / "data"


def test_results_after_kills_equal_those_of_an_uninterrupted_run(data, tmp_path, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home-whole"))
    whole = forked.run(*arguments(data, tmp_path / "whole"))
    assert whole.code == 0, whole.err
    home, killed = tmp_path / "home-killed", tmp_path / "killed"
    monkeypatch.setenv("LARPBENCH_HOME", str(home))
    seeded = random.Random(0)
    cut_off = 0
    while cut_off < KILLS:
        process = forked.start(*arguments(data, killed))
        for _ in range(seeded.randint(1, 6)):  # the lines of one or two cells
            process.stderr.readline()
        time.sleep(seeded.uniform(0, 0.15))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.communicate().code == -signal.SIGKILL:
            cut_off += 1
        else:  # it was done: start again from nothing
            shutil.rmtree(killed)
            shutil.rmtree(home)
    final = forked.run(*arguments(data, killed))
    assert final.code == 0, final.err
    assert content(killed) == content(tmp_path / "whole")
    assert final.out == whole.out


def test_a_run_killed_at_any_change_of_a_file_leaves_nothing_after_the_rerun(cli, tmp_path):
    tables = split_tables(tmp_path / "tables")
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    assert cli(*build, "--output", tmp_path / "data").code == 0
    run = ("run", "--dataset", tmp_path / "data", "--encoders", "tfidf", "--output", "{place}/results")
    assert_same(*killed(tmp_path / "k", *run, kills=5))


def test_a_merge_killed_at_any_change_of_a_file_ends_with_the_same_and_leaves_nothing(tmp_path):
    one = write_results(tmp_path / "one", ["a"], seeds=1)
    other = write_results(tmp_path / "other", ["b"], seeds=1)
    assert_same(*killed(tmp_path / "k", "results", "merge", one, other, "--output", "{place}/merged", kills=1_000))


def test_ctrl_c_keeps_what_is_finished(data, tmp_path):
    process = forked.start(*arguments(data, tmp_path / "r", seeds=10))
    for line in process.stderr:
        if line.startswith("[3/"):
            os.kill(process.pid, signal.SIGINT)
            break
    stopped = process.communicate()
    assert stopped.code == 130, stopped.err
    assert "run the same command again to continue" in stopped.err
    assert "Traceback" not in stopped.err
    assert not list((tmp_path / "r").rglob(".larpbench-tmp-*"))
    done = len(list((tmp_path / "r").glob("*/*/*/*/*.json")))
    assert 2 <= done < 33
    again = forked.run(*arguments(data, tmp_path / "r", seeds=10))
    assert again.code == 0
    assert f"{33 - done} cells computed, {done} kept" in again.err


@pytest.mark.parametrize("size", [500, 100_000])  # as a full disk, without one
def test_a_disk_that_is_full_ends_the_run_with_everything_finished_in_place(data, tmp_path, size):
    run = arguments(data, tmp_path / "r", seeds=1)
    stopped = forked.run(*run, file_size=size)
    assert stopped.code == 1
    assert "error: cannot write: File too large" in stopped.err
    assert "Traceback" not in stopped.err
    for path in (tmp_path / "r").glob("*/*/*/*/*.json"):
        json.loads(path.read_text())
    again = forked.run(*run)
    assert again.code == 0, again.err


def test_a_really_full_disk(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        stopped = forked.run(*arguments(data, disk / "r"))
        assert stopped.code == 1
        assert "error: cannot write: No space left on device" in stopped.err
        assert "free some space" in stopped.err
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_output_that_cannot_be_written(cli, small, tmp_path):
    (tmp_path / "file").write_text("x")
    for output in (tmp_path / "file", Path("/proc/larpbench")):
        outcome = cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", output)
        assert outcome.code == 1, output
        assert "error: cannot write" in outcome.err
        assert "next: choose a folder" in outcome.err
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        return  # root may write anywhere
    outcome = cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", folder)
    assert outcome.code == 1
    assert "Permission denied" in outcome.err
