"""The command line in processes of their own that need no second for imports: forks of one that has them all.

`start` and `run` take what `subprocess` takes. This file is also the script of the process that is forked. It has one
thread, so that its forks are safe. What a call imports when is not to be tested with it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import typer.main

IMPORTED = (
    *("torch", "polars", "sklearn.feature_extraction.text", "scipy.sparse", "safetensors.numpy", "filelock"),
    *("larpbench.cli", "larpbench.benchmark.run", "larpbench.benchmark.config", "larpbench.benchmark.evaluate"),
    *("larpbench.tasks.continuation.task", "larpbench.encoders.adapters.tfidf", "larpbench.encoders.factors.encoder"),
    *("larpbench.datasets.sources.csv", "larpbench.report.site", "larpbench.results.merge", "larpbench.results.export"),
)


_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}


@dataclass(frozen=True)
class Outcome:
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str


class Process:
    """A call that goes on.

    Attributes:
        pid: Its process, which leads a process group.
        stdout: What it prints.
        stderr: Its messages.
    """

    def __init__(self, stdout: IO[str], stderr: IO[str], reply: IO[str]) -> None:
        self.stdout, self.stderr, self._reply = stdout, stderr, reply
        self.pid = int(reply.readline())

    def wait(self) -> int:
        """Wait for the end, with nothing printed any more; return the exit status, less than 0 for a signal."""
        with self._reply:
            return int(self._reply.readline())

    def communicate(self) -> Outcome:
        """Read everything and wait for the end."""
        parts: list[str] = ["", ""]

        def read(number: int, stream: IO[str]) -> None:
            with stream:
                parts[number] = stream.read()

        readers = [threading.Thread(target=read, args=each) for each in enumerate((self.stdout, self.stderr))]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return Outcome(self.wait(), *parts)


class Changes:
    """An audit hook that counts changes below a folder and kills the process before the one of a given number."""

    def __init__(self, folder: str, kill_at: int) -> None:
        self._below, self._kill_at = folder + os.sep, kill_at
        self.count = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES and not (event == "open" and arguments[2] and arguments[2] & os.O_CREAT):
            return
        if isinstance(arguments[0], (str, os.PathLike)) and os.fspath(arguments[0]).startswith(self._below):
            self.count += 1
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def start(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    file_size: int | None = None,
    watched: Path | None = None,
    kill_at: int = 0,
    probes: bool = True,
) -> Process:
    """Start ``larpbench`` with these arguments.

    Args:
        arguments: What stands behind ``larpbench``.
        cwd: The working folder; this process's by default.
        env: All variables; this process's by default.
        file_size: The largest file that it may write, in bytes.
        watched: A folder whose changes are counted; at the end their number is in a file beside it, ``NAME.changes``.
        kill_at: It is killed before the change of this number.
        probes: Import every plug-in in an interpreter of its own first, as larpbench does, which takes half a second.
    """
    asked = {
        "arguments": [str(each) for each in arguments],
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "file_size": file_size,
        "watched": str(watched) if watched else None,
        "kill_at": kill_at,
        "probes": probes,
    }
    pipes = [os.pipe() for _ in range(3)]
    socket.send_fds(_server(), [json.dumps(asked).encode() + b"\n"], [writing for _, writing in pipes])
    for _, writing in pipes:
        os.close(writing)
    return Process(*(os.fdopen(reading, encoding="utf-8") for reading, _ in pipes))


def run(*arguments: str | Path, **options: Any) -> Outcome:
    """Call ``larpbench`` with these arguments and wait; options as of `start`."""
    return start(*arguments, **options).communicate()


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _serve(connection: socket.socket) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    os.fsync = lambda descriptor: None  # as in tests/conftest.py
    typer.main.get_command = functools.cache(typer.main.get_command)  # as there
    typer.main.get_command(importlib.import_module("larpbench.cli").app)
    importlib.import_module("larpbench.evaluation.best").compile_once()
    gc.freeze()  # forks share what is there
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    replies: dict[int, int] = {}
    while True:
        ready = select.select([connection, waking], [], [])[0]
        if waking in ready:
            os.read(waking, 512)
            _report_ended(replies)
        if connection in ready:
            message, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
            while message and not message.endswith(b"\n"):
                message += connection.recv(1 << 16)
            if not message:
                return
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (waking, wake, *replies.values()):
                    os.close(each)
                connection.close()
                _call(json.loads(message), *descriptors)
            out, err, reply = descriptors
            os.close(out)
            os.close(err)
            replies[child] = reply
            os.write(reply, f"{child}\n".encode())


def _report_ended(replies: dict[int, int]) -> None:
    while replies:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        reply = replies.pop(child)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it
            os.write(reply, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(reply)


def _call(asked: dict[str, Any], out: int, err: int, reply: int) -> None:
    os.setsid()
    os.close(reply)
    for number, descriptor in ((1, out), (2, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[:1] = [asked["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["larpbench", *asked["arguments"]]
    if asked["file_size"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_size"],) * 2)
    changes = Changes(asked["watched"], asked["kill_at"]) if asked["watched"] else None
    if changes:
        sys.addaudithook(changes)
    if not asked["probes"]:
        importlib.import_module("larpbench.registry").import_endings = dict.fromkeys
    code: object = 1
    try:
        importlib.import_module("larpbench.cli").main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    if changes:
        Path(f"{asked['watched']}.changes").write_text(str(changes.count))
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))  # modules need not be taken apart


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
