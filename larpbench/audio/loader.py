"""Many clips in parallel, in order, a few ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from larpbench.audio.clips import load_clip
from larpbench.errors import UsageError

_AHEAD = 2  # clips a worker that are decoded or waiting to be taken


def iter_clips(
    paths_and_starts: Iterable[tuple[Path | str, float]], seconds: float, sample_rate: int, workers: int
) -> Iterator[np.ndarray]:
    """Yield the clips of many files in order, decoded by threads a bounded number of clips ahead.

    The decoders and soxr let go of the interpreter lock. The input is taken as it is needed, and never more than
    ``2 * workers`` clips are held. Leaving the loop early, or an interrupt, ends the threads after the clips at hand.

    Args:
        paths_and_starts: (file, start in seconds) of each clip.
        seconds: Length of each clip.
        sample_rate: Rate of each clip in Hz.
        workers: Number of threads; 0 decodes in the caller's thread, when a clip is asked for.

    Yields:
        (round(seconds * sample_rate),) float32; see `load_clip`.

    Raises:
        UnusableAudio: When the turn of a clip comes that cannot be loaded, after all before it.
        UsageError: If `workers` is negative.
    """
    if workers < 0:
        raise UsageError(f"{workers} workers", allowed="0 or more")
    return _load(iter(paths_and_starts), seconds, sample_rate, workers)


def _load(clips: Iterator[tuple[Path | str, float]], seconds: float, rate: int, workers: int) -> Iterator[np.ndarray]:
    if workers == 0:
        for path, start_s in clips:
            yield load_clip(path, start_s, seconds, rate)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="larpbench-audio")
    waiting: deque[Future[np.ndarray]] = deque()
    try:
        for path, start_s in clips:
            waiting.append(pool.submit(load_clip, path, start_s, seconds, rate))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
