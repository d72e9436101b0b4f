"""The figures of all benchmarks: what was measured against what, kept in one file from which the documentation is made.

A run replaces the figures that it measured, and leaves the others as they are: some take hours.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from paired import Ratio

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks.json"
_NUMBER = r"[\d,]*\.?\d+"


@dataclass(frozen=True)
class Figure:
    """One thing that was measured.

    Attributes:
        name: What it is of, with its size.
        peer: What it is measured against; empty where it is no ratio.
        measured: The value as it is shown.
        target: What it should be, such as ``<= 1.2`` or ``0.67 to 1.5``; ``none`` where there is no target.
        value: The number that the target speaks of; None if none is given.
        machine: What it ran on.
        date: Day, ISO 8601; empty where that was not kept.
    """

    name: str
    peer: str
    measured: str
    target: str
    value: float | None
    machine: str
    date: str

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing can be compared."""
        if self.value is None:
            return None
        if limits := re.match(rf"({_NUMBER}) to ({_NUMBER})", self.target):
            return float(limits[1]) <= self.value <= float(limits[2])
        limit = re.match(rf"(<=|>=|<|>) ({_NUMBER})", self.target)
        if not limit:
            return None
        bound = float(limit[2].replace(",", ""))
        return self.value >= bound if limit[1].startswith(">") else self.value <= bound


@dataclass(frozen=True)
class Curve:
    """How time grows with one size, the others fixed.

    Attributes:
        name: What was timed.
        size: What grows, such as ``tracks``.
        sizes: The sizes.
        cpu_s: CPU seconds at each.
        exponent: Slope of the line through the logarithms of both: 1 is linear.
        fixed: The other sizes, in words.
        machine: What it ran on.
        date: Day, ISO 8601.
    """

    name: str
    size: str
    sizes: list[int]
    cpu_s: list[float]
    exponent: float
    fixed: str
    machine: str
    date: str


def measured(name: str, target: str, found: Ratio | str, *, value: float | None = None) -> Figure:
    """Return a figure of this machine, today.

    Args:
        name: What it is of; ``A / B, size`` if it is a ratio to a peer B.
        target: What it should be.
        found: A ratio, or the value in words.
        value: The number that the target speaks of; the median of a ratio.
    """
    what, peer, rest = re.fullmatch(r"(.*?)(?: / ([^,:]*)(.*))?", name, re.DOTALL).groups()  # type: ignore[union-attr]
    if isinstance(found, Ratio):
        value = found.median
    return Figure(f"{what}{rest or ''}", peer or "", str(found), target.replace("x", ""), value, machine(), _today())


def curve(name: str, size: str, sizes: list[int], cpu_s: list[float], fixed: str) -> Curve:
    """Return a growth curve of this machine, today."""
    import numpy as np

    exponent = float(np.polyfit(np.log(sizes), np.log(cpu_s), 1)[0])
    return Curve(name, size, sizes, cpu_s, exponent, fixed, machine(), _today())


def machine() -> str:
    """Return the processor and how many cores may be used, such as ``2 vCPU AMD EPYC (AVX-512)``."""
    import torch

    from larpbench.runtime import cores

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{cores()} vCPU {model} ({torch.backends.cpu.get_cpu_capability()})"


def keep(figures: Iterable[Figure] = (), curves: Iterable[Curve] = (), path: Path = RESULTS) -> None:
    """Write figures and curves to the file, in the place of those of the same name on the same machine."""
    old_figures, old_curves = kept(path)
    new_figures = {(each.name, each.peer, each.machine): each for each in [*old_figures, *figures]}
    new_curves = {(each.name, each.size, each.fixed, each.machine): each for each in [*old_curves, *curves]}
    content = {
        "figures": [asdict(each) | {"met": each.met} for each in new_figures.values()],
        "curves": [asdict(each) for each in new_curves.values()],
    }
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def kept(path: Path = RESULTS) -> tuple[list[Figure], list[Curve]]:
    """Return what earlier runs measured.

    Raises:
        ValueError: If the file is damaged.
    """
    if not path.exists():
        return [], []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Figure(**each) for each in _of(Figure, content["figures"])], [
            Curve(**each) for each in _of(Curve, content["curves"])
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}); next: git checkout -- results/benchmarks.json"
        ) from error


def table(figures: Iterable[Figure]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a table, headings first."""
    yield ("figure", "peer", "measured", "target", "met", "machine", "date")
    words = {True: "yes", False: "no", None: "-"}
    for each in figures:
        day = each.date or "earlier"
        yield each.name, each.peer or "-", each.measured, each.target, words[each.met], each.machine, day


def _of(kind: type, entries: Iterable[dict[str, object]]) -> Iterator[dict[str, object]]:
    names = {each.name for each in fields(kind)}
    for entry in entries:
        yield {name: value for name, value in entry.items() if name in names}


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
