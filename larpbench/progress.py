"""One progress bar a stage; plain lines when there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from larpbench.streams import messages, terminal

_SECONDS_BETWEEN_LINES = 30.0
_collected: list[list[str]] = []
"""Where lines go instead of standard error: into the last of these."""


@contextmanager
def stage(name: str, total: int, unit: str, done: int = 0, brief: bool = False) -> Iterator[Callable[[int], None]]:
    """Show the progress of one stage on standard error.

    Args:
        name: What is being done, such as ``encode tfidf``.
        total: How many units there are.
        unit: What is counted, such as ``tracks``.
        done: How many were done before (a resumed stage).
        brief: Whether it is one of many: without a terminal, only a long one is worth a line.

    Yields:
        A function to call with the number of units just finished.
    """
    if _collected:
        yield lambda step: None
        return
    if messages().isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=done, desc=name, unit=f" {unit}", leave=False, file=terminal()) as bar:
            yield bar.update
        return
    started = last = time.monotonic()
    count = done

    def advance(step: int) -> None:
        nonlocal count, last
        count += step
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and count < total:
            last = now
            left = (now - started) / max(count - done, 1) * (total - count)
            messages().write(f"{name}: {count} of {total} {unit}, about {left:.0f} s left\n")
            messages().flush()

    yield advance
    if brief and time.monotonic() - started < _SECONDS_BETWEEN_LINES:
        return
    messages().write(f"{name}: {count} of {total} {unit} in {time.monotonic() - started:.1f} s\n")
    messages().flush()


@contextmanager
def collected(lines: list[str]) -> Iterator[None]:
    """Collect what is said in the block, and show no stages: for a worker, whose process nobody looks at."""
    _collected.append(lines)
    try:
        yield
    finally:
        _collected.pop()


def say(line: str) -> None:
    """Write a line on standard error."""
    if _collected:
        _collected[-1].append(line)
        return
    messages().write(f"{line}\n")
    messages().flush()
