"""The embedding store: every vector is computed once, kept by content, and found again after a kill.

The key holds all that the vectors depend on: the encoder's card, the digest of its weights or files, the seed if it
uses one, the train captions if it learns from them, and of the tracks just the modalities that the encoder reads. A new
playlist, or for an audio encoder an edited caption, therefore re-encodes nothing.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from larpbench import progress, storage
from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.base import EncodeContext, EncoderSpec, FittedEncoder, TrackBatch
from larpbench.errors import EmbeddingError, StorageError
from larpbench.fingerprint import digest, digest_columns
from larpbench.runtime import Cost, measured

SHARD_TRACKS = 4_096
BATCH_TRACKS = 512
_NAMED = 5


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
        """Return the key of an encoder's vectors for a split."""
        return digest(
            {
                "card": spec.card.model_dump(mode="json"),
                "plugin": spec.plugin,
                "argument_digest": spec.weights_digest(EncodeContext(seed, dataset.folder)),
                "seed": seed if spec.card.stochastic else None,
                "train": dataset.split("train").text_digest if spec.card.learns != "nothing" else None,
                "tracks": split.text_digest if "text" in spec.card.modalities else digest_columns(split.track_ids),
            }
        )

    def folder(self, spec: EncoderSpec, key: str) -> Path:
        """Return the folder of a key."""
        return self.root / storage.slug(spec.card.name) / key

    def missing_tracks(self, spec: EncoderSpec, key: str, n_tracks: int) -> int:
        """Return how many of the split's tracks have no stored vector yet."""
        folder = self.folder(spec, key)
        shards = _shards(n_tracks)
        return sum(stop - start for start, stop in shards if not _shard_path(folder, start).is_file())

    def embed(self, spec: EncoderSpec, dataset: Dataset, split_name: SplitName, seed: int) -> StoredEmbeddings:
        """Return the vectors of a split, computing and keeping those shards that are missing.

        Raises:
            EmbeddingError: If the encoder gives a wrong shape, or NaN, infinite or all-zero rows; ids are named, and
                nothing of that shard is kept.
            StorageError: If the store cannot be written or read.
        """
        split = dataset.split(split_name)
        key = self.key(spec, dataset, split, seed)
        folder = storage.make_folder(self.folder(spec, key))
        shards = _shards(len(split.track_ids))
        with storage.exclusive(folder / ".lock"):
            storage.sweep(folder)
            missing = [(start, stop) for start, stop in shards if not _shard_path(folder, start).is_file()]
            if missing:
                self._encode(spec, dataset, split, seed, folder, missing)
        parts = [_read_shard(_shard_path(folder, start)) for start, _ in shards]
        vectors = np.concatenate([part for part, _ in parts])
        cost = Cost(sum(each.wall_s for _, each in parts), sum(each.cpu_s for _, each in parts))
        return StoredEmbeddings(vectors, key, cost, _oddities(vectors))

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
        done = total - sum(stop - start for start, stop in missing)
        captions = split.tracks["caption"].to_numpy()
        with progress.stage(f"encode {spec.identity} ({split.name})", total, "tracks", done) as advance:
            with contextlib.redirect_stdout(sys.stderr):
                encode = _built(spec, dataset, seed)
            for start, stop in missing:
                with measured() as cost:
                    shard = TrackBatch(split.track_ids[start:stop], captions[start:stop])
                    with contextlib.redirect_stdout(sys.stderr):
                        vectors = _encode_shard(spec, encode, shard, advance)
                costs = {"wall_s": repr(cost.wall_s), "cpu_s": repr(cost.cpu_s)}
                with storage.atomic_file(_shard_path(folder, start)) as temporary:
                    save_file({"embeddings": vectors}, temporary, metadata=costs)
        card = {
            "encoder": spec.identity,
            "card": spec.card.model_dump(mode="json"),
            "split": split.name,
            "tracks": total,
        }
        storage.write_text(folder / "ids.json", json.dumps(split.track_ids.tolist(), ensure_ascii=False) + "\n")
        storage.write_text(folder / "card.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def _built(spec: EncoderSpec, dataset: Dataset, seed: int) -> Callable[[TrackBatch], np.ndarray]:
    encoder = spec.build(EncodeContext(seed, dataset.folder))
    if spec.card.learns != "nothing":
        if not isinstance(encoder, FittedEncoder):
            raise EmbeddingError(f"the card of {spec.identity!r} says that it learns, but it has no fit method")
        encoder.fit(dataset.split("train"))
    return encoder.encode


def _encode_shard(
    spec: EncoderSpec,
    encode: Callable[[TrackBatch], np.ndarray],
    shard: TrackBatch,
    advance: Callable[[int], None],
) -> np.ndarray:
    parts: list[np.ndarray] = []
    for start in range(0, len(shard), BATCH_TRACKS):
        rows = slice(start, start + BATCH_TRACKS)
        batch = TrackBatch(shard.track_ids[rows].copy(), shard.captions[rows].copy())
        vectors = np.array(encode(batch))  # a copy: an encoder may fill the same buffer again
        dim = spec.card.dim or (parts[0].shape[1] if parts else vectors.shape[-1] if vectors.ndim else 0)
        if vectors.shape != (len(batch), dim) or vectors.dtype != np.float32:
            raise EmbeddingError(
                f"encoder {spec.identity!r} gave a {vectors.dtype} array of shape {vectors.shape}",
                allowed=f"float32 of shape ({len(batch)}, {dim})",
                next_step="mend the encoder's encode method",
            )
        parts.append(vectors)
        advance(len(batch))
    whole = np.concatenate(parts)
    _require_usable(spec.identity, whole, shard.track_ids)
    return np.ascontiguousarray(whole)


def _require_usable(name: str, vectors: np.ndarray, track_ids: np.ndarray) -> None:
    """Raise if a row is no vector (protocol rule 4)."""
    finite = np.isfinite(vectors).all(axis=1)
    for what, bad in (("NaN or infinite", ~finite), ("all-zero", finite & ~vectors.any(axis=1))):
        if bad.any():
            ids = track_ids[bad]
            shown = ", ".join(repr(str(each)) for each in ids[:_NAMED])
            more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
            raise EmbeddingError(
                f"encoder {name!r} gave {what} vectors for {len(ids)} of {len(vectors)} tracks: {shown}{more}",
                allowed="finite vectors that are not all zero (protocol rule 4)",
                next_step="mend these vectors, or build the data set without these tracks",
            )


def _oddities(vectors: np.ndarray) -> tuple[str, ...]:
    if len(vectors) > 1 and (vectors == vectors[0]).all():
        return ("all embeddings are equal: every score is a tie",)
    return ()


def _shards(n_tracks: int) -> list[tuple[int, int]]:
    return [(start, min(start + SHARD_TRACKS, n_tracks)) for start in range(0, n_tracks, SHARD_TRACKS)]


def _shard_path(folder: Path, start: int) -> Path:
    return folder / f"shard-{start // SHARD_TRACKS:06d}.safetensors"


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
