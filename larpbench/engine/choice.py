"""From what a user writes, ``local`` or ``ray[:ADDRESS]``, to an engine."""

from __future__ import annotations

import math
import re

from larpbench.engine.base import LOCAL, Engine
from larpbench.errors import UsageError, clipped

ALLOWED = "local, ray, ray:auto (the cluster of this machine), or ray:HOST:PORT"
_ADDRESS = re.compile(r"auto|[^\s:/]+:[0-9]{1,5}|\[[0-9A-Fa-f:]+\]:[0-9]{1,5}")
_RAY = "ray"
MOST_WORKERS = 100_000


def engine_named(
    name: str | Engine,
    *,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    shard_timeout: float | None = None,
) -> Engine:
    """Return an engine; it begins when it is entered as a context.

    Args:
        name: ``local``; ``ray``: a cluster of this machine alone, or the one that ``$RAY_ADDRESS`` names;
            ``ray:ADDRESS``: a cluster that is running; or an engine, which is returned as it is.
        workers: How many workers compute at once; None: as many as the cluster has room for.
        gpus_per_worker: GPUs of a worker, also a part of one; None: 1 where the cluster has GPUs, else 0.
        shard_timeout: Seconds after which a shard of vectors is given up, and its worker ended; None: never.

    Raises:
        UsageError: If that names no engine, or a number makes no sense.
    """
    options = {"workers": workers, "gpus_per_worker": gpus_per_worker, "shard_timeout": shard_timeout}
    given = [option for option, value in options.items() if value is not None]
    if isinstance(name, Engine):
        if given:
            raise UsageError(f"{', '.join(given)} beside an engine", allowed="options of the engine itself")
        return name
    if not isinstance(name, str):
        raise UsageError(f"the engine is {clipped(repr(name), 80)}", allowed=f"{ALLOWED}, or an engine")
    kind, colon, address = name.partition(":")
    if kind not in ("local", _RAY) or (colon and (kind != _RAY or not _ADDRESS.fullmatch(address))):
        raise UsageError(f"no engine {clipped(name)!r}", allowed=ALLOWED)
    if kind == "local":
        if given:
            shown = ", ".join(f"--{option.replace('_', '-')}" for option in given)
            raise UsageError(f"{shown} without an engine that has workers", allowed="with --engine ray")
        return LOCAL
    if workers is not None and not (isinstance(workers, int) and 1 <= workers <= MOST_WORKERS):
        raise UsageError(f"the number of workers is {workers!r}", allowed=f"1 to {MOST_WORKERS}")
    if gpus_per_worker is not None and not (math.isfinite(gpus_per_worker) and gpus_per_worker >= 0):
        raise UsageError(f"a worker has {gpus_per_worker} GPUs", allowed="0, a part of 1, or a whole number")
    if gpus_per_worker is not None and gpus_per_worker > 1 and gpus_per_worker % 1:
        raise UsageError(f"a worker has {gpus_per_worker} GPUs", allowed="0, a part of 1, or a whole number")
    if shard_timeout is not None and not (math.isfinite(shard_timeout) and shard_timeout > 0):
        raise UsageError(f"the time-out of a shard is {shard_timeout} seconds", allowed="more than 0")
    from larpbench.engine.ray_engine import RayEngine

    return RayEngine(address or None, workers=workers, gpus_per_worker=gpus_per_worker, shard_timeout=shard_timeout)
