"""Clips per CPU second and peak memory of every encoder at its published size, one thread.

    OMP_NUM_THREADS=1 python benchmarks/encoder_costs.py            # all that are not measured yet
    OMP_NUM_THREADS=1 python benchmarks/encoder_costs.py muq bert   # these, anew

Each encoder runs in a process of its own, with made-up weights (`true_sizes.py`): it is built, encodes a clip of a
second, and then a few clips of 10 s with captions of 20 tokens, whose CPU seconds are counted. Memory is the peak of
the process, with Python, torch and the reading of the weights. Results go to ``encoder_costs.json`` after every
encoder, from which the page of the status of all encoders reads them. What needs more than 8 GB, or more than five CPU
minutes, is not measured.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_suffix(".json")
_SECONDS, _CAPTION = 10, "Night Train, Alpha"
_CLIPS, _CLIPS_OF_LARGE = 8, 2
_LARGE = 300_000_000  # parameters
_MEMORY_GB, _CPU_S = 8, 300
_SKIPPED = {
    "jukebox": "5 billion parameters: more than 8 GB",
    "essentia-tf": "the graphs are Essentia's, and none is here",
}
_COMPUTED = ("clap-random", "handcrafted", "essentia", "minilm", "musicnn-msd", "musicnn-mtt", "tfidf")
"""Encoders that need no fetched weights."""


def measure(name: str, folder: Path, clips: int) -> dict[str, Any]:
    """Return what an encoder costs, in this process.

    Args:
        name: Its full name.
        folder: Holds its weights.
        clips: How many clips are timed.
    """
    import numpy as np
    import torch

    from larpbench.encoders.encoder import EncodeContext, TrackBatch
    from larpbench.encoders.names import get_encoder

    torch.set_num_threads(1)
    spec = get_encoder(name)
    encoder = spec.factory(EncodeContext(0, folder, weights=folder), spec.argument)
    if spec.card.learns == "statistics":
        return _measure_text(encoder)

    def batch(n: int, seconds: int) -> TrackBatch:
        rate, random = spec.card.sample_rate, np.random.default_rng(0)
        audio = random.normal(0, 0.1, (n, seconds * rate)).astype(np.float32) if rate else None
        return TrackBatch(np.arange(n).astype(str), np.array([_CAPTION] * n, dtype=object), audio)

    encoder.encode(batch(1, 1))
    given = batch(clips, _SECONDS)
    start = time.process_time()
    vectors = encoder.encode(given)
    spent = time.process_time() - start
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name}: not all numbers are finite")
    return {"clips": clips, "clips_per_cpu_second": float(f"{clips / spent:.2g}"), "peak_mb": _peak_mb()}


def _measure_text(encoder: Any) -> dict[str, Any]:
    """Return what an encoder costs that counts words first: it is fitted on the demo, and encodes its captions."""
    from larpbench import load_dataset
    from larpbench.encoders.encoder import TrackBatch

    train = load_dataset("demo").split("train")
    encoder.fit(train)
    batch = TrackBatch(train.tracks["track_id"].to_numpy(), train.tracks["caption"].to_numpy())
    start = time.process_time()
    encoder.encode(batch)
    spent = time.process_time() - start
    clips = len(batch)
    return {"clips": clips, "clips_per_cpu_second": float(f"{clips / spent:.2g}"), "peak_mb": _peak_mb()}


def _peak_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def plan() -> dict[str, tuple[str | None, Callable[[Path], None] | None]]:
    """Return what can be measured: key -> what model of several it is, and what writes its weights."""
    from true_sizes import EXAMPLES, WRITERS

    found: dict[str, tuple[str | None, Callable[[Path], None] | None]] = dict.fromkeys(_COMPUTED, (None, None))
    found |= {name: (None, writer) for name, writer in WRITERS.items()}
    return dict(sorted((found | EXAMPLES).items()))


def run(key: str, model: str | None, writer: Callable[[Path], None] | None) -> dict[str, Any]:
    """Return the result of one encoder: costs, or why there are none."""
    from larpbench import packages
    from larpbench.encoders.names import ENCODERS, get_encoder

    if absent := [each for each in ENCODERS.get(key.split()[0]).requires if not packages.importable(each)]:
        return {"skipped": f"{' and '.join(absent)} not installed there"}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if writer:
            writer(folder)
        name = f"{key.split()[0]}:{folder}" if model else key
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        large = max(size // 4, get_encoder(name).card.parameters or 0) >= _LARGE
        command = [sys.executable, __file__, "--child", name, place, str(_CLIPS_OF_LARGE if large else _CLIPS)]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=_limit, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return {"skipped": last if done.returncode > 0 else f"more than {_CPU_S} CPU seconds or {_MEMORY_GB} GB"}
    costs: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if costs["peak_mb"] > _MEMORY_GB * 1_000:
        return {"skipped": f"{costs['peak_mb'] / 1_000:.1f} GB of memory, more than {_MEMORY_GB}"}
    return {**({"model": model} if model else {}), **costs, **_circumstances()}


def _limit() -> None:
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))


def _circumstances() -> dict[str, str]:
    return {
        "machine": f"{os.cpu_count()} vCPU {_cpu()}, one thread",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": ", ".join(
            [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in ("torch", "transformers"))]
        ),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return " ".join(found.split()[:2]) if found.startswith(("AMD", "Intel")) else found


def main(names: list[str]) -> None:
    """Measure encoders and print a line for each."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for key, (model, writer) in plan().items():
        if (names and key not in names) or (not names and key in results):
            continue
        results[key] = run(key, model, writer)
        print(f"{key:20} {results[key]}", flush=True)
        results |= {name: {"skipped": why} for name, why in _SKIPPED.items()}
        text = json.dumps(dict(sorted(results.items())), indent=2) + "\n"
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        main(sys.argv[1:])
