"""Training of several seeds: side by side in processes of one thread each, where the models are small."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from larpbench import processes, progress, streams
from larpbench.datasets.schema import SplitName
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.training import ScoreOn, ensure_trained, untrained
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import TrainingError
from larpbench.runtime import cores, torch_device

_SPLITS: tuple[SplitName, ...] = ("train", "valid")
_SECONDS_TO_END = 10.0
_SECONDS_BETWEEN_LOOKS = 0.2  # a long wait may not notice an interrupt


def train_seeds(
    store: EmbeddingStore, spec: EncoderSpec, seeds: Sequence[int], score_on: ScoreOn
) -> dict[int, Exception]:
    """Train those seeds of an encoder that are missing side by side, if that can be done; else nothing happens.

    It can be done where `Training.one_thread` says so, there is more than one core, and no GPU. The weights are the
    same to the bit as those of `ensure_trained`, which is to be called afterwards for what is still missing: a process
    that dies ends the others, too.

    Args:
        store: Where embeddings and checkpoints are kept.
        spec: The encoder, bound to the data set that it learns from.
        seeds: Random seeds.
        score_on: What training is selected by.

    Returns:
        Seed -> why its training failed.

    Raises:
        LarpbenchError: If vectors that all seeds learn from cannot be computed.
    """
    if spec.combined:
        failed: dict[int, Exception] = {}
        for part in spec.inputs:
            failed = train_seeds(store, part, seeds if part.card.stochastic else seeds[:0], score_on) | failed
        return failed
    training, source = spec.training, spec.source
    if training is None or source is None or not training.one_thread:
        return {}
    missing = [seed for seed in dict.fromkeys(seeds) if untrained(store, spec, seed)]
    workers = min(cores(), len(missing))
    if workers < 2 or torch_device() != "cpu":
        return {}
    spec.require_possible(source, ())
    for each in training.inputs:  # once for all seeds, and with all cores
        for seed in missing if each.card.stochastic else missing[:1]:
            for name in _SPLITS:
                store.embed(each, source, name, seed)
    named = ", ".join(map(str, missing))
    progress.say(f"train {spec.identity}: seeds {named}, {workers} at once")
    return _side_by_side(store, spec, missing, score_on, workers)


def _side_by_side(
    store: EmbeddingStore, spec: EncoderSpec, seeds: Sequence[int], score_on: ScoreOn, workers: int
) -> dict[int, Exception]:
    from joblib.externals.loky import get_reusable_executor

    executor = get_reusable_executor(workers, reuse=False)
    failed: dict[int, Exception] = {}
    running: dict[int, Future[None]] = {}
    try:
        places = store.root, store.checkpoints
        running = {seed: executor.submit(_train, places, spec, seed, score_on) for seed in seeds}
        while wait(running.values(), timeout=_SECONDS_BETWEEN_LOOKS).not_done:
            pass
        for seed, future in running.items():
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                reason = processes.explained(processes.endings_of_workers(error))
                progress.say(f"warning: a process that trained {spec.identity} died: {reason}; one seed at a time now")
                break
            if isinstance(error, Exception):
                failed[seed] = error
    except BaseException:
        _interrupt([*executor._processes], [*running.values()])
        raise
    finally:
        executor.shutdown(kill_workers=True)
    return failed


def _interrupt(workers: Sequence[int], running: Sequence[Future[None]]) -> None:
    """Let trainings end as an interrupt ends them, which gives back their locks; wait for them, though not for long."""
    for future in running:
        future.cancel()
    for worker in workers:
        with contextlib.suppress(OSError):  # it has ended by itself
            os.kill(worker, signal.SIGINT)
    with contextlib.suppress(KeyboardInterrupt):
        deadline = time.monotonic() + _SECONDS_TO_END
        while time.monotonic() < deadline and wait(running, timeout=_SECONDS_BETWEEN_LOOKS).not_done:
            pass


class _Lines(streams.Spelling):
    """Standard error of a worker: no terminal, on which the bars of several would overwrite each other."""

    def isatty(self) -> bool:
        """Return False."""
        return False


def _train(places: tuple[Path, Path], spec: EncoderSpec, seed: int, score_on: ScoreOn) -> None:
    """Train in a worker, with a store of its own: what another remembers is told apart by places in memory."""
    _prepare()
    signal.signal(signal.SIGINT, _end)
    try:
        ensure_trained(EmbeddingStore(*places), spec, seed, score_on)
    except KeyboardInterrupt:
        raise TrainingError("training was interrupted") from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts all, and then the parent does
    raise KeyboardInterrupt


@functools.cache
def _prepare() -> None:
    processes.serve_parent()
    sys.stdout = sys.stderr = _Lines(sys.stderr)
