"""From tracks to vectors: decoding runs ahead of encoding, or each core decodes and encodes batches of its own."""

from __future__ import annotations

import contextlib
import functools
import itertools
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np

from larpbench import compiled, processes, progress, streams
from larpbench.audio.clips import load_clip
from larpbench.audio.loader import iter_clips
from larpbench.datasets.schema import Dataset, Split
from larpbench.encoders.checkpoint_folder import load_checkpoint
from larpbench.encoders.encoder import (
    EncodeContext,
    Encoder,
    FittedEncoder,
    NotingEncoder,
    PreparingEncoder,
    TrackBatch,
)
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError, StorageError
from larpbench.fingerprint import digest_file
from larpbench.runtime import cores

T = TypeVar("T")
TEXT_BATCH = 512
AUDIO_BATCH = 16
AUDIO_BATCH_OF_A_PROCESS = 4  # small, so that no core waits long for the last batch of another
_BATCHES_AHEAD = 2


@dataclass(eq=False)
class Job:
    """What one encoder has to do in a pass over a split's tracks.

    Attributes:
        spec: The encoder.
        context: What it may know.
        source: The data set whose train split it learns from, if it learns.
        parts: Rows of the split's tracks that it is to encode.
        inputs: (n, dim) each, the vectors of the split's tracks that it builds upon.
        dim: Length of its vectors, None if that is not known yet.
        alone: Whether no other encoder shares the pass: then its errors are raised.
        failed: What ended it, if something did while the others went on.
    """

    spec: EncoderSpec
    context: EncodeContext
    source: Dataset
    parts: Sequence[range] = ()
    inputs: tuple[np.ndarray, ...] = ()
    dim: int | None = None
    alone: bool = True
    failed: BaseException | None = None

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """End the job, and not the pass, if the block fails; a plug-in may raise anything."""
        try:
            yield
        except (StorageError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if self.alone:
                raise
            self.failed = error


@dataclass(frozen=True)
class EncodedBatch:
    """What the encoders of a pass made of one batch; those that failed are not in it.

    Attributes:
        rows: Of the split's tracks.
        vectors: What each gave, copied.
        seconds: What each took for it: wall-clock seconds, or CPU seconds in a process beside this one.
        decoding_s: CPU seconds that the process beside this one took to decode; 0 where threads of this one did.
        beside: Whether it was encoded in a process beside this one.
    """

    rows: slice
    vectors: Mapping[Job, np.ndarray]
    seconds: Mapping[Job, float]
    decoding_s: float = 0.0
    beside: bool = False


@dataclass(frozen=True)
class _Request:
    """Tracks to encode, light enough to send to another process."""

    rows: slice
    track_ids: np.ndarray
    captions: np.ndarray
    clips: tuple[tuple[Path, float], ...]

    def batch(self, audio: np.ndarray | None = None) -> TrackBatch:
        """Return what an encoder gets, its inputs aside."""
        return TrackBatch(self.track_ids, self.captions, audio)


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
    requests = ((_request(those[0].spec, split, rows), those) for rows, those in wanted if those)
    if card.process_per_core and workers > 1 and len(first_two) > 1:
        yield from _in_processes(jobs, requests, seconds, workers)
        return
    with contextlib.ExitStack() as first:
        if card.process_per_core:
            first.enter_context(compiled.first_use(_names(jobs)))
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
    loaded: Iterator[tuple[_Request, TrackBatch, Sequence[Job]]], encoders: Mapping[Job, Encoder]
) -> Iterator[tuple[_Request, Sequence[Job], Mapping[Job, TrackBatch]]]:
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


def _names(jobs: Sequence[Job]) -> str:
    return "+".join(job.spec.identity for job in jobs)


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


def _request(spec: EncoderSpec, split: Split, rows: slice) -> _Request:
    captions = split.tracks["caption"][rows].to_numpy().copy()
    clips: tuple[tuple[Path, float], ...] = ()
    if spec.reads_audio:
        if split.audio is None:
            raise DataError(f"encoder {spec.identity!r} needs audio, and the data set has none")
        files = split.audio.files[rows]
        clips = tuple(
            (split.audio.root / name, start) for name, start in files.select("audio", "clip_start_s").iter_rows()
        )
        for (path, _), row in zip(clips, files.iter_rows(named=True), strict=True):
            _require_unchanged(path, row["bytes"], row["modified_ns"], row["sha256"])
    return _Request(rows, split.track_ids[rows].copy(), captions, clips)


def _require_unchanged(path: Path, size: int, modified_ns: int, sha256: str) -> None:
    """Raise if a file is not the one that the data set was built from; a new time alone is no change."""
    try:
        stat = path.stat()
        same = stat.st_size == size and (stat.st_mtime_ns == modified_ns or digest_file(path) == sha256)
    except OSError:
        same = False
    if not same:
        raise DataError(
            "an audio file is gone or was changed since the data set was built",
            where=str(path),
            next_step="restore it, or build the data set anew",
        )


def _clip_seconds(split: Split) -> float:
    return split.audio.policy.clip_seconds if split.audio else 0.0


def _loaded(
    spec: EncoderSpec, requests: Iterator[tuple[_Request, Sequence[Job]]], seconds: float, workers: int
) -> Iterator[tuple[_Request, TrackBatch, Sequence[Job]]]:
    if not spec.reads_audio:
        yield from ((request, request.batch(), those) for request, those in requests)
        return
    waiting: deque[tuple[_Request, Sequence[Job]]] = deque()

    def clips() -> Iterator[tuple[Path, float]]:
        for request, those in requests:
            waiting.append((request, those))
            yield from request.clips

    decoded: list[np.ndarray] = []
    for clip in iter_clips(clips(), seconds, _rate(spec), workers):
        decoded.append(clip)
        if len(decoded) == len(waiting[0][0].clips):
            request, those = waiting.popleft()
            yield request, request.batch(np.stack(decoded)), those
            decoded = []


def _rate(spec: EncoderSpec) -> int:
    if spec.card.sample_rate is None:
        raise EmbeddingError(f"the card of {spec.identity!r} declares audio, but no sample rate")
    return spec.card.sample_rate


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


def _in_processes(
    jobs: Sequence[Job], requests: Iterator[tuple[_Request, Sequence[Job]]], seconds: float, workers: int
) -> Iterator[EncodedBatch]:
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
        with compiled.first_use(_names(jobs)) as is_first:
            if is_first:  # one worker goes ahead: what it compiles is not stored by two at once
                yield from map(received, joblib.Parallel(**options)(itertools.islice(waiting, 1)))
        parallel = joblib.Parallel(return_as="generator", pre_dispatch=_BATCHES_AHEAD * workers, **options)
        yield from map(received, parallel(waiting))
    except BrokenProcessPool as error:
        raise _worker_died(_names(jobs), processes.endings_of_workers(error)) from error


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


def _encode_in_worker(members: _Members, wanted: Sequence[int], request: _Request, seconds: float) -> _FromWorker:
    began = time.process_time()
    encoder_of = _worker_encoders(members)
    audio, spec = None, members[0][0]
    if spec.reads_audio:
        audio = np.stack([load_clip(path, start, seconds, _rate(spec)) for path, start in request.clips])
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
