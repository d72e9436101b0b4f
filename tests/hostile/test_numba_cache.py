"""Compiled code: its lock lies beside it, it lies under the home, and a process that dies of a signal is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.killed_encoder import KilledEncoder
from support.small_data import build_split_tables

from larpbench import compiled, processes
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import jobs, pipeline
from larpbench.errors import EmbeddingError, UsageError

FIRST_USE = """
import sys, time
from larpbench.compiled import first_use
with first_use("librosa") as is_first:
    print(is_first, time.monotonic(), flush=True)
    time.sleep(0.5)
    print(time.monotonic(), flush=True)
"""


def start(home: Path, code: str, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"LARPBENCH_HOME": str(home), **variables}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def outputs(*started: subprocess.Popen[str]) -> list[list[str]]:
    found = [each.communicate(timeout=60)[0].split() for each in started]
    assert [each.returncode for each in started] == [0] * len(started)
    return found


def test_two_homes_with_one_cache_fill_it_one_after_the_other(tmp_path):
    shared = tmp_path / "shared"
    first, second = outputs(
        *(start(tmp_path / home, FIRST_USE, NUMBA_CACHE_DIR=str(shared)) for home in ("one", "two"))
    )
    early, late = sorted((first, second), key=lambda found: float(found[1]))
    assert (early[0], late[0]) == ("True", "False")  # the second one waited, and found it compiled
    assert float(late[1]) >= float(early[2])
    assert not list((tmp_path / "one").rglob("*.lock"))


def test_two_homes_have_two_caches(tmp_path):
    code = "import os, larpbench.encoders.adapters.handcrafted.encoder as h, numba; print(numba.config.CACHE_DIR)"
    found = outputs(*(start(tmp_path / home, code) for home in ("one", "two")))
    for home, (cache,) in zip(("one", "two"), found, strict=True):
        assert Path(cache).parent == tmp_path / home / "numba"


def test_what_the_user_chose_stays(tmp_path, monkeypatch, home):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compiled.use_cache() == tmp_path
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert compiled.use_cache().parent == home / "numba"
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "other"))
    assert compiled.use_cache().parent == tmp_path / "other" / "numba"
    monkeypatch.delenv("NUMBA_CACHE_DIR")


def test_a_first_use_that_fails_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(RuntimeError), compiled.first_use("x") as is_first:
        assert is_first
        raise RuntimeError
    with compiled.first_use("x") as is_first, compiled.first_use("part of x") as inner:
        assert (is_first, inner) == (True, False)  # a part waits for no lock that the whole holds
    with compiled.first_use("x") as is_first:
        assert not is_first


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (signal.SIGSEGV, ("SIGSEGV", "crash in compiled code", "delete the folder", "NUMBA cache")),
        (signal.SIGKILL, ("SIGKILL", "out of memory", "fewer processes")),
    ],
)
def test_a_worker_that_dies_of_a_signal_is_named_with_the_remedy(tmp_path, monkeypatch, which, said):
    cache = tmp_path / "NUMBA cache"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache))
    monkeypatch.setattr(pipeline, "cores", lambda: 2)
    spec = get_encoder("random")
    card = spec.card.model_copy(update={"process_per_core": True})
    spec = replace(spec, card=card, factory=lambda context, argument: KilledEncoder(which))
    data = build_split_tables(tmp_path / "d")
    batches = [slice(start, start + 8) for start in range(0, 24, 8)]
    job = jobs.Job(spec, EncodeContext(0, data.folder), data)
    with pytest.raises(EmbeddingError) as caught:
        list(pipeline.encode_tracks([job], data.split("test"), [(rows, [job]) for rows in batches]))
    for part in said:
        assert part in str(caught.value)
    with compiled.first_use(spec.identity) as is_first:
        assert is_first  # nobody takes it for compiled


def test_endings():
    printed = "The exit codes of the workers are {SIGSEGV(-11), EXIT(7)}"
    assert processes.endings_of_workers(RuntimeError(printed)) == ["SIGSEGV", "exit code 7"]
    assert processes.explained(["SIGKILL", "SIGKILL"]) == "SIGKILL (probably out of memory)"
    assert processes.explained([]) == "an unknown reason"
    assert processes.ending(-250) == "exit code -250"


def test_a_file_in_the_place_of_the_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "a-file"))
    with pytest.raises(UsageError, match=r"NUMBA_CACHE_DIR is '.*a-file', which is no folder"):
        compiled.use_cache()
