"""What all benchmarks share: one thread, slow ones only by name, and a line a figure at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy or torch comes in; child processes inherit it

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))  # pytest's importlib mode does not: for `paired` and `problems`

_FIGURES = pytest.StashKey[list[tuple[str, str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start an empty list of figures."""
    config.stash[_FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow benchmarks out unless the command line says which marks to run."""
    if config.option.markexpr:
        return
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with -m slow"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Return a function that notes (figure, target, measured) for the summary; a missed target fails nothing."""
    return lambda *line: request.config.stash[_FIGURES].append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures."""
    figures = config.stash[_FIGURES]
    if not figures:
        return
    terminalreporter.section("figures (one thread, CPU seconds; never asserted)")
    lines = [("figure", "target", "measured"), *figures]
    first, second = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, target, measured in lines:
        terminalreporter.write_line(f"{name:<{first}}  {target:<{second}}  {measured}")
