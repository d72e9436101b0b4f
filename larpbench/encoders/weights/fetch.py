"""Fetching pretrained weights: the only thing that uses the network.

All files come through `download`. Of a model on the Hugging Face hub, its listing tells which files there
are, of which commit, with sizes and digests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from larpbench import progress, storage
from larpbench.encoders.weights.download import download, read_json
from larpbench.encoders.weights.finder import MANIFEST, WeightFile, Weights
from larpbench.errors import MissingPartError, StorageError
from larpbench.fingerprint import digest_file

_HUB = "https://huggingface.co"
_PARTIAL = ".partial-"


def fetch(weights: Weights) -> Path:
    """Fetch weights if they are not here; go on where an earlier try has stopped.

    Returns:
        The folder that has them.

    Raises:
        MissingPartError: If they cannot be reached, or are not there.
        DataError: If a file's digest is wrong.
        StorageError: If they cannot be written, or there is no room.
    """
    folder = weights.folder()
    with storage.locked(folder):
        storage.sweep(folder.parent)
        if found := weights.found():
            return found
        partial = storage.make_folder(folder.parent / f"{_PARTIAL}{folder.name}")
        files, commit = _listed(weights) if weights.repo else (list(weights.files), None)
        total = sum(file.size for file in files if file.size) or weights.size
        _require_room(partial, total)
        sums = {}
        with progress.stage(f"fetch {weights.name}", -(-total // 1_000_000), "MB") as advance:
            megabytes = _Megabytes(advance)
            for file in files:
                sums[file.name] = _fetch_file(file, partial, megabytes)
        _describe(weights, files, commit, sums, partial)
        with storage.storage_errors(folder):
            if folder.exists():  # what was there was not whole
                shutil.rmtree(folder)
            partial.rename(folder)
    return folder


class _Megabytes:
    """Turns bytes into whole megabytes for the progress bar."""

    def __init__(self, advance: Any) -> None:  # noqa: ANN401 - a function
        self._advance, self._bytes, self._told = advance, 0, 0

    def __call__(self, size: int) -> None:
        self._bytes += size
        if step := round(self._bytes / 1e6) - self._told:
            self._advance(step)
            self._told += step


def _fetch_file(file: WeightFile, partial: Path, advance: _Megabytes) -> str:
    path = partial / file.name
    known = partial / f"{file.name}.sha256"
    if path.exists():  # whole, and checked: a kill may have come before its digest was kept
        advance(path.stat().st_size)
        return known.read_text(encoding="utf-8") if known.exists() else digest_file(path)
    found = download(file.url, path, sha256=file.sha256, advance=advance)
    storage.write_text(known, found)
    return found


def _describe(
    weights: Weights, files: list[WeightFile], commit: str | None, sums: dict[str, str], partial: Path
) -> None:
    facts = {
        "name": weights.name,
        "licence": weights.licence,
        "repo": weights.repo,
        "commit": commit,
        "files": {
            file.name: {"url": file.url, "size": (partial / file.name).stat().st_size, "sha256": sums[file.name]}
            for file in files
        },
    }
    storage.write_text(partial / MANIFEST, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    for file in files:
        (partial / f"{file.name}.sha256").unlink(missing_ok=True)


def _listed(weights: Weights) -> tuple[list[WeightFile], str]:
    """Return the files of a model on the hub that belong to the weights, and its commit."""
    hub = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    repo = quote(weights.repo or "")
    listing = read_json(f"{hub}/api/models/{repo}/revision/{quote(weights.revision, safe='')}?blobs=true")
    siblings = {each["rfilename"]: each for each in listing["siblings"]}
    safe = [name for name in siblings if re.fullmatch(r"[\w-][\w.-]*", name)]
    names = weights.chosen(safe)
    if names is None:
        raise MissingPartError(
            f"the model {weights.repo!r} has not the files that are needed",
            where=f"{hub}/{weights.repo}",
            allowed=", ".join(weights.required),
            next_step="name a model that is published for transformers",
        )
    commit = str(listing["sha"])
    files = []
    for name in names:
        large = siblings[name].get("lfs") or {}
        url = f"{hub}/{repo}/resolve/{quote(commit)}/{quote(name)}"
        files.append(WeightFile(name, url, siblings[name].get("size"), large.get("sha256")))
    return files, commit


def _require_room(folder: Path, size: int) -> None:
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    free = shutil.disk_usage(folder).free
    if free < size - there:
        raise StorageError(
            f"{(size - there) / 1e6:,.0f} MB are to be fetched, and {free / 1e6:,.0f} MB are free",
            where=str(folder),
            next_step="free some space, or set LARPBENCH_HOME to a folder with room",
        )
