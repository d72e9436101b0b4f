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
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np

from larpbench import compiled, processes, progress, streams
from larpbench.audio.clips import load_clip
from larpbench.audio.loader import iter_clips
from larpbench.datasets.schema import Dataset, Split
from larpbench.encoders.checkpoint_folder import load_checkpoint
from larpbench.encoders.encoder import EncodeContext, Encoder, FittedEncoder, NotingEncoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError
from larpbench.fingerprint import digest_file
from larpbench.runtime import cores

TEXT_BATCH = 512
AUDIO_BATCH = 16
AUDIO_BATCH_OF_A_PROCESS = 4  # small, so that no core waits long for the last batch of another
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class EncodedBatch:
    """The vectors of one batch.

    Attributes:
        vectors: What the encoder gave, copied.
        cpu_s: CPU seconds that a process beside this one spent on it.
    """

    vectors: np.ndarray
    cpu_s: float


@dataclass(frozen=True)
class _Request:
    """Tracks to encode, light enough to send to another process."""

    track_ids: np.ndarray
    captions: np.ndarray
    clips: tuple[tuple[Path, float], ...]
    inputs: tuple[np.ndarray, ...]

    def batch(self, audio: np.ndarray | None = None) -> TrackBatch:
        """Return what the encoder gets."""
        return TrackBatch(self.track_ids, self.captions, audio, self.inputs)


def batch_size(spec: EncoderSpec) -> int:
    """Return how many tracks an encoder gets at once: fixed, so that a resumed run gives the same vectors."""
    if not spec.reads_audio:
        return TEXT_BATCH
    return AUDIO_BATCH_OF_A_PROCESS if spec.card.process_per_core else AUDIO_BATCH


def encode_tracks(
    spec: EncoderSpec,
    context: EncodeContext,
    dataset: Dataset,
    split: Split,
    batches: Sequence[slice],
    inputs: tuple[np.ndarray, ...] = (),
) -> Generator[EncodedBatch]:
    """Encode batches of a split's tracks, in order.

    Args:
        spec: The encoder.
        context: What it may know.
        dataset: The data set; an encoder that learns sees its train split, unless it has a source of its own.
        split: Where the tracks are.
        batches: Rows of the split's tracks.
        inputs: (n, dim) each, the vectors of the split's tracks that it builds upon.

    Raises:
        DataError: If an audio file is gone, was changed since the data set was built, or cannot be decoded.
        EmbeddingError: If the encoder lacks what its card declares.
    """
    compiled.use_cache()
    requests = (_request(spec, split, rows, inputs) for rows in batches)
    workers = cores()
    if spec.card.process_per_core and workers > 1 and len(batches) > 1:
        yield from _in_processes(spec, context, requests, _clip_seconds(split), workers)
        return
    with contextlib.ExitStack() as first:
        if spec.card.process_per_core:
            first.enter_context(compiled.first_use(spec.identity))
        beside = streams.foreign if spec.plugin else streams.aside  # what an encoder prints is no part of a table
        with beside():
            encoder = _built(spec, context, spec.source or dataset)
        try:
            for batch in _ahead(_loaded(spec, requests, _clip_seconds(split), workers)):
                with beside():
                    vectors = np.array(encoder.encode(batch))  # a copy: an encoder may fill the same buffer again
                first.close()  # the first batch has compiled what there is to compile
                yield EncodedBatch(vectors, 0.0)
        finally:  # nobody asks for more than the last batch
            for note in encoder.notes() if isinstance(encoder, NotingEncoder) else ():
                progress.say(f"{spec.identity} ({split.name}): {note}")


def _built(spec: EncoderSpec, context: EncodeContext, source: Dataset) -> Encoder:
    encoder = spec.build(context)
    if spec.training:
        load_checkpoint(spec, encoder, context)
    if spec.card.learns != "nothing":
        if not isinstance(encoder, FittedEncoder):
            raise EmbeddingError(f"the card of {spec.identity!r} declares that it learns, but it has no fit method")
        encoder.fit(source.split("train"))
    return encoder


def _request(spec: EncoderSpec, split: Split, rows: slice, inputs: tuple[np.ndarray, ...]) -> _Request:
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
    return _Request(split.track_ids[rows].copy(), captions, clips, tuple(each[rows].copy() for each in inputs))


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


def _loaded(spec: EncoderSpec, requests: Iterator[_Request], seconds: float, workers: int) -> Iterator[TrackBatch]:
    if not spec.reads_audio:
        yield from (request.batch() for request in requests)
        return
    waiting: deque[_Request] = deque()

    def clips() -> Iterator[tuple[Path, float]]:
        for request in requests:
            waiting.append(request)
            yield from request.clips

    decoded: list[np.ndarray] = []
    for clip in iter_clips(clips(), seconds, _rate(spec), workers):
        decoded.append(clip)
        if len(decoded) == len(waiting[0].clips):
            request = waiting.popleft()
            yield request.batch(np.stack(decoded))
            decoded = []


def _rate(spec: EncoderSpec) -> int:
    if spec.card.sample_rate is None:
        raise EmbeddingError(f"the card of {spec.identity!r} declares audio, but no sample rate")
    return spec.card.sample_rate


def _ahead(batches: Iterator[TrackBatch]) -> Iterator[TrackBatch]:
    """Yield the same batches, prepared by a thread that runs a few ahead."""
    ready: queue.Queue[TrackBatch | BaseException | None] = queue.Queue(_BATCHES_AHEAD)
    stopped = threading.Event()

    def put(item: TrackBatch | BaseException | None) -> None:
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
    spec: EncoderSpec, context: EncodeContext, requests: Iterator[_Request], seconds: float, workers: int
) -> Iterator[EncodedBatch]:
    options = {"n_jobs": workers, "backend": "loky", "batch_size": 1}
    spec = replace(spec, trained_on=None)  # it cannot learn, and a data set is large
    jobs = (joblib.delayed(_encode_in_worker)(spec, context, request, seconds) for request in requests)
    try:
        with compiled.first_use(spec.identity) as is_first:
            if is_first:  # one worker goes ahead: what it compiles is not stored by two at once
                yield from joblib.Parallel(**options)(itertools.islice(jobs, 1))
        yield from joblib.Parallel(return_as="generator", pre_dispatch=_BATCHES_AHEAD * workers, **options)(jobs)
    except BrokenProcessPool as error:
        raise _worker_died(spec, processes.endings_of_workers(error)) from error


def _worker_died(spec: EncoderSpec, endings: list[str]) -> EmbeddingError:
    """Return the error for workers that ended by themselves."""
    fewer = "fewer processes need less memory: taskset -c 0 larpbench ... starts one at a time"
    anew = f"delete the folder of compiled code, in case it is damaged, and try again: {compiled.use_cache()}"
    crashed = any(each in processes.CRASHES for each in endings)
    return EmbeddingError(
        f"a process that encoded with {spec.identity!r} died: {processes.explained(endings)}",
        next_step=f"{anew}; if that does not help, {fewer}" if crashed or not endings else fewer,
    )


def _encode_in_worker(spec: EncoderSpec, context: EncodeContext, request: _Request, seconds: float) -> EncodedBatch:
    started = time.process_time()
    encode = _worker_encode(spec, context)
    audio = None
    if spec.reads_audio:
        audio = np.stack([load_clip(path, start, seconds, _rate(spec)) for path, start in request.clips])
    vectors = np.asarray(encode(request.batch(audio)))
    return EncodedBatch(vectors, time.process_time() - started)


@functools.lru_cache(maxsize=1)
def _worker_encode(spec: EncoderSpec, context: EncodeContext) -> Callable[[TrackBatch], np.ndarray]:
    """Return the encoder of this worker process, built once."""
    processes.serve_parent()
    compiled.follow(spec.identity)
    sys.stdout = sys.stderr = streams.Spelling(sys.stderr)
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
    return spec.build(context).encode
