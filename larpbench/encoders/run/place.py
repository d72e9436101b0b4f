"""Where embeddings are kept: under the home folder, or where ``$LARPBENCH_EMBEDDINGS`` says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from larpbench import storage
from larpbench.encoders.run.remote import EMBEDDINGS, Remote
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
    home, chosen = storage.home(), os.environ.get(EMBEDDINGS, "")
    if not chosen:
        return EmbeddingStore(home / "embeddings")
    if re.match(r"[^/]+://", chosen) and not chosen.startswith(_LOCAL):
        return EmbeddingStore(home / "embeddings", remote=Remote(chosen, home / "embeddings"))
    if re.match(r":|[A-Za-z][A-Za-z0-9+.-]+:/", chosen.removeprefix(_LOCAL)):
        raise UsageError(
            f"{EMBEDDINGS} is {clipped(chosen)!r}: an address with a slash too few, or without a kind",
            allowed="a folder, or an address that fsspec knows, such as s3://bucket/prefix",
        )
    try:
        folder = Path(chosen.removeprefix(_LOCAL)).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{EMBEDDINGS} is {clipped(chosen)!r}: there is no such user", allowed="a folder") from error
    return EmbeddingStore(folder, home / "checkpoints")
