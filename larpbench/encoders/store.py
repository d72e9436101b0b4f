"""The embedding store: every vector is computed once, kept by content, and found again after a kill.

The key holds all that the vectors depend on: the encoder's card, the digest of its weights or files, the seed if it
uses one, the train captions if it learns from them, and of the tracks just the modalities that the encoder reads. A new
playlist, or for an audio encoder an edited caption, therefore re-encodes nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from larpbench import progress, storage
from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.base import EncodeContext, EncoderSpec
from larpbench.encoders.pipeline import batch_size, encode_tracks
from larpbench.encoders.scaling import Standardiser
from larpbench.errors import EmbeddingError, MissingPartError, StorageError, named
from larpbench.fingerprint import digest
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


class EmbeddingStore:
    """Embeddings under a folder, by key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> str:
        """Return the key of an encoder's vectors for a split.

        Raises:
            MissingPartError: If the encoder needs audio and the data set has none.
        """
        return digest(
            {
                "card": spec.card.model_dump(mode="json", exclude={"tracks_per_second", "summary"}),
                "plugin": spec.plugin,
                "argument_digest": spec.weights_digest(EncodeContext(seed, dataset.folder)),
                "seed": seed if spec.card.stochastic else None,
                "train": dataset.split("train").text_digest if spec.card.learns != "nothing" else None,
                "tracks": _tracks_digest(spec, dataset, split),
            }
        )

    def scaled_key(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> str:
        """Return the digest of a split's vectors as recommenders see them, after scaling on the train split."""
        keys = [self.key(spec, dataset, each, seed) for each in self.splits_read(spec, dataset, split)]
        return keys[0] if len(keys) == 1 else digest(keys)

    def splits_read(self, spec: EncoderSpec, dataset: Dataset, split: Split) -> list[Split]:
        """Return the splits whose tracks must be encoded to have the vectors of one."""
        train = dataset.split("train")
        return [split, train] if spec.card.standardised and split.name != "train" and train.tracks.height else [split]

    def folder(self, spec: EncoderSpec, key: str) -> Path:
        """Return the folder of a key."""
        return self.root / storage.slug(spec.card.name) / key

    def missing_tracks(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> int:
        """Return how many tracks have to be encoded to have the vectors of a split."""
        missing = 0
        for each in self.splits_read(spec, dataset, split):
            folder = self.folder(spec, self.key(spec, dataset, each, seed))
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
        split, *train = self.splits_read(spec, dataset, dataset.split(split_name))
        vectors, cost = self._raw(spec, dataset, split, seed)
        warnings = _oddities(vectors)
        if spec.card.standardised:
            reference = vectors
            if train:
                reference, train_cost = self._raw(spec, dataset, train[0], seed)
                cost = Cost(cost.wall_s + train_cost.wall_s, cost.cpu_s + train_cost.cpu_s)
            elif split.name != "train":
                warnings += ("standardised on the tested tracks themselves, since there are no train tracks",)
            vectors = Standardiser(reference).apply(vectors)
        return StoredEmbeddings(vectors, self.scaled_key(spec, dataset, split, seed), cost, warnings)

    def _raw(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> tuple[np.ndarray, Cost]:
        folder = storage.make_folder(self.folder(spec, self.key(spec, dataset, split, seed)))
        shards = _shards(spec, len(split.track_ids))
        with storage.exclusive(folder / ".lock"):
            storage.sweep(folder)
            missing = [(start, stop) for start, stop in shards if not _shard_path(spec, folder, start).is_file()]
            if missing:
                self._encode(spec, dataset, split, seed, folder, missing)
        parts = [_read_shard(_shard_path(spec, folder, start)) for start, _ in shards]
        cost = Cost(sum(each.wall_s for _, each in parts), sum(each.cpu_s for _, each in parts))
        return np.concatenate([part for part, _ in parts]), cost

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
        with progress.stage(f"encode {spec.identity} ({split.name})", total, "tracks", total - todo) as advance:
            encoded = encode_tracks(spec, dataset, split, seed, batches)
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


def _tracks_digest(spec: EncoderSpec, dataset: Dataset, split: Split) -> list[str]:
    digests = [split.ids_digest]
    if "text" in spec.card.modalities:
        digests.append(split.text_digest)
    if "audio" in spec.card.modalities:
        if split.audio is None:
            raise MissingPartError(
                f"encoder {spec.identity!r} needs audio, and the data set {dataset.name!r} has none",
                next_step="build the data set with audio (larpbench dataset build folder, or csv --audio DIR)",
            )
        digests.append(split.audio.digest)
    return digests


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
    return AUDIO_SHARD if "audio" in spec.card.modalities else TEXT_SHARD


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
        raise StorageError(
            f"a stored embedding shard is damaged: {error}",
            where=str(path),
            next_step="delete that file; it is encoded anew",
        ) from error
