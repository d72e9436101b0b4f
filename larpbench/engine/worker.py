"""What a worker process does: it makes itself like the process that asks, and computes one piece of work at a time."""

from __future__ import annotations

import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larpbench import compiled, offline, processes, progress, runtime, storage
from larpbench.errors import EngineError, LarpbenchError, error_text
from larpbench.registry import own_version

_PASSED_ON = ("LARPBENCH_", "HF_", "TRANSFORMERS_", "TORCH_HOME")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Surroundings:
    """What the process that asks for work has, and its workers must have too.

    Attributes:
        host: Its machine.
        version: Its version of larpbench.
        folder: Its working folder.
        modules: Where it finds modules.
        variables: Those of its environment variables that libraries and larpbench read.
        torch_threads: Threads of a computation in torch.
        blas_threads: Threads of a product in BLAS.
        cores: How many cores a worker may use.
        offline: Whether the network is refused.
    """

    host: str
    version: str
    folder: str
    modules: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    torch_threads: int
    blas_threads: int
    cores: int
    offline: bool

    def adopt(self) -> None:
        """Make this process like the other one; once, since all work of a worker is for one process.

        Raises:
            EngineError: If another version of larpbench is installed here.
        """
        if own_version() != self.version:
            raise EngineError(
                f"machine {socket.gethostname()} has larpbench {own_version()}, and the run is one of {self.version}",
                next_step=f"pip install larpbench=={self.version} on all machines of the cluster",
            )
        _adopt(self)


@dataclass(frozen=True)
class Answer:
    """What a worker sends back.

    Attributes:
        value: What the function returned.
        error: Why there is no value; None if there is one.
        cpu_s: CPU seconds that it took.
        lines: What it had to say.
        host: The machine.
    """

    value: Any
    error: LarpbenchError | None
    cpu_s: float
    lines: tuple[str, ...]
    host: str


def surroundings(cores: int) -> Surroundings:
    """Return those of this process, for workers that may use so many cores each."""
    compiled.use_cache()
    variables = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    variables["LARPBENCH_HOME"] = str(storage.home().absolute())
    torch_threads, blas_threads = threads()
    return Surroundings(
        socket.gethostname(),
        own_version(),
        str(Path.cwd()),
        tuple(str(Path(each).absolute()) for each in sys.path if Path(each).is_dir()),
        tuple(sorted(variables.items())),
        torch_threads,
        blas_threads,
        cores,
        offline.is_offline(),
    )


def threads() -> tuple[int, int]:
    """Return with how many threads torch and BLAS compute in this process."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
    return torch.get_num_threads(), max(blas, default=1)


def answered(around: Surroundings, call: Callable[[], Any]) -> Answer:
    """Compute a piece of work like the process that asks would; what goes wrong is the answer."""
    lines: list[str] = []
    began = time.process_time()
    value, error = None, None
    with progress.collected(lines):
        try:
            around.adopt()
            value = call()
        except LarpbenchError as failure:
            error = failure
        except Exception as failure:  # numerics, memory, or a plug-in: it may raise anything
            error = EngineError(error_text(failure))
    if error is not None and socket.gethostname() != around.host:
        error.where = ", ".join(part for part in (error.where, f"machine {socket.gethostname()}") if part)
    return Answer(value, error, time.process_time() - began, tuple(lines), socket.gethostname())


def require_places(places: Sequence[Path]) -> None:
    """Raise if this machine does not see what all machines must share.

    Raises:
        EngineError: Naming the machine and the folders.
    """
    absent = [str(place) for place in places if not place.exists()]
    if absent:
        raise EngineError(
            f"machine {socket.gethostname()} does not see {', '.join(absent)}",
            allowed="the data set, its audio and $LARPBENCH_HOME on a folder that all machines share, under one path",
            next_step="mount it on that machine under the same path",
        )


@functools.cache
def _adopt(around: Surroundings) -> None:
    os.environ.update(around.variables)
    os.environ.update(dict.fromkeys(_THREADS, str(around.torch_threads)))  # for libraries that are loaded later
    if around.offline:
        offline.go_offline()
    if Path(around.folder).is_dir():
        os.chdir(around.folder)
    sys.path.extend(each for each in around.modules if each not in sys.path)
    compiled.use_cache()
    runtime.use_cores(around.cores)
    import numpy as np  # noqa: F401 - its BLAS must be there to be limited
    import scipy.linalg  # noqa: F401 - and scipy's own
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(around.torch_threads)
    threadpool_limits(around.blas_threads, "blas")
    processes.serve_parent()
