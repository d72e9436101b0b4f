"""Ratios of CPU seconds of two functions, timed in turn: the only times that mean something on a shared machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How many times the CPU seconds of `b` one run of `a` takes.

    Attributes:
        median: Median of the ratios of neighbouring runs.
        minimum: Smallest of them.
        maximum: Largest of them.
        a_cpu_s: Median CPU seconds of `a`.
        b_cpu_s: Median CPU seconds of `b`.
    """

    median: float
    minimum: float
    maximum: float
    a_cpu_s: float
    b_cpu_s: float

    def __str__(self) -> str:
        return (
            f"{self.median:.2f}x ({self.minimum:.2f} to {self.maximum:.2f}; "
            f"{self.a_cpu_s:.3g} against {self.b_cpu_s:.3g} CPU s)"
        )


def cpu_seconds(function: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, of all threads of this process."""
    start = time.process_time()
    function()
    return time.process_time() - start


def paired_ratio(a: Callable[[], object], b: Callable[[], object], rounds: int) -> Ratio:
    """Time `a` and `b` in turn (a, b, a, b, ...) and compare each run of `a` with the run of `b` right after it.

    Whatever else the machine does at the time slows both runs of a pair; the median over pairs drops the rest.

    Args:
        a: What is measured.
        b: What it is measured against.
        rounds: Number of pairs, after one run of each that does not count.

    Returns:
        The ratio of their CPU seconds.
    """
    a()
    b()
    times = [(cpu_seconds(a), cpu_seconds(b)) for _ in range(rounds)]
    ratios = [of_a / of_b for of_a, of_b in times]
    return Ratio(
        median=statistics.median(ratios),
        minimum=min(ratios),
        maximum=max(ratios),
        a_cpu_s=statistics.median(of_a for of_a, _ in times),
        b_cpu_s=statistics.median(of_b for _, of_b in times),
    )
