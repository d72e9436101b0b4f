"""One pass over a split's tracks for several encoders: who encodes what, whether it is usable, and what it took.

What a pass takes is shared out among its encoders, and nothing is counted twice: each has its own time, and an equal
share of the time in which all of them wait for the decoding. Encoders that share a model share its time equally.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

import numpy as np

from larpbench import progress
from larpbench.datasets.schema import Split
from larpbench.encoders.run.jobs import EncodedBatch, Job
from larpbench.encoders.run.pipeline import batch_size, encode_tracks
from larpbench.encoders.run.speed import SpeedClock
from larpbench.errors import EmbeddingError, named
from larpbench.runtime import Cost

_NAMED = 3


Take = Callable[[Job, range], bool]
"""Whether a part that an encoder lacks is to be encoded here; asked when its turn comes, maybe by another thread."""


def encode_parts(
    jobs: Sequence[Job],
    split: Split,
    clocks: Mapping[Job, SpeedClock],
    take: Take = lambda job, part: True,
    first_row: int = 0,
) -> Generator[tuple[Job, range, np.ndarray, Cost]]:
    """Yield the vectors of parts of a split's tracks as they are done, checked, with what they took.

    Args:
        jobs: Encoders that can share a pass (`encode_tracks`), whose parts begin and end at the same rows where they
            overlap. One that fails among others ends alone, and says so in `Job.failed`.
        split: Where the tracks are.
        clocks: Measure how fast each encoder would be alone.
        take: Leaves out parts that others are encoding.
        first_row: Where to begin; what is before it comes at the end.

    Raises:
        EmbeddingError: If an encoder that is alone gives a wrong shape, or rows that are no vectors.
        DataError: If an audio file is gone, was changed or cannot be decoded.
    """
    parts = {part.start: part for job in jobs for part in job.parts}
    ordered = [parts[start] for start in sorted(parts, key=lambda start: (start < first_row, start))]
    taken = _Taken(jobs, ordered, take)
    batches = taken.batches(batch_size(jobs[0].spec))
    if (first := next(batches, None)) is None:
        return
    total, todo = len(split.track_ids), sum(map(len, ordered))
    with (
        progress.stage(f"encode {_shown(jobs)} ({split.name})", total, "tracks", total - todo) as advance,
        contextlib.closing(encode_tracks(jobs, split, itertools.chain([first], batches))) as encoded,
    ):
        bill, blocks = _Bill(), {job: list[np.ndarray]() for job in jobs}
        for batch in encoded:
            rows = batch.rows.stop - batch.rows.start
            bill.add(batch, clocks)
            for job, vectors in batch.vectors.items():
                with job.guarded():
                    job.dim = _require_shape(job, vectors, rows)
                    blocks[job].append(vectors)
            advance(rows + taken.left_out())
            part, wanted = taken.part_at[batch.rows.start]
            if batch.rows.stop < part.stop:
                continue
            those = [job for job in wanted if job.failed is None]
            costs = bill.shared_out(those)
            for job in those:
                with job.guarded():
                    vectors = np.ascontiguousarray(np.concatenate(blocks[job]))
                    require_usable(job.spec.identity, vectors, split.track_ids[part.start : part.stop])
                if job.failed is None:
                    yield job, part, vectors, costs[job]
            bill, blocks = _Bill(), {job: [] for job in jobs}


class _Taken:
    """The parts of a pass whose turn has come, and who encodes them."""

    def __init__(self, jobs: Sequence[Job], parts: Sequence[range], take: Take) -> None:
        self._parts, self._take = parts, take
        lacking = {job: {part.start for part in job.parts} for job in jobs}
        self._lacking = {part.start: [job for job in jobs if part.start in lacking[job]] for part in parts}
        self._left_out: deque[int] = deque()
        self.part_at: dict[int, tuple[range, Sequence[Job]]] = {}  # by the first row of a batch

    def batches(self, size: int) -> Iterator[tuple[slice, Sequence[Job]]]:
        """Yield the rows of batches, which begin anew in each part, and who encodes them."""
        for part in self._parts:
            those = [job for job in self._lacking[part.start] if job.failed is None and self._take(job, part)]
            if not those:
                self._left_out.append(len(part))
            for first in range(part.start, part.stop, size) if those else ():
                self.part_at[first] = part, those
                yield slice(first, min(first + size, part.stop)), those

    def left_out(self) -> int:
        """Return how many tracks have been left out since the last call."""
        return sum(self._left_out.popleft() for _ in range(len(self._left_out)))


class _Bill:
    """What one part of the tracks takes."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._ticked = self._wall
        self._own: dict[Job, float] = {}
        self._beside: dict[Job, float] = {}

    def add(self, batch: EncodedBatch, clocks: Mapping[Job, SpeedClock]) -> None:
        """Count a batch that has just come out."""
        now = time.perf_counter()
        elapsed, self._ticked = now - self._ticked, now
        together, among = sum(batch.seconds.values()), max(len(batch.seconds), 1)
        for job in batch.seconds:
            sharers = [each for each in batch.seconds if each is job or _share_model(each, job)]
            model = sum(batch.seconds[each] for each in sharers)
            own = model / len(sharers)
            self._own[job] = self._own.get(job, 0.0) + own + batch.decoding_s / among
            if batch.beside:
                self._beside[job] = self._beside.get(job, 0.0) + own + batch.decoding_s / among
                alone = elapsed * (batch.decoding_s + model) / max(batch.decoding_s + together, 1e-9)
            else:
                alone = max(elapsed - together, 0.0) + model
            clocks[job].tick(batch.rows.stop - batch.rows.start, alone)

    def shared_out(self, jobs: Iterable[Job]) -> dict[Job, Cost]:
        """Return the cost of each encoder; all of them together are what was spent."""
        wall, cpu, jobs = time.perf_counter() - self._wall, time.process_time() - self._cpu, list(jobs)
        waiting = max(wall - sum(self._own.values()), 0.0) / max(len(jobs), 1)
        weights = {job: self._own.get(job, 0.0) + waiting for job in jobs}
        whole = max(sum(weights.values()), 1e-9)
        return {
            job: Cost(wall * weights[job] / whole, cpu * weights[job] / whole + self._beside.get(job, 0.0))
            for job in jobs
        }


def _share_model(one: Job, other: Job) -> bool:
    return one.spec.model is not None and one.spec.model == other.spec.model


def _shown(jobs: Sequence[Job]) -> str:
    names = [job.spec.identity for job in jobs]
    if len(names) == 1:
        return names[0]
    if len(names) > _NAMED + 1:
        names = [*names[:_NAMED], f"{len(names) - _NAMED} others"]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _require_shape(job: Job, vectors: np.ndarray, rows: int) -> int:
    """Return the length of the vectors."""
    dim = job.dim or (vectors.shape[-1] if vectors.ndim else 0)
    if vectors.shape != (rows, dim) or vectors.dtype != np.float32:
        raise EmbeddingError(
            f"encoder {job.spec.identity!r} gave a {vectors.dtype} array of shape {vectors.shape}",
            allowed=f"float32 of shape ({rows}, {dim if vectors.ndim == 2 else 'dim'})",
            next_step="correct the encoder's encode method",
        )
    return dim


def require_usable(name: str, vectors: np.ndarray, track_ids: np.ndarray) -> None:
    """Raise if a row is no vector (protocol rule 4)."""
    finite = np.isfinite(vectors).all(axis=1)
    for what, bad in (("NaN or infinite", ~finite), ("all-zero", finite & ~vectors.any(axis=1))):
        if bad.any():
            ids = track_ids[bad]
            raise EmbeddingError(
                f"encoder {name!r} gave {what} vectors for {len(ids)} of {len(vectors)} tracks: {named(ids)}",
                allowed="finite vectors that are not all zero (protocol rule 4)",
                next_step="correct these vectors, or build the data set without these tracks",
            )
