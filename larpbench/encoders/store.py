"""The embedding store: every vector is computed once, kept by its key, and found again after a kill."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from larpbench import progress, storage
from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.base import EncodeContext, EncoderSpec, Rows
from larpbench.encoders.keys import checkpoint_key, embedding_key, scaled_key, scaled_on
from larpbench.encoders.pipeline import batch_size, encode_tracks
from larpbench.encoders.scaling import Standardiser
from larpbench.errors import DataError, EmbeddingError, named
from larpbench.runtime import Cost

TEXT_SHARD = 4_096
AUDIO_SHARD = 256
_SPEED = "speed.json"


@dataclass(frozen=True)
class StoredEmbeddings:
    """The vectors of one split.

    Attributes:
        vectors: (n, dim) float32, in the order of the split's tracks.
        key: Where they are kept.
        cost: What it took to compute them, possibly in an earlier run.
        warnings: What is odd about them.
    """

    vectors: np.ndarray
    key: str
    cost: Cost
    warnings: tuple[str, ...]


class StoredRows:
    """Rows of a split's vectors, read from their shards when they are asked for: for vectors too large for memory.

    Args:
        paths: The shards, in order.
        size: Rows a shard, but for the last.
        total: Rows in all.
    """

    def __init__(self, paths: tuple[Path, ...], size: int, total: int) -> None:
        self._shards = [_lazy_rows(path) for path in paths]
        self._size, self._total = size, total

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32 for (n,) int64."""
        parts = [self._shards[row // self._size][row % self._size] for row in rows.tolist()]
        return np.stack(parts)


class EmbeddingStore:
    """Embeddings under a folder, by key.

    Args:
        root: The folder of embeddings.
        checkpoints: The folder of trained encoders' weights; default beside it.
    """

    def __init__(self, root: Path, checkpoints: Path | None = None) -> None:
        self.root = root
        self.checkpoints = checkpoints or root.parent / "checkpoints"

    def folder(self, spec: EncoderSpec, key: str) -> Path:
        """Return the folder of an encoder's vectors, given their `embedding_key`."""
        return self.root / storage.slug(spec.card.name) / key

    def checkpoint(self, spec: EncoderSpec, seed: int) -> Path:
        """Return the folder of a trained encoder's weights, whether it is there or not."""
        return self.checkpoints / storage.slug(spec.card.name) / checkpoint_key(spec, seed)

    def context(self, spec: EncoderSpec, dataset: Dataset, seed: int) -> EncodeContext:
        """Return what the encoder may know when it is built."""
        return EncodeContext(seed, dataset.folder, self.checkpoint(spec, seed) if spec.training else None)

    def missing_tracks(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> int:
        """Return how many tracks have to be encoded to have the vectors of a split."""
        missing = 0
        for data, each in _needed(spec, dataset, split):
            folder = self.folder(spec, embedding_key(spec, data, each, seed))
            shards = _shards(spec, len(each.track_ids))
            missing += sum(stop - start for start, stop in shards if not _shard_path(spec, folder, start).is_file())
        return missing

    def speed(self, spec: EncoderSpec) -> float | None:
        """Return the tracks per second of this encoder's last run here, None if it never ran."""
        path = self.root / storage.slug(spec.card.name) / _SPEED
        try:
            return float(json.loads(path.read_text(encoding="utf-8"))["tracks_per_second"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def embed(self, spec: EncoderSpec, dataset: Dataset, split_name: SplitName, seed: int) -> StoredEmbeddings:
        """Return the vectors of a split, computing and keeping those shards that are missing.

        Raises:
            EmbeddingError: If the encoder gives a wrong shape, or NaN, infinite or all-zero rows; ids are named, and
                nothing of that shard is kept.
            DataError: If an audio file is gone or was changed.
            StorageError: If the store cannot be written or read.
        """
        split = dataset.split(split_name)
        key = scaled_key(spec, dataset, split, seed)
        vectors, cost = self._raw(spec, dataset, split, seed)
        warnings = _oddities(vectors)
        if spec.card.standardised:
            reference = vectors
            if scale := scaled_on(spec, dataset, split):
                reference, train_cost = self._raw(spec, *scale, seed)
                cost = Cost(cost.wall_s + train_cost.wall_s, cost.cpu_s + train_cost.cpu_s)
            elif split.name != "train":
                warnings += ("standardised on the tested tracks themselves, since there are no train tracks",)
            vectors = Standardiser(reference).apply(vectors)
        return StoredEmbeddings(vectors, key, cost, warnings)

    def rows(self, spec: EncoderSpec, dataset: Dataset, split_name: SplitName, seed: int) -> Rows:
        """Return the vectors of a split for training: in memory, or read when asked for if the card says so."""
        if not spec.card.large:
            return self.embed(spec, dataset, split_name, seed).vectors
        split = dataset.split(split_name)
        folder = self._complete(spec, dataset, split, seed)
        shards = _shards(spec, len(split.track_ids))
        return StoredRows(
            tuple(_shard_path(spec, folder, start) for start, _ in shards), _shard_tracks(spec), len(split.track_ids)
        )

    def _raw(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> tuple[np.ndarray, Cost]:
        folder = self._complete(spec, dataset, split, seed)
        vectors: np.ndarray | None = None  # filled shard by shard: a list of parts would take the memory twice
        wall = cpu = 0.0
        for start, stop in _shards(spec, len(split.track_ids)):
            part, cost = _read_shard(_shard_path(spec, folder, start))
            if vectors is None:
                vectors = np.empty((len(split.track_ids), part.shape[1]), dtype=np.float32)
            vectors[start:stop] = part
            wall, cpu = wall + cost.wall_s, cpu + cost.cpu_s
        if vectors is None:
            raise DataError(f"the {split.name} split of {dataset.name!r} has no tracks")
        return vectors, Cost(wall, cpu)

    def _complete(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> Path:
        """Encode what is missing, and return the folder."""
        folder = storage.make_folder(self.folder(spec, embedding_key(spec, dataset, split, seed)))
        shards = _shards(spec, len(split.track_ids))
        with storage.exclusive(folder / ".lock"):
            storage.sweep(folder.parent)
            storage.sweep(folder)
            missing = [(start, stop) for start, stop in shards if not _shard_path(spec, folder, start).is_file()]
            if missing:
                self._encode(spec, dataset, split, seed, folder, missing)
        return folder

    def _encode(
        self,
        spec: EncoderSpec,
        dataset: Dataset,
        split: Split,
        seed: int,
        folder: Path,
        missing: list[tuple[int, int]],
    ) -> None:
        total = len(split.track_ids)
        size = batch_size(spec)
        batches = [
            slice(first, min(first + size, stop)) for start, stop in missing for first in range(start, stop, size)
        ]
        todo = sum(stop - start for start, stop in missing)
        clock = _SpeedClock()
        inputs = tuple(self.embed(each, dataset, split.name, seed).vectors for each in spec.inputs)
        context = self.context(spec, dataset, seed)
        with progress.stage(f"encode {spec.identity} ({split.name})", total, "tracks", total - todo) as advance:
            encoded = encode_tracks(spec, context, dataset, split, batches, inputs)
            for start, stop in missing:
                wall, cpu = time.perf_counter(), time.process_time()
                beside = 0.0
                parts: list[np.ndarray] = []
                for first in range(start, stop, size):
                    batch = next(encoded)
                    _require_shape(spec, batch.vectors, min(size, stop - first), parts)
                    parts.append(batch.vectors)
                    beside += batch.cpu_s
                    advance(len(batch.vectors))
                    clock.tick(len(batch.vectors))
                vectors = np.ascontiguousarray(np.concatenate(parts))
                _require_usable(spec.identity, vectors, split.track_ids[start:stop])
                spent = {
                    "wall_s": repr(time.perf_counter() - wall),
                    "cpu_s": repr(time.process_time() - cpu + beside),
                }
                with storage.atomic_file(_shard_path(spec, folder, start)) as temporary:
                    save_file({"embeddings": vectors}, temporary, metadata=spent)
            encoded.close()
        self._describe(spec, split, folder, clock.tracks_per_second())

    def _describe(self, spec: EncoderSpec, split: Split, folder: Path, speed: float) -> None:
        card = {
            "encoder": spec.identity,
            "card": spec.card.model_dump(mode="json"),
            "split": split.name,
            "tracks": len(split.track_ids),
        }
        storage.write_text(folder / "ids.json", json.dumps(split.track_ids.tolist(), ensure_ascii=False) + "\n")
        storage.write_text(folder / "card.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        storage.write_text(folder.parent / _SPEED, json.dumps({"tracks_per_second": speed}) + "\n")


class _SpeedClock:
    """Tracks per second, the encoder's start left out where there are batches enough to do so."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first = (0, self._began)
        self._last = (0, self._began)

    def tick(self, tracks: int) -> None:
        """Count a batch that has just come out."""
        self._last = (self._last[0] + tracks, time.perf_counter())
        if not self._first[0]:
            self._first = self._last

    def tracks_per_second(self) -> float:
        """Return the speed so far."""
        since = self._first if self._last[0] > self._first[0] else (0, self._began)
        return (self._last[0] - since[0]) / max(self._last[1] - since[1], 1e-6)


def _lazy_rows(path: Path) -> Any:  # noqa: ANN401 - safetensors has no name for it
    with storage.storage_errors(path, "read"):
        return safe_open(path, framework="numpy").get_slice("embeddings")  # type: ignore[no-untyped-call]


def _needed(spec: EncoderSpec, dataset: Dataset, split: Split) -> list[tuple[Dataset, Split]]:
    """Return what must be encoded to have the vectors of a split: itself, and what they are scaled on."""
    reference = scaled_on(spec, dataset, split)
    return [(dataset, split), *([reference] if reference else [])]


def _require_shape(spec: EncoderSpec, vectors: np.ndarray, rows: int, before: list[np.ndarray]) -> None:
    dim = spec.card.dim or (before[0].shape[1] if before else vectors.shape[-1] if vectors.ndim else 0)
    if vectors.shape != (rows, dim) or vectors.dtype != np.float32:
        raise EmbeddingError(
            f"encoder {spec.identity!r} gave a {vectors.dtype} array of shape {vectors.shape}",
            allowed=f"float32 of shape ({rows}, {dim})",
            next_step="mend the encoder's encode method",
        )


def _require_usable(name: str, vectors: np.ndarray, track_ids: np.ndarray) -> None:
    """Raise if a row is no vector (protocol rule 4)."""
    finite = np.isfinite(vectors).all(axis=1)
    for what, bad in (("NaN or infinite", ~finite), ("all-zero", finite & ~vectors.any(axis=1))):
        if bad.any():
            ids = track_ids[bad]
            raise EmbeddingError(
                f"encoder {name!r} gave {what} vectors for {len(ids)} of {len(vectors)} tracks: {named(ids)}",
                allowed="finite vectors that are not all zero (protocol rule 4)",
                next_step="mend these vectors, or build the data set without these tracks",
            )


def _oddities(vectors: np.ndarray) -> tuple[str, ...]:
    if len(vectors) > 1 and (vectors == vectors[0]).all():
        return ("all embeddings are equal: every score is a tie",)
    return ()


def _shard_tracks(spec: EncoderSpec) -> int:
    return AUDIO_SHARD if spec.hears_audio else TEXT_SHARD


def _shards(spec: EncoderSpec, n_tracks: int) -> list[tuple[int, int]]:
    size = _shard_tracks(spec)
    return [(start, min(start + size, n_tracks)) for start in range(0, n_tracks, size)]


def _shard_path(spec: EncoderSpec, folder: Path, start: int) -> Path:
    return folder / f"shard-{start // _shard_tracks(spec):06d}.safetensors"


def _read_shard(path: Path) -> tuple[np.ndarray, Cost]:
    try:
        with safe_open(path, framework="numpy") as archive:
            metadata = archive.metadata()
            return archive.get_tensor("embeddings"), Cost(float(metadata["wall_s"]), float(metadata["cpu_s"]))
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"a stored embedding shard is damaged: {error}",
            where=str(path),
            next_step="delete that file; it is encoded anew",
        ) from error
