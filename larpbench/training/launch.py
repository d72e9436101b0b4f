"""Joining the processes that accelerate or torchrun has started, and ending with them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from larpbench import progress
from larpbench.errors import LarpbenchError, MissingPartError, TrainingError, UsageError
from larpbench.packages import importable
from larpbench.training.ranks import ALONE, JoinedRanks, LostProcessError, Ranks, as_current

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others in one exchange."""
INSTALL = "pip install 'larpbench[distributed]'"
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_ERROR_KEY = "larpbench-error"
_READ_KEY = "larpbench-error-read"
_SECONDS_FOR_THE_LEADER = 5.0
_SECONDS_FOR_THE_OTHERS = 2.0  # in which they read that the leading process has told of the error


def started(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes the launcher has started: ``WORLD_SIZE``, else 1.

    Raises:
        UsageError: If that is no number of processes.
    """
    text = environment.get("WORLD_SIZE") or "1"
    if not text.isdecimal() or not int(text):
        raise UsageError(
            f"WORLD_SIZE is {text!r}, which is no number of processes",
            allowed="what accelerate launch and torchrun set; unset it to train in one process",
        )
    return int(text)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Train with the other processes that the launcher has started, inside the block; with none, nothing changes.

    Only the leading one prints. An error that is that of the leading one, too, is printed there alone.

    Yields:
        This process among them.

    Raises:
        MissingPartError: If there are several and accelerate is not installed.
        UsageError: If the launcher has set too little, or has started more processes on a machine than it has GPUs.
        TrainingError: If the processes do not find each other; inside the block, if one has ended.
    """
    count = started()
    if count == 1:
        _warn_of_one(os.environ)
        yield ALONE
        return
    _require_possible(count)
    with _quiet_unless(_rank() == 0) as before:
        progress.say(f"training by {count} processes")
        ranks = _join(count)
        try:
            with as_current(ranks), _ended_by_signal():
                yield ranks
                ranks.agreed(None)  # none leaves before all are done
        except BaseException as error:
            _publish(ranks, error, before)
            raise
        _leave()


def _warn_of_one(environment: Mapping[str, str]) -> None:
    """Say so if several processes were asked for and one was started, as ``accelerate launch --cpu`` does."""
    if "ACCELERATE_USE_CPU" in environment and "MASTER_PORT" in environment and "WORLD_SIZE" not in environment:
        progress.say(
            "warning: accelerate was asked for several processes and has started one. On the CPU use torchrun "
            "--nproc_per_node N, or ACCELERATE_USE_CPU=1 accelerate launch --multi_gpu --num_processes N"
        )


def _require_possible(count: int) -> None:
    if not importable("accelerate"):
        raise MissingPartError(
            f"WORLD_SIZE is {count}: training by several processes needs accelerate, which is not installed",
            next_step=f"{INSTALL}; or unset WORLD_SIZE to train in one process",
        )
    import torch

    absent = [name for name in _NEEDED if name not in os.environ]
    if absent and not torch.distributed.is_initialized():
        raise UsageError(
            f"WORLD_SIZE is {count}, but there is no {', '.join(absent)}: no launcher has started this process",
            next_step="start it by accelerate launch or torchrun; or unset WORLD_SIZE to train in one process",
        )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available() and here > torch.cuda.device_count():
        raise UsageError(
            f"{here} processes on a machine of {torch.cuda.device_count()} GPUs",
            allowed="one process a GPU; CUDA_VISIBLE_DEVICES= hides the GPUs, to compute on the CPU",
        )


def _rank() -> int:
    """Return the rank of this process, which may have been joined before, as by accelerate's `debug_launcher`."""
    import torch

    return torch.distributed.get_rank() if torch.distributed.is_initialized() else int(os.environ["RANK"])


def _join(count: int) -> JoinedRanks:
    import torch
    from accelerate import PartialState

    on_cpu = not torch.cuda.is_available()
    try:
        state = PartialState(cpu=on_cpu, backend="gloo" if on_cpu else "nccl", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the {count} processes do not find each other: {str(error).strip().splitlines()[0]}",
            where=f"{os.environ.get('MASTER_ADDR')}, port {os.environ.get('MASTER_PORT')}",
            next_step="start them by accelerate launch or torchrun, each with the same command",
        ) from error
    if state.num_processes != count or (state.device.type == "cpu") is not on_cpu:
        raise UsageError(
            f"accelerate has joined {state.num_processes} processes on {state.device.type}, not {count} on "
            f"{'cpu' if on_cpu else 'cuda'}",
            next_step="start them by torchrun; CUDA_VISIBLE_DEVICES= hides the GPUs, to compute on the CPU",
        )
    return JoinedRanks("cpu" if on_cpu else str(state.device))  # else "cpu:1"


def _leave() -> None:
    from accelerate import PartialState

    with suppress(RuntimeError):  # all is done, whoever has left first
        PartialState().destroy_process_group()


@contextmanager
def _quiet_unless(leads: bool) -> Iterator[tuple[TextIO, TextIO]]:
    """Print nothing inside the block, unless this is the leading process; what was printed to is yielded.

    After an error it stays so: whoever raises it decides where it is printed.
    """
    before = sys.stdout, sys.stderr
    if not leads:
        sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it outlives an error
    yield before
    sys.stdout, sys.stderr = before


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM, by which launchers end the processes that are left, be an error like others."""

    def end(number: int, frame: FrameType | None) -> None:
        raise LostProcessError("the launcher has sent SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier: Any = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself, and has something to say before
        raise
    signal.signal(signal.SIGTERM, earlier)


def _publish(ranks: Ranks, error: BaseException, before: tuple[TextIO, TextIO]) -> None:
    """Tell the others of an error if this process leads; else let it be printed unless the leading one has one."""
    from torch.distributed.distributed_c10d import _get_default_store

    with suppress(RuntimeError, ValueError):  # the store may have gone with the process that held it
        store = _get_default_store()
        if ranks.leads:
            store.set(_ERROR_KEY, type(error).__name__)
            deadline = time.monotonic() + _SECONDS_FOR_THE_OTHERS  # the store goes with this process
            while store.add(_READ_KEY, 0) < ranks.count - 1 and time.monotonic() < deadline:
                time.sleep(0.05)
            return
        # A leader that is lost has told of its error before, if it could.
        seconds = 0.0 if isinstance(error, LostProcessError) else _SECONDS_FOR_THE_LEADER
        deadline = time.monotonic() + seconds
        while not store.check([_ERROR_KEY]):
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        else:
            store.add(_READ_KEY, 1)
            return
    if not ranks.leads:
        sys.stdout, sys.stderr = before
        if isinstance(error, LarpbenchError):
            error.what = f"process {ranks.index + 1} of {ranks.count}: {error.what}"
