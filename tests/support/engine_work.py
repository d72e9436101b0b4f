"""Pieces of work for the tests of engines: they run in worker processes, which import this file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from larpbench.errors import DataError, StorageError


def doubled(item):
    return 2 * item


def refuse_two(item):
    if item == 2:
        raise DataError("two is refused", allowed="other numbers")
    if item == 3:
        raise ValueError("three")
    return item


def cannot_write(item):
    raise StorageError(f"cannot write {item}")


def die_once(folder, item):
    """Kill the worker when an item of 1 is seen for the first time."""
    seen = Path(folder) / f"{item}-seen"
    if item == 1 and not seen.exists():
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def die_at_one(item):
    if item == 1:
        os._exit(7)
    return item


def sleep_at_one(item):
    if item == 1:
        time.sleep(60)
    return item


def total(shared, row):
    return float(shared.get()[row].sum())


def surroundings(item):
    import torch
    from threadpoolctl import threadpool_info

    from larpbench.runtime import cores

    np.ones((2, 2)) @ np.ones((2, 2))
    blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    return torch.get_num_threads(), sorted(blas), cores(), os.environ["LARPBENCH_HOME"], os.getpid()


def ready(function):
    """Make ready for items that a function takes."""
    return function


def returns_what_cannot_be_sent(item):
    return Unsendable()


class Unsendable:
    """Refuses to be sent to another process."""

    def __call__(self, item):
        return item

    def __reduce__(self):
        raise TypeError("it has a lock")
