"""Clips in parallel: the same ones, in order, a bounded number ahead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from joblib.externals import loky

from larpbench.audio import UnusableAudio, iter_clips, load_clip
from larpbench.audio import loader as loader_module
from larpbench.errors import UsageError

KINDS = ["wav-8k-mono", "aac-m4a-44k-stereo", "vorbis-44k-stereo", "mp3-headerless-vbr-44k", "mp3-cbr-44k-stereo"]


@pytest.fixture
def jobs(make):
    return [(make(kind).path, start) for start in (0.0, 5.5, 8.25) for kind in KINDS]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("larpbench-audio")]


@pytest.fixture
def executors(monkeypatch):
    started = []

    class Noted(loky.ProcessPoolExecutor):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            started.append(self)

        def submit(self, *arguments):
            future = super().submit(*arguments)
            self.workers = list(self._processes.values())
            return future

    monkeypatch.setattr(loky, "ProcessPoolExecutor", Noted)
    return started


def exit_codes(executors):
    return [worker.exitcode for executor in executors for worker in executor.workers]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_order(jobs, executors, workers):
    clips = list(iter_clips(jobs, 1.0, 16_000, workers))
    assert len(clips) == len(jobs)
    for clip, (path, start) in zip(clips, jobs, strict=True):
        assert clip.flags.writeable
        assert np.array_equal(clip, load_clip(path, start, 1.0, 16_000))
    assert threads() == []
    assert len(executors) <= (workers if workers > 1 else 0)
    assert exit_codes(executors) == [0] * len(executors)


def test_nothing():
    assert list(iter_clips([], 1.0, 16_000, 2)) == []
    with pytest.raises(UsageError):
        iter_clips([], 1.0, 16_000, -1)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_only_a_few_ahead(make, workers):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield make("wav-8k-mono").path, 1.0

    clips = iter_clips(endless(), 0.5, 8_000, workers)
    for given in range(1, 20):
        next(clips)
        time.sleep(0.002)
        assert taken <= given + 2 * workers
    clips.close()
    assert threads() == []


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("bad", ["missing", "unreadable"])
def test_errors_come_at_their_turn(jobs, tmp_path, workers, bad):
    path = tmp_path / "bad.m4a"
    if bad == "unreadable":
        path.write_bytes(b"no music" * 1_000)
    clips = iter_clips([*jobs[:4], (path, 0.0), *jobs[4:]], 1.0, 16_000, workers)
    for _ in range(4):
        next(clips)
    with pytest.raises(UnusableAudio) as raised:
        next(clips)
    assert (raised.value.reason, raised.value.path) == (bad, path)
    assert list(clips) == []
    assert threads() == []


def test_a_process_that_dies_is_an_error_of_one_file(make, executors):
    path = make("aac-m4a-44k-stereo").path
    clips = iter_clips([(path, 1.0)] * 40, 1.0, 16_000, 2)
    next(clips)
    for executor in executors:
        os.kill(executor.workers[0].pid, signal.SIGSEGV)
    with pytest.raises(UnusableAudio, match="the process that decoded it ended: SIGSEGV"):
        list(clips)
    assert threads() == []
    assert len(list(iter_clips([(path, 1.0)] * 3, 1.0, 16_000, 2))) == 3


def test_a_process_that_dies_while_it_sends_is_not_waited_for(make, monkeypatch):
    def half_a_result(*arguments):
        import gc

        from joblib.externals.loky.backend.queues import SimpleQueue

        for results in [each for each in gc.get_objects() if isinstance(each, SimpleQueue)]:
            os.write(results._writer.fileno(), b"\0\0\1\0begun")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(loader_module, "load_clip", half_a_result)
    path = make("aac-m4a-44k-stereo").path
    with pytest.raises(UnusableAudio, match="the process that decoded it ended: SIGKILL"):
        list(iter_clips([(path, 1.0)] * 4, 1.0, 16_000, 2))
    assert threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, ValueError])
def test_leaving_early(jobs, executors, error):
    clips = iter_clips(jobs * 10, 1.0, 16_000, 2)
    for _ in range(3):
        next(clips)
    with pytest.raises(error):
        clips.throw(error)
    assert threads() == []
    assert exit_codes(executors) == [0] * len(executors)


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts differ")
def test_interrupt_from_the_keyboard(make):
    paths = [str(make(kind).path) for kind in KINDS]
    script = (
        "import itertools\nfrom larpbench.audio import iter_clips\n"
        f"jobs = ((path, 1.0) for path in itertools.cycle({paths!r}))\n"
        "for number, clip in enumerate(iter_clips(jobs, 1.0, 16_000, 2)):\n"
        "    if number == 9:\n        print('going', flush=True)\n"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "going\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    errors = process.communicate(timeout=20)[1]
    assert process.returncode in (-signal.SIGINT, 130)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 10  # the helpers hear of the end of their parent a moment later
    while (left := _running(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, "the helpers of joblib have ended too"


def _running(group: int) -> list[str]:
    """The states of the processes of a group that have not ended."""
    listing = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    states = [state for owner, state in map(str.split, listing.splitlines()) if int(owner) == group]
    return [state for state in states if not state.startswith("Z")]


def test_a_script_without_a_guard_runs_once(make, tmp_path):
    path = make("aac-m4a-44k-stereo").path
    script = tmp_path / "script.py"
    script.write_text(
        "print('begins')\nfrom larpbench.audio import iter_clips\n"
        f"print(len(list(iter_clips([({str(path)!r}, 1.0)] * 4, 1.0, 16_000, 2))))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["begins", "4"], "")
