"""Encoding with a process for each core: each decodes and encodes batches of its own."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np

from larpbench import compiled, processes, streams
from larpbench.audio.clips import load_clip
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.run.jobs import EncodedBatch, Job, Request, identities, sample_rate
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import EmbeddingError

_BATCHES_AHEAD = 2


def in_processes(
    jobs: Sequence[Job], requests: Iterator[tuple[Request, Sequence[Job]]], seconds: float, workers: int
) -> Iterator[EncodedBatch]:
    """Encode batches in worker processes; see `larpbench.encoders.run.pipeline.encode_tracks`.

    Args:
        jobs: Encoders of one sample rate.
        requests: Tracks, and who is to encode them.
        seconds: Length of a clip.
        workers: How many processes.

    Raises:
        EmbeddingError: If a worker dies.
    """
    options = {"n_jobs": workers, "backend": "loky", "batch_size": 1}
    # An encoder of processes cannot learn, and a data set is large.
    members = tuple((replace(job.spec, trained_on=None), job.context) for job in jobs)
    sent: deque[tuple[slice, Sequence[Job]]] = deque()

    def calls() -> Iterator[Any]:
        for request, those in requests:
            sent.append((request.rows, those))
            yield joblib.delayed(_encode_in_worker)(members, [jobs.index(job) for job in those], request, seconds)

    waiting = calls()

    def received(given: _FromWorker) -> EncodedBatch:
        rows, those = sent.popleft()
        for job, error in zip(those, given.errors, strict=True):
            job.failed = job.failed or error
        found = {job: each for job, each in zip(those, given.vectors, strict=True) if each is not None}
        spent = dict(zip(those, given.seconds, strict=True))
        return EncodedBatch(rows, found, {job: spent[job] for job in found}, given.decoding_s, beside=True)

    try:
        with compiled.first_use(identities(jobs)) as is_first:
            if is_first:  # one worker goes ahead: what it compiles is not stored by two at once
                yield from map(received, joblib.Parallel(**options)(itertools.islice(waiting, 1)))
        parallel = joblib.Parallel(return_as="generator", pre_dispatch=_BATCHES_AHEAD * workers, **options)
        yield from map(received, parallel(waiting))
    except BrokenProcessPool as error:
        raise _worker_died(identities(jobs), processes.endings_of_workers(error)) from error


def _worker_died(name: str, endings: list[str]) -> EmbeddingError:
    """Return the error for workers that ended by themselves."""
    fewer = "fewer processes need less memory: taskset -c 0 larpbench ... starts one at a time"
    anew = f"delete the folder of compiled code, in case it is damaged, and try again: {compiled.use_cache()}"
    crashed = any(each in processes.CRASHES for each in endings)
    return EmbeddingError(
        f"a process that encoded with {name!r} died: {processes.explained(endings)}",
        next_step=f"{anew}; if that does not help, {fewer}" if crashed or not endings else fewer,
    )


@dataclass(frozen=True)
class _FromWorker:
    """What the encoders of a worker made of one batch, in the order in which they were asked for."""

    vectors: list[np.ndarray | None]
    errors: list[Exception | None]
    seconds: list[float]
    decoding_s: float


_Members = tuple[tuple[EncoderSpec, EncodeContext], ...]


def _encode_in_worker(members: _Members, wanted: Sequence[int], request: Request, seconds: float) -> _FromWorker:
    began = time.process_time()
    encoder_of = _worker_encoders(members)
    audio, spec = None, members[0][0]
    if spec.reads_audio:
        audio = np.stack([load_clip(path, start, seconds, sample_rate(spec)) for path, start in request.clips])
    decoding_s = time.process_time() - began
    vectors: list[np.ndarray | None] = []
    errors: list[Exception | None] = []
    spent = []
    for number in wanted:
        began = time.process_time()
        own = request.batch(audio if audio is None or len(wanted) == 1 else audio.copy())
        found, failed = None, None
        try:
            found = np.asarray(encoder_of(number)(own))
        except Exception as error:
            if len(members) == 1:
                raise
            failed = error
        vectors.append(found)
        errors.append(failed)
        spent.append(time.process_time() - began)
    return _FromWorker(vectors, errors, spent, decoding_s)


@functools.lru_cache(maxsize=1)
def _worker_encoders(members: _Members) -> Callable[[int], Callable[[TrackBatch], np.ndarray]]:
    """Return the encoders of this worker process by number, each built once, when it is first asked for."""
    processes.serve_parent()
    compiled.follow("+".join(spec.identity for spec, _ in members))
    sys.stdout = sys.stderr = streams.Spelling(sys.stderr)
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)

    @functools.cache
    def built(number: int) -> Callable[[TrackBatch], np.ndarray]:
        spec, context = members[number]
        return spec.build(context).encode

    return built
