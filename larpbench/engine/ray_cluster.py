"""A Ray cluster: found within a bounded time, or started on this machine; and what room it has."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from larpbench import offline, packages
from larpbench.errors import EngineError, LarpbenchError, MissingPartError, UsageError, clipped, printable
from larpbench.runtime import cores

REQUIREMENT = "ray>=2.50,<3"
INSTALL = "pip install 'larpbench[ray]'"
_CONNECT_SECONDS = 5.0
_HEALTH_SECONDS = 30.0
_STARTS = 3
_START_YOURS = "start one: ray start --head    (or leave the address out: larpbench starts one on this machine)"
_MAY_REFUSE = "see that its version of Ray and its token are those of this process; or "


@dataclass(frozen=True)
class Room:
    """How many workers a cluster has room for, and what each of them takes.

    Attributes:
        workers: How many.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """

    workers: int
    cpus: int
    gpus: float


def require_ray() -> Any:  # noqa: ANN401 - a module that may not be installed
    """Return the module ``ray``.

    Raises:
        MissingPartError: If it is not installed, or of another version.
    """
    if not packages.importable("ray"):
        raise MissingPartError("--engine ray needs Ray, which is not installed", next_step=INSTALL)
    if reason := packages.unmet(REQUIREMENT):
        raise MissingPartError(f"--engine ray: {reason}", next_step=INSTALL)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray


def is_running(address: str | None) -> bool:
    """Return whether `connect` would use a cluster that is running, and start none."""
    named = address or os.environ.get("RAY_ADDRESS") or "local"
    return named != "local" or bool(require_ray().is_initialized())


def connect(address: str | None, workers: int | None) -> bool:
    """Connect to a cluster, or start one on this machine; return whether it is to be left at the end.

    Args:
        address: ``auto`` or HOST:PORT; None: that of ``$RAY_ADDRESS``, or a cluster of this machine alone.
        workers: So many CPUs at least has a cluster that is started here: they are logical.

    Raises:
        MissingPartError: If Ray is not installed.
        EngineError: If there is no cluster at that address, or it cannot be used.
    """
    ray = require_ray()
    if ray.is_initialized():  # by the program that calls us: it is theirs
        return False
    address = address or os.environ.get("RAY_ADDRESS") or None
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address is None or address == "local":
            _start(num_cpus=_logical_cpus(workers), include_dashboard=False, **quiet)
        else:
            _require_cluster(address)
            ray.init(address=address, **quiet)
    except LarpbenchError:
        raise
    except (Exception, SystemExit) as error:  # Ray raises plain exceptions, too, and ends processes
        with contextlib.suppress(Exception):
            ray.shutdown()
        where = address or "this machine"
        raise EngineError(
            f"Ray cannot be used: {clipped(printable(' '.join(str(error).split())))}",
            where=where,
            next_step=_MAY_REFUSE + _START_YOURS if address else "look at the messages above, or leave --engine out",
        ) from error
    return True


def _start(**options: Any) -> None:  # noqa: ANN401 - of ray.init
    """Start a cluster on this machine; a busy one may need another try, since Ray waits half a minute for itself."""
    ray = require_ray()
    for left in reversed(range(_STARTS)):
        try:
            ray.init(**options)
        except Exception:
            ray.shutdown()
            if not left:
                raise
        else:
            return


def _require_cluster(address: str) -> None:
    """Raise if no Ray cluster answers at an address. Ray itself waits two minutes, and then ends the process."""
    if offline.is_offline():
        raise UsageError(
            "--offline refuses the network, which a cluster needs", allowed="--engine ray, or no --offline"
        )
    if address == "auto":
        return  # Ray looks at this machine, and says at once what it finds
    host, _, port = address.removeprefix("ray://").rpartition(":")
    refused = EngineError(f"no Ray cluster answers at {address}", next_step=_START_YOURS)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        refused.what += f": {error}"
        raise refused from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_HEALTH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        refused.what += f" within {_HEALTH_SECONDS:.0f} s"
        raise refused from error
    if done.returncode:
        raise refused


def put(value: Any, what: str) -> Any:  # noqa: ANN401 - a ray.ObjectRef
    """Put something into Ray's object store, for workers.

    Args:
        value: What they get.
        what: What it is, for messages.

    Raises:
        EngineError: If it cannot be sent to another process, or there is no room for it.
    """
    try:
        return require_ray().put(value)
    except Exception as error:  # code of objects says how they are sent, and may raise anything
        raise unsent(what, error) from error


def unsent(what: str, error: Exception) -> EngineError:
    """Return an error that says why something cannot be sent to workers; see `put`."""
    reason = clipped(printable(" ".join(str(error.__cause__ or error).split())))
    return EngineError(
        f"{what} cannot be sent to workers: {reason}",
        next_step="make it an object that pickle can copy, or leave --engine out",
    )


def room(threads: int, workers: int | None, gpus: float | None) -> Room:
    """Return how many workers the cluster has room for.

    A worker takes as many CPUs as it has threads, and all of a machine that has fewer.

    Args:
        threads: Threads of a worker.
        workers: How many are wanted; None: as many as there is room for.
        gpus: GPUs of a worker; None: one where there are any.

    Raises:
        UsageError: If no machine of the cluster has so many GPUs.
    """
    ray = require_ray()
    machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    return shared_out(
        [(int(each.get("CPU", 0)), float(each.get("GPU", 0))) for each in machines], threads, workers, gpus
    )


def room_here(threads: int, workers: int | None, gpus: float | None) -> Room:
    """Return how many workers a cluster that is started on this machine would have room for; see `room`."""
    import torch

    return shared_out([(_logical_cpus(workers), float(torch.cuda.device_count()))], threads, workers, gpus)


def _logical_cpus(workers: int | None) -> int:
    """Return how many CPUs a cluster of this machine has: so many workers at least can start."""
    return max(cores(), workers or 0)


def shared_out(machines: Sequence[tuple[int, float]], threads: int, workers: int | None, gpus: float | None) -> Room:
    """Return how many workers machines have room for, given CPUs and GPUs of each; see `room`."""
    if gpus is None:
        gpus = 1.0 if any(has for _, has in machines) else 0.0
    usable = [(cpus, has) for cpus, has in machines if cpus and has >= gpus]
    if not usable:
        raise UsageError(
            f"no machine of the cluster has {gpus:g} GPUs for a worker" if gpus else "the cluster has no CPUs",
            allowed=f"at most {max((has for _, has in machines), default=0):g}",
        )
    cpus = max(1, min(threads, max(cpus for cpus, _ in usable)))
    if workers is not None:
        cpus = max(1, min(cpus, sum(has for has, _ in usable) // workers))

    def fit() -> int:
        return sum(min(has // cpus, int(owned / gpus + 1e-9) if gpus else has) for has, owned in usable)

    most = fit()
    while not most:  # such as several small machines beside one large without GPUs
        cpus -= 1
        most = fit()
    return Room(min(workers or most, most), cpus, gpus)
