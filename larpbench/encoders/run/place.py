"""Where embeddings are kept: under the home folder, or where ``$LARPBENCH_EMBEDDINGS`` says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from larpbench import storage
from larpbench.encoders.run.bucket import EMBEDDINGS
from larpbench.encoders.run.remote import Remote
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.errors import UsageError, clipped

_LOCAL = "file://"


def default_store() -> EmbeddingStore:
    """Return the store of embeddings.

    ``$LARPBENCH_EMBEDDINGS`` is a folder, or an address that fsspec knows: then the home folder holds copies.
    Checkpoints are under the home folder in any case.

    Raises:
        UsageError: If it is neither.
        MissingPartError: If the package that serves it is not installed.
    """
    folder, url = _chosen()
    return EmbeddingStore(folder, storage.home() / "checkpoints", remote=Remote(url, folder) if url else None)


def local_store() -> EmbeddingStore:
    """Return the store on this machine alone, for what no other place has to be asked for.

    Raises:
        UsageError: If ``$LARPBENCH_EMBEDDINGS`` is neither a folder nor an address.
    """
    return EmbeddingStore(_chosen()[0], storage.home() / "checkpoints")


def _chosen() -> tuple[Path, str | None]:
    """Return the local folder, and the address of the remote store if there is one."""
    home, chosen = storage.home() / "embeddings", os.environ.get(EMBEDDINGS, "")
    if not chosen:
        return home, None
    if re.match(r"[^/]+://", chosen) and not chosen.startswith(_LOCAL):
        return home, chosen
    folder = chosen.removeprefix(_LOCAL)
    if not folder or re.match(r":|[A-Za-z][A-Za-z0-9+.-]+:/", folder):
        raise UsageError(
            f"{EMBEDDINGS} is {clipped(chosen)!r}: neither a folder nor an address",
            allowed="a folder, or an address that fsspec knows, such as s3://bucket/prefix",
        )
    return storage.folder_named_by(EMBEDDINGS, folder), None
