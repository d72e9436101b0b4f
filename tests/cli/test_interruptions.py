"""A run that is cut off: Ctrl-C, kill -9, a full disk, a folder that cannot be written."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.killing import assert_same, killed
from support.made_results import write_results
from support.small_data import random_tables, split_tables

KILLS = 8
VOLATILE = ("costs", "created")


def arguments(data, output, seeds=4):
    return [
        sys.executable, "-m", "larpbench", "run", "--dataset", str(data), "--encoders", "random,tfidf",
        "--recommenders", "all", "--seeds", str(seeds), "--output", str(output),
    ]  # fmt: skip


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


@pytest.fixture
def data(cli, tmp_path):
    tables = random_tables(tmp_path / "t", tracks=2_000, playlists=200, dim=8)
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    assert cli(*build, "--output", tmp_path / "data").code == 0
    return tmp_path / "data"


def test_results_after_kills_equal_those_of_an_uninterrupted_run(data, tmp_path, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home-whole"))
    whole = subprocess.run(arguments(data, tmp_path / "whole"), capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    home, killed = tmp_path / "home-killed", tmp_path / "killed"
    monkeypatch.setenv("LARPBENCH_HOME", str(home))
    seeded = random.Random(0)
    cut_off = 0
    while cut_off < KILLS:
        process = subprocess.Popen(
            arguments(data, killed), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        assert process.stderr is not None
        for _ in range(seeded.randint(1, 6)):  # the lines of one or two cells
            process.stderr.readline()
        time.sleep(seeded.uniform(0, 0.15))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            cut_off += 1
        else:  # it was done: start again from nothing
            shutil.rmtree(killed)
            shutil.rmtree(home)
    final = subprocess.run(arguments(data, killed), capture_output=True, text=True, check=False)
    assert final.returncode == 0, final.stderr
    assert content(killed) == content(tmp_path / "whole")
    assert final.stdout == whole.stdout


def test_a_run_killed_at_any_change_of_a_file_leaves_nothing_after_the_rerun(cli, tmp_path):
    tables = split_tables(tmp_path / "tables")
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    assert cli(*build, "--output", tmp_path / "data").code == 0
    run = ("run", "--dataset", tmp_path / "data", "--encoders", "tfidf", "--output", "{place}/results")
    assert_same(*killed(tmp_path / "k", *run, kills=5))


def test_a_merge_killed_at_any_change_of_a_file_ends_with_the_same_and_leaves_nothing(tmp_path):
    one = write_results(tmp_path / "one", ["a"], seeds=2)
    other = write_results(tmp_path / "other", ["b"], seeds=1)
    assert_same(*killed(tmp_path / "k", "results", "merge", one, other, "--output", "{place}/merged", kills=1_000))


def test_ctrl_c_keeps_what_is_finished(data, tmp_path):
    process = subprocess.Popen(
        arguments(data, tmp_path / "r", seeds=30), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[3/"):
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "run the same command again to continue" in err
    assert "Traceback" not in err
    assert not list((tmp_path / "r").rglob(".larpbench-tmp-*"))
    done = len(list((tmp_path / "r").glob("*/*/*/*/*.json")))
    assert 2 <= done < 93
    again = subprocess.run(arguments(data, tmp_path / "r", seeds=30), capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert f"{93 - done} cells computed, {done} kept" in again.stderr


def limited(size):
    """Let no file grow over `size` bytes: the way in which a full disk shows, without one."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("size", [500, 100_000])
def test_a_disk_that_is_full_ends_the_run_with_everything_finished_in_place(data, tmp_path, size):
    stopped = subprocess.run(
        arguments(data, tmp_path / "r"), capture_output=True, text=True, check=False, preexec_fn=limited(size)
    )
    assert stopped.returncode == 1
    assert "error: cannot write: File too large" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    for path in (tmp_path / "r").glob("*/*/*/*/*.json"):
        json.loads(path.read_text())
    again = subprocess.run(arguments(data, tmp_path / "r"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr


def test_a_really_full_disk(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        stopped = subprocess.run(arguments(data, disk / "r"), capture_output=True, text=True, check=False)
        assert stopped.returncode == 1
        assert "error: cannot write: No space left on device" in stopped.stderr
        assert "free some space" in stopped.stderr
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
