"""What a user waits for before anything happens: the import and the help text, in fresh processes."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

PROCESSES = 10
TARGET = "< 0.3 CPU s"
IMPORT = [sys.executable, "-c", "import larpbench"]
NOTHING = [sys.executable, "-c", "pass"]
HELP = [str(Path(sysconfig.get_path("scripts"), "larpbench")), "--help"]

LOADED_BY_IMPORT = "import sys, larpbench; print(*sys.modules)"
LOADED_BY_HELP = """
import sys
from larpbench.cli import main
sys.argv = ["larpbench", "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sys.modules)
"""


def children_cpu_s() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command: list[str]) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def cpu_s(command: list[str]) -> float:
    """Return the CPU seconds of a command."""
    before = children_cpu_s()
    run(command)
    return children_cpu_s() - before


@pytest.mark.benchmark(timer=children_cpu_s)
@pytest.mark.parametrize(
    ("name", "command"), [("import larpbench", IMPORT), ("larpbench --help", HELP)], ids=["import", "help"]
)
def test_start(
    benchmark: BenchmarkFixture, figure: Callable[[str, str, str], None], name: str, command: list[str]
) -> None:
    benchmark.pedantic(run, args=(command,), rounds=1, warmup_rounds=1)  # and writes the compiled modules
    pairs = [(cpu_s(command), cpu_s(NOTHING)) for _ in range(PROCESSES)]
    whole, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    benchmark.extra_info |= {"median_cpu_s": whole, "bare_interpreter_cpu_s": bare, "target": TARGET}
    figure(name, TARGET, f"{whole:.3f} CPU s (of which {bare:.3f} are the bare interpreter)", value=whole)


@pytest.mark.parametrize(
    ("what", "code"), [("import", LOADED_BY_IMPORT), ("help", LOADED_BY_HELP)], ids=["import", "help"]
)
def test_start_loads_nothing_heavy(what: str, code: str) -> None:
    loaded = set(run([sys.executable, "-c", code]).splitlines()[-1].split())
    assert "larpbench" in loaded
    assert not loaded & {"torch", "transformers"}, f"{what} loads them"
