"""From tracks to vectors: decoding runs ahead of encoding, unless each core has a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from larpbench import compiled, progress, streams
from larpbench.audio.loader import iter_clips
from larpbench.datasets.schema import Split
from larpbench.encoders.checkpoint_folder import load_checkpoint
from larpbench.encoders.encoder import (
    Encoder,
    FittedEncoder,
    NotingEncoder,
    PreparingEncoder,
    TrackBatch,
)
from larpbench.encoders.run.in_processes import in_processes
from larpbench.encoders.run.jobs import EncodedBatch, Job, Request, identities, request_for, sample_rate
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import EmbeddingError
from larpbench.runtime import cores

T = TypeVar("T")
TEXT_BATCH = 512
AUDIO_BATCH = 16
AUDIO_BATCH_OF_A_PROCESS = 4  # small, so that no core waits long for the last batch of another
_BATCHES_AHEAD = 2


def batch_size(spec: EncoderSpec) -> int:
    """Return how many tracks an encoder gets at once: fixed, so that a resumed run gives the same vectors."""
    if not spec.reads_audio:
        return TEXT_BATCH
    return AUDIO_BATCH_OF_A_PROCESS if spec.card.process_per_core else AUDIO_BATCH


def encode_tracks(
    jobs: Sequence[Job], split: Split, batches: Iterable[tuple[slice, Sequence[Job]]]
) -> Generator[EncodedBatch]:
    """Encode batches of a split's tracks, in order; each file is decoded once, whatever the number of encoders.

    A batch that is left to nobody, since all that were to encode it have failed, is left out.

    Args:
        jobs: Encoders of one sample rate and one batch size, all with processes or all without.
        split: Where the tracks are.
        batches: Rows of the split's tracks, and who is to encode them; they are asked for when their turn comes, maybe
            by another thread.

    Raises:
        DataError: If an audio file is gone, was changed since the data set was built, or cannot be decoded.
        EmbeddingError: If an encoder that is alone lacks what its card declares.
    """
    compiled.use_cache()
    card, workers, seconds = jobs[0].spec.card, cores(), _clip_seconds(split)
    batches = iter(batches)
    first_two = list(itertools.islice(batches, 2))
    batches = itertools.chain(first_two, batches)
    wanted = ((rows, [job for job in those if job.failed is None]) for rows, those in batches)
    requests = ((request_for(those[0].spec, split, rows), those) for rows, those in wanted if those)
    if card.process_per_core and workers > 1 and len(first_two) > 1:
        yield from in_processes(jobs, requests, seconds, workers)
        return
    with contextlib.ExitStack() as first:
        if card.process_per_core:
            first.enter_context(compiled.first_use(identities(jobs)))
        encoders: dict[Job, Encoder] = {}
        spent: dict[Job, float] = {}
        for job in jobs:
            began = time.perf_counter()
            with job.guarded(), _beside(job):
                encoders[job] = _built(job)
            spent[job] = time.perf_counter() - began
        try:
            loaded = _loaded(jobs[0].spec, requests, seconds, workers)
            for request, those, own in _ahead(_prepared(loaded, encoders)):
                found: dict[Job, np.ndarray] = {}
                for job in those:
                    if job.failed is None:
                        began = time.perf_counter()
                        with job.guarded(), _beside(job):  # a copy: an encoder may fill the same buffer again
                            found[job] = np.array(encoders[job].encode(own[job]))
                        spent[job] += time.perf_counter() - began
                first.close()  # the first batch has compiled what there is to compile
                yield EncodedBatch(request.rows, found, {job: spent[job] for job in found})
                spent = dict.fromkeys(jobs, 0.0)
        finally:  # nobody asks for more than the last batch
            for job, encoder in encoders.items():
                for note in encoder.notes() if isinstance(encoder, NotingEncoder) else ():
                    progress.say(f"{job.spec.identity} ({split.name}): {note}")


def _prepared(
    loaded: Iterator[tuple[Request, TrackBatch, Sequence[Job]]], encoders: Mapping[Job, Encoder]
) -> Iterator[tuple[Request, Sequence[Job], Mapping[Job, TrackBatch]]]:
    """Yield what each encoder gets, with the features of its front end where it has one of its own."""
    for request, batch, those in loaded:
        own: dict[Job, TrackBatch] = {}
        for job in those:
            if job.failed is None:
                own[job], encoder = _own_batch(job, batch, request.rows), encoders[job]
                if isinstance(encoder, PreparingEncoder) and not job.spec.plugin:
                    with job.guarded():
                        own[job] = encoder.prepare(own[job])
        yield request, those, own


def _beside(job: Job) -> contextlib.AbstractContextManager[None]:
    """Keep what an encoder prints out of tables."""
    return streams.foreign() if job.spec.plugin else streams.aside()


def _own_batch(job: Job, batch: TrackBatch, rows: slice) -> TrackBatch:
    """Return what a job's encoder gets: code from elsewhere may change what it is given, and gets a copy."""
    inputs = tuple(each[rows].copy() for each in job.inputs)
    if job.alone or not (job.spec.plugin or job.spec.origin):
        return replace(batch, inputs=inputs)
    audio = None if batch.audio is None else batch.audio.copy()
    return TrackBatch(batch.track_ids.copy(), batch.captions.copy(), audio, inputs)


def _built(job: Job) -> Encoder:
    spec = job.spec
    encoder = spec.build(job.context)
    if spec.training:
        load_checkpoint(spec, encoder, job.context)
    if spec.card.learns != "nothing":
        if not isinstance(encoder, FittedEncoder):
            raise EmbeddingError(f"the card of {spec.identity!r} declares that it learns, but it has no fit method")
        encoder.fit(job.source.split("train"))
    return encoder


def _clip_seconds(split: Split) -> float:
    return split.audio.policy.clip_seconds if split.audio else 0.0


def _loaded(
    spec: EncoderSpec, requests: Iterator[tuple[Request, Sequence[Job]]], seconds: float, workers: int
) -> Iterator[tuple[Request, TrackBatch, Sequence[Job]]]:
    if not spec.reads_audio:
        yield from ((request, request.batch(), those) for request, those in requests)
        return
    waiting: deque[tuple[Request, Sequence[Job]]] = deque()

    def clips() -> Iterator[tuple[Path, float]]:
        for request, those in requests:
            waiting.append((request, those))
            yield from request.clips

    decoded: list[np.ndarray] = []
    for clip in iter_clips(clips(), seconds, sample_rate(spec), workers):
        decoded.append(clip)
        if len(decoded) == len(waiting[0][0].clips):
            request, those = waiting.popleft()
            yield request, request.batch(np.stack(decoded)), those
            decoded = []


def _ahead(batches: Iterator[T]) -> Iterator[T]:
    """Yield the same batches, prepared by a thread that runs a few ahead."""
    ready: queue.Queue[T | BaseException | None] = queue.Queue(_BATCHES_AHEAD)
    stopped = threading.Event()

    def put(item: T | BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def prepare() -> None:
        try:
            for batch in batches:
                put(batch)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # it is raised again where it is waited for
            put(error)

    thread = threading.Thread(target=prepare, name="larpbench-decode", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
