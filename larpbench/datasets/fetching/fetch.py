"""The transfer of a collection's files to the home folder: resumed, checked, and whole or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

from larpbench import progress, storage
from larpbench.datasets.catalogue import fetched_folder
from larpbench.datasets.fetching.collections import FetchPlan
from larpbench.downloads import Megabytes, download, part_of, require_room, size_of
from larpbench.errors import MissingPartError
from larpbench.offline import is_offline

MANIFEST = "fetched.json"
"""Beside the files: where each comes from, its size and its digest."""


def fetch_collection(plan: FetchPlan) -> Path:
    """Fetch the files of a plan; go on where an earlier try has stopped. Files that are there and right are kept.

    Returns:
        The folder that has them.

    Raises:
        MissingPartError: If a file cannot be reached; what was fetched is kept.
        DataError: If a file is another one than the listed one; what was fetched of it is deleted.
        StorageError: If they cannot be written, or there is no room; what was fetched is kept.
    """
    folder = fetched_folder(plan.collection.source)
    if is_offline():
        raise MissingPartError("the network is not used (--offline)", where=", ".join(plan.places))
    with storage.locked(folder):
        storage.make_folder(folder)
        _sweep(folder)
        paths = [folder / each.name for each in plan.files]
        require_room(folder, plan.size, [*paths, *map(part_of, paths)])
        with progress.stage(f"fetch {plan.collection.name}", -(-plan.size // 1_000_000), "MB") as advance:
            megabytes = Megabytes(advance)
            for each in plan.files:
                path = download(each, folder, megabytes, plan.headers.get(each.name))
                _note(folder, each.name, {"url": each.url, "size": size_of(path), "digest": each.digest}, plan)
    return folder


def _sweep(folder: Path) -> None:
    """Delete the temporary files of pooch that killed processes have left; what has come of a file lies elsewhere."""
    for path in folder.rglob("tmp*"):
        if path.is_file() and re.fullmatch(r"tmp[a-z0-9_]{8}", path.name):
            path.unlink()


def _note(folder: Path, name: str, facts: dict[str, object], plan: FetchPlan) -> None:
    """Write where a file comes from."""
    path = folder / MANIFEST
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    files = {**(known.get("files") or {}), name: facts} if isinstance(known, dict) else {name: facts}
    found = {"places": list(plan.places), "licences": list(plan.licences), "files": files}
    storage.write_text(path, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
