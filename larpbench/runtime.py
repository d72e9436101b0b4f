"""What a computation costs, and on what it ran."""

from __future__ import annotations

import functools
import os
import platform
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata

REPORTED_PACKAGES = (
    "larpbench",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
    "librosa",
    "soundfile",
    "soxr",
    "av",
)


@dataclass
class Cost:
    """Wall and CPU seconds of a block, and the peak memory of the process up to its end.

    Attributes:
        wall_s: Wall-clock seconds.
        cpu_s: CPU seconds, all threads.
        peak_memory_mb: Largest resident size of the process so far, in MiB (not of the block alone).
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block; the cost is complete when the block has ended."""
    cost = Cost()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost.wall_s, cost.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        unit = 2**20 if sys.platform == "darwin" else 2**10
        cost.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def versions(packages: Iterable[str] = REPORTED_PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of packages; by default of those that a result depends on."""
    found = {"python": platform.python_version()}
    return found | {package: _version(package) for package in packages}


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


_granted: list[int] = []


def cores() -> int:
    """Return how many cores this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([there, *_granted])


def use_cores(most: int) -> None:
    """Let this process, a worker beside others on one machine, use so many cores at most."""
    _granted[:] = [most]


def torch_device() -> str:
    """Return where to compute, as torch names it: a GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Give torch and BLAS one thread inside the block: the same numbers on any number of cores."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


class _IeeeBlocks:
    """How many blocks of `ieee_products` are open in this process, and what takes back what the first has changed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.restore: Callable[[], None] = lambda: None


_IEEE = _IeeeBlocks()


@contextmanager
def ieee_products() -> Iterator[None]:
    """Multiply float32 as float32, and add bfloat16 products in it, whatever the user has chosen for his own work.

    He may have chosen TF32, or bfloat16 on CPUs with AMX.
    """
    with _IEEE.lock:  # what is chosen is the process's: the last thread takes back what the first has changed
        if not _IEEE.blocks:
            _IEEE.restore = _exact_products()
        _IEEE.blocks += 1
    try:
        yield
    finally:
        with _IEEE.lock:
            _IEEE.blocks -= 1
            if not _IEEE.blocks:
                _IEEE.restore()


def _exact_products() -> Callable[[], None]:
    """Let products be computed as `ieee_products` says; return what takes that back."""
    import torch

    matmul = torch.backends.cuda.matmul
    reduced, restore = matmul.allow_bf16_reduced_precision_reduction, _float32_as_float32()
    matmul.allow_bf16_reduced_precision_reduction = False

    def both() -> None:
        restore()
        matmul.allow_bf16_reduced_precision_reduction = reduced

    return both


def _float32_as_float32() -> Callable[[], None]:
    """Let float32 products be computed in float32; return what takes that back."""
    import torch

    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # chosen by the names of torch 2.9, which do not go with the older ones
        places = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        chosen = [(each, each.fp32_precision) for each in places]
        for place, _ in chosen:
            place.fp32_precision = "ieee"

        def restore() -> None:
            for place, precision in chosen:
                place.fp32_precision = precision

        return restore
    if before == "highest":
        return lambda: None
    torch.set_float32_matmul_precision("highest")
    return functools.partial(torch.set_float32_matmul_precision, before)


def gains_from_bfloat16(device: str) -> bool:
    """Return whether a device, as torch names it, multiplies bfloat16 faster than float32."""
    import torch

    if device == "cpu":
        return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return torch.cuda.is_bf16_supported(including_emulation=False)


def machine() -> dict[str, str | int]:
    """Return what the computation runs on; names no host and no user."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": cores(),
    }
