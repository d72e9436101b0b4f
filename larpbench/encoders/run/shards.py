"""One shard of stored vectors: a file that records whose vectors it holds, with a digest of them.

The metadata hold two digests. ``belongs`` is that of the embeddings' key, which holds the ids of the split's tracks,
and of the rows; ``sha256`` is that of ``belongs``, the costs, the type, the shape and every byte of the vectors. A file
without them, or with others, is not trusted.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from larpbench import storage
from larpbench.fingerprint import canonical_json, digest
from larpbench.runtime import Cost

_TENSOR = "embeddings"
_UNREADABLE = (SafetensorError, OSError, KeyError, ValueError, TypeError)
EARLIER = "written by an earlier version, without a digest"


@dataclass(frozen=True)
class Shard:
    """Where some rows of a split's vectors are kept.

    Attributes:
        path: The file.
        key: The key of the embeddings.
        start: Its first row.
        stop: The row after its last.
    """

    path: Path
    key: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def belongs(self) -> str:
        """The digest of what it must hold."""
        return digest([self.key, self.start, self.stop])

    def write(self, vectors: np.ndarray, cost: Cost) -> None:
        """Keep its vectors, (stop - start, dim) float32, and what they took; a sound file that is there stays."""
        facts = {"belongs": self.belongs, "wall_s": repr(cost.wall_s), "cpu_s": repr(cost.cpu_s)}
        with storage.own_file(self.path, self.publish) as temporary:
            save_file({_TENSOR: vectors}, temporary, metadata={**facts, "sha256": _digest(facts, vectors)})

    def publish(self, temporary: Path) -> None:
        """Put a file that has been written in place, unless a sound one is there."""
        try:
            os.link(temporary, self.path)  # which replaces nothing
        except OSError:  # something is there, or the file system has no links
            if not self.is_sound():
                temporary.replace(self.path)

    def is_sound(self) -> bool:
        """Return whether its file is there and can be trusted."""
        return self.fault() is None

    def read(self) -> tuple[np.ndarray, Cost]:
        """Return its vectors and what they took; only after `fault` has returned None."""
        with storage.storage_errors(self.path, "read"), safe_open(self.path, framework="numpy") as archive:
            facts = archive.metadata()
            return archive.get_tensor(_TENSOR), Cost(float(facts["wall_s"]), float(facts["cpu_s"]))

    def rows(self) -> Any:  # noqa: ANN401 - safetensors has no name for it
        """Return its vectors as something to take rows of, which stay on disk; only after `fault` has returned None."""
        with storage.storage_errors(self.path, "read"):
            return safe_open(self.path, framework="numpy").get_slice(_TENSOR)  # type: ignore[no-untyped-call]

    @property
    def dim(self) -> int:
        """The length of its vectors; only after `fault` has returned None."""
        return int(self.rows().get_shape()[1])

    def misplaced(self) -> str | None:
        """Return why its file cannot be what it should be as far as its header shows, None if it can."""
        try:
            with safe_open(self.path, framework="numpy") as archive:
                facts, shape = archive.metadata() or {}, archive.get_slice(_TENSOR).get_shape()
        except _UNREADABLE as error:
            return f"damaged: {error}"
        if not {"belongs", "sha256"} <= set(facts):
            return EARLIER
        if facts["belongs"] != self.belongs or len(shape) != 2 or shape[0] != len(self):
            return "of other tracks or another encoder"
        return None

    def fault(self) -> str | None:
        """Return why its file is not to be trusted, None if it is. The bytes are read once while the file stays."""
        try:
            stat = self.path.stat()
        except OSError as error:
            return f"damaged: {error}"
        return _fault(self, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class StoredRows:
    """Rows of a split's vectors, read from their shards on demand: for vectors too large for memory.

    Args:
        shards: In order, all of one length but for the last.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = [shard.rows() for shard in shards]
        self._size, self._total = len(shards[0]), shards[-1].stop

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32 for (n,) int64."""
        parts = [self._shards[row // self._size][row % self._size] for row in rows.tolist()]
        return np.stack(parts)


@functools.lru_cache(maxsize=1 << 16)
def _fault(shard: Shard, inode: int, size: int, modified_ns: int, changed_ns: int) -> str | None:
    if reason := shard.misplaced():
        return reason
    try:
        with safe_open(shard.path, framework="numpy") as archive:
            facts, vectors = archive.metadata(), archive.get_tensor(_TENSOR)
            Cost(float(facts["wall_s"]), float(facts["cpu_s"]))
        digested = {name: value for name, value in facts.items() if name != "sha256"}
        return None if _digest(digested, vectors) == facts["sha256"] else "damaged: its content has another digest"
    except _UNREADABLE as error:
        return f"damaged: {error}"


def _digest(facts: Mapping[str, str], vectors: np.ndarray) -> str:
    hasher = hashlib.sha256(canonical_json([dict(facts), str(vectors.dtype), list(vectors.shape)]).encode())
    hasher.update(np.ascontiguousarray(vectors).data)
    return hasher.hexdigest()
