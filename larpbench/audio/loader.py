"""Many clips in parallel, in order, a few ahead."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from larpbench import processes
from larpbench.audio.clips import cut_clip, load_clip
from larpbench.audio.errors import UnusableAudio
from larpbench.errors import UsageError

if TYPE_CHECKING:
    from joblib.externals.loky import ProcessPoolExecutor

_LOOK_AGAIN_S = 1.0
_AHEAD = 2  # clips a worker that are decoded or waiting to be taken


def iter_clips(
    paths_and_starts: Iterable[tuple[Path | str, float]], seconds: float, sample_rate: int, workers: int
) -> Iterator[np.ndarray]:
    """Yield the clips of many files in order, decoded in parallel a bounded number of clips ahead.

    Threads do it: libsndfile and soxr release the interpreter lock. PyAV does not, so with two or more workers each
    thread that meets a file for libav starts a process for such files; if it crashes, that file alone is unusable. The
    input is taken as it is needed, and never more than ``2 * workers`` clips are held. Leaving the loop early, or an
    interrupt, ends threads and processes after the clips in progress.

    Args:
        paths_and_starts: (file, start in seconds) of each clip.
        seconds: Length of each clip.
        sample_rate: Rate of each clip in Hz.
        workers: Number of threads; 0 decodes in the caller's thread, when a clip is needed.

    Yields:
        (round(seconds * sample_rate),) float32; see `load_clip`.

    Raises:
        UnusableAudio: When the turn of a clip comes that cannot be loaded, after all before it.
        UsageError: If `workers` is negative.
    """
    if workers < 0:
        raise UsageError(f"{workers} workers", allowed="0 or more")
    clips = ((Path(path), start_s) for path, start_s in paths_and_starts)
    if workers == 0:
        return (load_clip(path, start_s, seconds, sample_rate) for path, start_s in clips)
    return _iter_parallel(clips, seconds, sample_rate, workers)


def _iter_parallel(
    clips: Iterator[tuple[Path, float]], seconds: float, sample_rate: int, workers: int
) -> Iterator[np.ndarray]:
    own = threading.local()
    executors: list[ProcessPoolExecutor] = []

    def load(path: Path, start_s: float) -> np.ndarray:
        def in_process() -> np.ndarray:
            if not hasattr(own, "executor"):
                # That of joblib: the one of concurrent.futures would run the user's script anew in each process.
                from joblib.externals.loky import ProcessPoolExecutor

                own.executor = ProcessPoolExecutor(1, initializer=processes.serve_parent)
                executors.append(own.executor)
            codes: list[int] = []
            try:
                future = own.executor.submit(load_clip, path.absolute(), start_s, seconds, sample_rate)
                while not wait([future], _LOOK_AGAIN_S).done:
                    codes = codes or _ended_in_the_middle(own.executor)
                clip: np.ndarray = future.result()
                return clip
            except BrokenProcessPool as error:
                del own.executor  # another one for the next file
                endings = processes.endings_of_workers(error) or map(processes.ending, codes)
                how = processes.explained(endings)
                raise UnusableAudio("unreadable", path, f"the process that decoded it ended: {how}") from error

        return cut_clip(path, start_s, seconds, sample_rate, in_process if workers > 1 else None)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="larpbench-audio")
    waiting: deque[Future[np.ndarray]] = deque()
    try:
        for path, start_s in clips:
            waiting.append(pool.submit(load, path, start_s))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for executor in executors:
            executor.shutdown(wait=True)


def _ended_in_the_middle(executor: ProcessPoolExecutor) -> list[int]:
    """Return the exit code of a worker that has ended without an answer, and let the pool notice that it has.

    A worker that is killed while it sends a result leaves a part of it, and the pool waits for the rest for ever, since
    the pipe has an open end in this process too.
    """
    workers = list(executor._processes.values())
    if not workers or any(each.is_alive() for each in workers):
        return []
    with Path(os.devnull).open("wb") as nothing:  # the pool closes its end itself, later
        os.dup2(nothing.fileno(), executor._result_queue._writer.fileno())
    return [each.exitcode for each in workers if each.exitcode is not None]
