"""Print by how much one call raises the peak memory of a fresh process (Linux only).

    python benchmarks/peak_memory.py ranking 10000 200000

The inputs are in memory before the call, and torch has done the same on a small problem.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch
from problems import make_problem, run_product, run_ranking

_CALLS = {"ranking": run_ranking, "product": run_product}


def memory_mb(field: str) -> float:
    """Return a field of ``/proc/self/status`` (``VmRSS``, or ``VmHWM`` for its peak) in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kibibytes) * 1024 / 1e6


def added_mb(name: str, playlists: int, tracks: int) -> float:
    """Return the peak during the call less what was resident just before it, in MB."""
    call = _CALLS[name]
    call(make_problem(300, 2_000))
    problem = make_problem(playlists, tracks)
    for array in (problem.queries, problem.items, problem.masked_offsets, problem.masked_items, problem.order):
        array.sum()
    ctypes.CDLL(None).malloc_trim(0)  # memory that is freed but kept would hide what the call needs
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew from here
    before = memory_mb("VmRSS")
    call(problem)
    return memory_mb("VmHWM") - before


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{added_mb(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])):.1f}")
