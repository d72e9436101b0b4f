"""What a pass over a split's tracks is made of: encoders, requests for tracks, and batches of vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larpbench.datasets.schema import Dataset, Split
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError, StorageError
from larpbench.fingerprint import digest_file


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
class Request:
    """Tracks to encode, light enough to send to another process."""

    rows: slice
    track_ids: np.ndarray
    captions: np.ndarray
    clips: tuple[tuple[Path, float], ...]

    def batch(self, audio: np.ndarray | None = None) -> TrackBatch:
        """Return what an encoder gets, its inputs aside."""
        return TrackBatch(self.track_ids, self.captions, audio)


def request_for(spec: EncoderSpec, split: Split, rows: slice) -> Request:
    """Return the request for some tracks of a split; their audio files are those of which the data set was built.

    Raises:
        DataError: If there is no audio and the encoder needs it, or a file is gone or was changed.
    """
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
    return Request(rows, split.track_ids[rows].copy(), captions, clips)


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


def sample_rate(spec: EncoderSpec) -> int:
    """Return the sample rate of an encoder's audio in Hz.

    Raises:
        EmbeddingError: If its card declares none.
    """
    if spec.card.sample_rate is None:
        raise EmbeddingError(f"the card of {spec.identity!r} declares audio, but no sample rate")
    return spec.card.sample_rate


def identities(jobs: Sequence[Job]) -> str:
    """Return the identities of the encoders of a pass."""
    return "+".join(job.spec.identity for job in jobs)
