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

from figures import RESULTS, Curve, Figure, keep, measured, table  # noqa: E402
from paired import Ratio  # noqa: E402

_FIGURES = pytest.StashKey[list[Figure]]()
_CURVES = pytest.StashKey[list[Curve]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run keep what it measures."""
    parser.addoption("--keep", action="store_true", help="write the figures to results/benchmarks.json")


def pytest_configure(config: pytest.Config) -> None:
    """Start empty lists."""
    config.stash[_FIGURES], config.stash[_CURVES] = [], []


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
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return a function that notes a figure as `figures.measured` takes it; a missed target fails nothing."""

    def note(name: str, target: str, found: Ratio | str, *, value: float | None = None) -> None:
        request.config.stash[_FIGURES].append(measured(name, target, found, value=value))

    return note


@pytest.fixture
def growth(request: pytest.FixtureRequest) -> Callable[[Curve], None]:
    """Return a function that notes a growth curve."""
    return request.config.stash[_CURVES].append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, and keep them if that is asked for."""
    found, curves = config.stash[_FIGURES], config.stash[_CURVES]
    if not found and not curves:
        return
    terminalreporter.section("figures (one thread, CPU seconds; never asserted)")
    rows = list(table(found))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows if found else []:
        terminalreporter.write_line("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)))
    for each in curves:
        terminalreporter.write_line(f"{each.name}: CPU s grow with {each.size} to the power {each.exponent:.2f}")
    if config.option.keep:
        keep(found, curves)
        terminalreporter.write_line(f"kept in {RESULTS}")
