"""CPU seconds and peak memory of fresh processes that train an encoder and all before it (not on Windows)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from larpbench.datasets.schema import Dataset

_MEBI = 2**20 if sys.platform == "darwin" else 2**10


def process_costs(work: Path, dataset: Dataset, encoders: Sequence[str]) -> list[dict[str, Any]]:
    """Return the costs of ``larpbench run`` with one encoder and one seed, in a home folder of its own.

    Args:
        work: Where these folders are made; they go at the end.
        dataset: What to train and test on.
        encoders: Names, each for a process of its own.
    """
    found = []
    for encoder in encoders:
        with TemporaryDirectory(dir=work) as temporary:
            command = [
                sys.executable,
                "-m",
                "larpbench",
                "run",
                "--encoders",
                encoder,
                "--dataset",
                str(dataset.folder),
            ]
            command += ["--seeds", "1", "--output", str(Path(temporary) / "results")]
            environment = {**os.environ, "LARPBENCH_HOME": str(Path(temporary) / "home"), "OMP_NUM_THREADS": "1"}
            child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
        found.append(
            {
                "encoder": encoder,
                "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
                "peak_mb": round(usage.ru_maxrss / _MEBI),
            }
        )
    return found
