"""Where numba keeps what it compiles (librosa's inner loops), and one process at a time that fills it.

Processes that store code of the same function at the same time can leave code there that crashes every later one. So
the cache, its lock and the marks of what has been compiled lie in one folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from larpbench import storage
from larpbench.fingerprint import digest
from larpbench.runtime import versions

_VARIABLE = "NUMBA_CACHE_DIR"
_PACKAGES = ("numba", "llvmlite", "numpy", "librosa")
_state = {"ours": "", "held": ""}  # the folder that `use_cache` chose; whose first use this process is part of


def use_cache() -> Path:
    """Return numba's cache and make numba use it; call it before librosa or numba is imported.

    It is ``$NUMBA_CACHE_DIR`` if the user has set that, else a folder under the home folder, of these versions alone.
    Processes that this one starts use the same.
    """
    chosen = os.environ.get(_VARIABLE)
    if not chosen or chosen == _state["ours"]:
        chosen = _state["ours"] = str((storage.home() / "numba" / digest(versions(_PACKAGES))[:16]).absolute())
        os.environ[_VARIABLE] = chosen
    return storage.folder_named_by(_VARIABLE, chosen)


@contextmanager
def first_use(name: str) -> Iterator[bool]:
    """Hold the lock of the cache if what `name` compiles is not in it yet; it counts as compiled when the block ends.

    Inside another first use, or in a process for which another one holds the lock (`follow`), nothing is locked.

    Yields:
        Whether this is the first use. Another process that asks at the same time waits for it.
    """
    if _state["held"]:
        yield False
        return
    cache = use_cache()
    mark = cache / ".larpbench" / digest([name, sys.prefix, versions(_PACKAGES)])[:32]
    if mark.is_file() or (cache.is_dir() and not os.access(cache, os.W_OK)):  # where nothing can be stored, no harm is
        yield False
        return
    with storage.locked(cache / "first-use"):
        if mark.is_file():
            yield False
            return
        _state["held"] = name
        try:
            yield True
        finally:
            _state["held"] = ""
        storage.write_text(mark, "")


def follow(name: str) -> None:
    """Say that this process works for one that sees to the first use of `name`: it locks nothing itself."""
    _state["held"] = name
