"""Fetching pretrained weights: the only thing that uses the network.

huggingface_hub lists the files of a model on the hub, with commit, sizes and digests; pooch keeps a file only if its
digest is right. The transfer itself is `_Resumption`, since neither of them goes on with a file after a kill.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from larpbench import progress, storage
from larpbench.encoders.weights.finder import MANIFEST, WeightFile, Weights
from larpbench.errors import DataError, MissingPartError, StorageError, clipped
from larpbench.fingerprint import digest_file
from larpbench.offline import is_offline

_HUB = "https://huggingface.co"
_PARTIAL = ".partial-"
_CHUNK = 1 << 16  # what is lost at most where a connection breaks
_SECONDS = 60  # without a byte
_TRIES = 5
_PARTIAL_CONTENT, _NOTHING_LEFT = 206, 416


def fetch(weights: Weights) -> Path:
    """Fetch weights if they are not here; go on where an earlier try has stopped.

    Returns:
        The folder that has them.

    Raises:
        MissingPartError: If they cannot be reached, or are not there; what was fetched is kept.
        DataError: If a file's digest is wrong; what was fetched of this file is deleted.
        StorageError: If they cannot be written, or there is no room; what was fetched is kept.
    """
    folder = weights.folder()
    with storage.locked(folder):
        storage.sweep(folder.parent)
        if found := weights.found():
            return found
        if is_offline():
            raise MissingPartError("the network is not used (--offline)", where=weights.source)
        partial = storage.make_folder(folder.parent / f"{_PARTIAL}{folder.name}")
        files, commit = _listing(weights) if weights.repo else (list(weights.files), None)
        total = sum(file.size for file in files if file.size) or weights.size
        _require_room(partial, total)
        with progress.stage(f"fetch {weights.name}", -(-total // 1_000_000), "MB") as advance:
            megabytes = _Megabytes(advance)
            for file in files:
                fetch_file(file, partial, megabytes, _hub_headers() if weights.repo else {})
        _describe(weights, files, commit, partial)
        with storage.storage_errors(folder):
            if folder.exists():  # what was there was not whole
                shutil.rmtree(folder)
            partial.rename(folder)
    return folder


class _Megabytes:
    """Turns bytes into whole megabytes for the progress bar."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._bytes, self._shown = advance, 0, 0

    def __call__(self, size: int) -> None:
        self._bytes += size
        if step := round(self._bytes / 1e6) - self._shown:
            self._advance(step)
            self._shown += step


def fetch_file(
    file: WeightFile,
    folder: Path,
    advance: Callable[[int], None] = lambda size: None,
    headers: Mapping[str, str] | None = None,
) -> Path:
    """Fetch a file; what an earlier try has left in ``NAME.part`` is not fetched again.

    Args:
        file: What to fetch; its digest is checked if it is known.
        folder: Where to put it.
        advance: Called with the number of bytes just fetched, those that were there already at once.
        headers: To send with each request.

    Returns:
        The path of the file.

    Raises:
        MissingPartError: If it cannot be reached, or is not there; what was fetched is kept.
        DataError: If the digest is another one; what was fetched is deleted.
        StorageError: If it cannot be written; what was fetched is kept.
    """
    import pooch
    from requests import RequestException

    if urlsplit(file.url).scheme not in ("http", "https"):
        raise DataError(f"no address of the web: {file.url!r}", allowed="http:// or https://")
    pooch.get_logger().setLevel(logging.WARNING)
    path = folder / file.name
    transfer = _Resumption(path.with_name(f"{file.name}.part"), advance, headers or {})
    advance(_size(path))  # whole already
    with storage.storage_errors(path):
        try:
            digest = f"sha256:{file.sha256}" if file.sha256 else None
            pooch.retrieve(file.url, digest, fname=file.name, path=folder, downloader=transfer)
        except RequestException as error:
            raise _unreachable(error, file.url, began=_size(transfer.part) > 0) from error
        except ValueError as error:
            raise DataError(
                f"the file is damaged, or not the one that is meant: {error}",
                where=file.url,
                next_step="run the same command again; what was fetched of this file is deleted",
            ) from error
    return path


class _Resumption:
    """Downloads a file as pooch wants it, but goes on where an earlier try has stopped.

    Args:
        part: The file that holds what has come so far.
        advance: Called with the number of bytes just fetched.
        headers: To send with each request.
    """

    def __init__(self, part: Path, advance: Callable[[int], None], headers: Mapping[str, str]) -> None:
        self.part, self._advance = part, advance
        self._etag = part.with_name(f"{part.name}.etag")
        self._headers = {"Accept-Encoding": "identity", **headers}

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        """Fetch `url` to `output_file`; a broken connection is tried again as long as something comes."""
        from requests import exceptions

        self._advance(_size(self.part))
        for attempt in range(1, _TRIES + 1):
            before = _size(self.part)
            try:
                if self._append(url, before):
                    break
            except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError):
                if _size(self.part) == before or attempt == _TRIES:
                    raise
        self._etag.unlink(missing_ok=True)
        self.part.replace(output_file)

    def _append(self, url: str, before: int) -> bool:
        """Fetch what is missing, or all of it if the file there has changed; return whether it is whole."""
        import requests

        headers = dict(self._headers)
        if before:
            headers["Range"] = f"bytes={before}-"
            if self._etag.exists() and (tag := self._etag.read_text(encoding="utf-8")):
                headers["If-Range"] = tag
        with requests.get(url, headers=headers, stream=True, timeout=_SECONDS) as answer:
            if answer.status_code == _NOTHING_LEFT and before:
                if (answer.headers.get("Content-Range") or "").rpartition("/")[2] == str(before):
                    return True
                self._advance(-before)
                self.part.unlink()  # of another file
                return False
            answer.raise_for_status()
            goes_on = answer.status_code == _PARTIAL_CONTENT
            self._advance(0 if goes_on else -before)
            self._etag.write_text(answer.headers.get("ETag") or "", encoding="utf-8")
            with self.part.open("ab" if goes_on else "wb") as stream:
                for chunk in answer.iter_content(_CHUNK):
                    stream.write(chunk)
                    self._advance(len(chunk))
        return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unreachable(error: Exception, url: str, began: bool = False) -> MissingPartError:
    """Return the error for a failure of requests or huggingface_hub."""
    host, answer = urlsplit(url).netloc, getattr(error, "response", None)
    if answer is not None:
        code = int(answer.status_code)
        advice = "look whether it has moved, or get it elsewhere"
        if code in (401, 403):
            advice = "its owner asks for a login: hf auth login, or fetch it in the browser"
        if code >= 500:
            advice = "try again later"
        reason = getattr(answer, "reason", None) or getattr(answer, "reason_phrase", "")
        return MissingPartError(f"{host} answers {code} {reason}".strip(), where=url, next_step=advice)
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = clipped(str(cause) or type(cause).__name__)
    if began:
        advice = "run the same command again: it goes on from there"
        return MissingPartError(f"the connection to {host} broke: {reason}", where=url, next_step=advice)
    return MissingPartError(f"cannot reach {host}: {reason}", where=url, next_step="look at the network")


def _describe(weights: Weights, files: list[WeightFile], commit: str | None, partial: Path) -> None:
    """Write where each file comes from, and delete what a killed process has left."""
    names = {file.name for file in files}
    for path in partial.iterdir():
        if path.name not in names:
            path.unlink()
    facts: dict[str, Any] = {
        "name": weights.name,
        "licence": weights.licence,
        "repo": weights.repo,
        "commit": commit,
        "files": {
            file.name: {
                "url": file.url,
                "size": _size(partial / file.name),
                "sha256": file.sha256 or digest_file(partial / file.name),
            }
            for file in files
        },
    }
    storage.write_text(partial / MANIFEST, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _hub_headers() -> dict[str, str]:
    """Return what identifies the user to the hub: the token of ``hf auth login``, if there is one."""
    from huggingface_hub import get_token

    token = get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _listing(weights: Weights) -> tuple[list[WeightFile], str]:
    """Return the files of a model on the hub that belong to the weights, and its commit."""
    from huggingface_hub import HfApi, hf_hub_url

    repo, hub = weights.repo or "", os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    try:
        model = HfApi(endpoint=hub).model_info(repo, revision=weights.revision, files_metadata=True, timeout=_SECONDS)
    except Exception as error:  # those of its HTTP client, which differs from version to version
        answer = getattr(error, "response", None)
        raise _unreachable(error, f"{hub}/{repo}" if answer is None else str(answer.url)) from error
    siblings = {each.rfilename: each for each in model.siblings or ()}
    names = weights.chosen(name for name in siblings if re.fullmatch(r"[\w-][\w.-]*", name))
    if names is None or model.sha is None:
        raise MissingPartError(
            f"the model {repo!r} has not the files that are needed",
            where=f"{hub}/{repo}",
            allowed=", ".join(weights.required),
            next_step="name a model that is published for transformers",
        )
    files = []
    for name in names:
        large = siblings[name].lfs
        url = hf_hub_url(repo, name, revision=model.sha, endpoint=hub)
        files.append(WeightFile(name, url, siblings[name].size, large.sha256 if large else None))
    return files, model.sha


def _require_room(folder: Path, size: int) -> None:
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    free = shutil.disk_usage(folder).free
    if free < size - there:
        raise StorageError(
            f"{(size - there) / 1e6:,.0f} MB are to be fetched, and {free / 1e6:,.0f} MB are free",
            where=str(folder),
            next_step="free some space, or set LARPBENCH_HOME to a folder with room",
        )
