"""Fetching pretrained weights: huggingface_hub lists the files of a model, with commit, sizes and digests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from larpbench import progress, storage
from larpbench.downloads import (
    SECONDS,
    Megabytes,
    RemoteFile,
    download,
    hub_endpoint,
    hub_headers,
    require_room,
    size_of,
    unreachable,
)
from larpbench.encoders.weights.finder import MANIFEST, WeightFile, Weights
from larpbench.errors import DataError, MissingPartError
from larpbench.fingerprint import digest_file
from larpbench.offline import is_offline

_PARTIAL = ".partial-"


def fetch(weights: Weights) -> Path:
    """Fetch weights if they are not here; go on where an earlier try has stopped.

    Returns:
        The folder that has them.

    Raises:
        MissingPartError: If they cannot be reached, or are not there; what was fetched is kept.
        DataError: If a file's digest is wrong, or it has changed under its revision; what was fetched of it is deleted.
        StorageError: If they cannot be written, or there is no room; what was fetched is kept.
    """
    folder = weights.folder()
    with storage.locked(folder):
        storage.sweep(folder.parent)
        if found := weights.found():
            weights.digest()  # refuses what has changed
            return found
        if is_offline():
            raise MissingPartError("the network is not used (--offline)", where=weights.source)
        partial = storage.make_folder(folder.parent / f"{_PARTIAL}{folder.name}")
        files, commit = _listing(weights) if weights.repo else (list(weights.files), None)
        listed = {file.name: file.sha256 for file in files if file.sha256}
        weights.require_unchanged(listed, commit, weights.source, record=False)
        total = sum(file.size for file in files if file.size) or weights.size
        require_room(partial, total, (path for path in partial.rglob("*") if path.is_file()))
        with progress.stage(f"fetch {weights.name}", -(-total // 1_000_000), "MB") as advance:
            megabytes = Megabytes(advance)
            headers = hub_headers() if weights.repo else {}
            for file in files:
                digest = f"sha256:{file.sha256}" if file.sha256 else None
                download(RemoteFile(file.name, file.url, file.size, digest), partial, megabytes, headers)
        try:
            weights.require_unchanged(_describe(weights, files, commit, partial), commit, folder)
        except DataError:
            shutil.rmtree(partial)  # what has come is not what it should be
            raise
        with storage.storage_errors(folder):
            if folder.exists():  # what was there was not whole
                shutil.rmtree(folder)
            partial.rename(folder)
    return folder


def _describe(weights: Weights, files: list[WeightFile], commit: str | None, partial: Path) -> dict[str, str]:
    """Write where each file comes from, delete what a killed process has left, and return the digests of the files."""
    names = {file.name for file in files}
    for path in partial.rglob("*"):
        if path.is_file() and path.relative_to(partial).as_posix() not in names:
            path.unlink()
    facts: dict[str, Any] = {
        "name": weights.name,
        "licence": weights.licence,
        "repo": weights.repo,
        "commit": commit,
        "files": {
            file.name: {
                "url": file.url,
                "size": size_of(partial / file.name),
                "sha256": file.sha256 or digest_file(partial / file.name),
            }
            for file in files
        },
    }
    storage.write_text(partial / MANIFEST, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return {name: file["sha256"] for name, file in facts["files"].items()}


def _listing(weights: Weights) -> tuple[list[WeightFile], str]:
    """Return the files of a model on the hub that belong to the weights, and its commit."""
    from huggingface_hub import HfApi, hf_hub_url

    repo, hub = weights.repo or "", hub_endpoint()
    try:
        model = HfApi(endpoint=hub).model_info(repo, revision=weights.revision, files_metadata=True, timeout=SECONDS)
    except Exception as error:  # those of its HTTP client, which differs from version to version
        answer = getattr(error, "response", None)
        raise unreachable(error, f"{hub}/{repo}" if answer is None else str(answer.url)) from error
    if weights.pinned and model.sha != weights.pinned:
        raise DataError(
            f"the revision of the model {repo!r} is another one: expected {weights.pinned}, found {model.sha}",
            where=f"{hub}/{repo}",
            next_step="look whether HF_ENDPOINT names a server that can be trusted",
        )
    siblings = {each.rfilename: each for each in model.siblings or ()}
    names = weights.wanted(name for name in siblings if re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name))
    if names is None or model.sha is None:
        raise MissingPartError(
            f"the model {repo!r} has not the files that are needed",
            where=f"{hub}/{repo}",
            allowed=", ".join([file.name for file in weights.files] or weights.required),
            next_step="name a model that is published for transformers",
        )
    files = []
    for name in names:
        large = siblings[name].lfs
        url = hf_hub_url(repo, name, revision=model.sha, endpoint=hub)
        files.append(WeightFile(name, url, siblings[name].size, large.sha256 if large else None))
    return files, model.sha
