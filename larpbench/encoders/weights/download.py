"""One file from one address: resumed where it stopped, checked, whole or absent."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from larpbench import storage
from larpbench.errors import DataError, MissingPartError
from larpbench.fingerprint import digest_file

_CHUNK = 1 << 20
_SECONDS = 60  # without a byte
_TRIES = 5
_AGENT = {"User-Agent": "larpbench"}
_SAME_FILE = "If-Range"


def read_json(url: str) -> Any:  # noqa: ANN401 - it is JSON
    """Return what an address answers.

    Raises:
        MissingPartError: If it cannot be reached, or has no such thing.
    """
    with _answer(url, {}) as answer:
        return json.load(answer)


def download(
    url: str, path: Path, *, sha256: str | None = None, advance: Callable[[int], None] = lambda size: None
) -> str:
    """Fetch a file; what an earlier try has left in ``path.part`` is not fetched again.

    Args:
        url: Where it is.
        path: Where to put it.
        sha256: Its digest, if known: checked.
        advance: Called with the number of bytes just got, those that were there already at once.

    Returns:
        The sha256 of the file.

    Raises:
        MissingPartError: If it cannot be reached, or is not there; what was got is kept.
        DataError: If the digest is another one; what was got is deleted.
        StorageError: If it cannot be written; what was got is kept.
    """
    part, mark = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.etag")
    storage.make_folder(path.parent)
    advance(_size(part))
    for attempt in range(1, _TRIES + 1):
        before = _size(part)
        try:
            _append(url, part, mark, advance)
            break
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            if _size(part) == before or attempt == _TRIES:
                raise MissingPartError(
                    f"the connection to {urlsplit(url).netloc} broke: {error or type(error).__name__}",
                    where=url,
                    next_step="run the same command again: it goes on from there",
                ) from error
    found = digest_file(part)
    if sha256 and found != sha256:
        part.unlink()
        mark.unlink(missing_ok=True)
        raise DataError(
            f"the file has the digest {found}, and not {sha256}: it is damaged, or not the one that is meant",
            where=url,
            next_step="run the same command again; what was fetched of this file is deleted",
        )
    with storage.storage_errors(path):
        mark.unlink(missing_ok=True)
        part.replace(path)
    return found


def _append(url: str, part: Path, mark: Path, advance: Callable[[int], None]) -> None:
    """Fetch what is missing of `part`, or all of it if the file there has changed."""
    there = _size(part)
    headers = {"Range": f"bytes={there}-"} if there else {}
    if there and mark.exists() and (tag := mark.read_text(encoding="utf-8")):
        headers[_SAME_FILE] = tag
    try:
        answer = _answer(url, headers)
    except _NothingLeftError as nothing:
        if nothing.size == there:
            return
        advance(-there)
        part.unlink()  # of another file
        answer = _answer(url, {})
    with answer:
        goes_on = answer.status == http.client.PARTIAL_CONTENT
        if not goes_on and part.exists():
            advance(-there)
        expected = answer.headers.get("Content-Length")
        left = int(expected) if expected else 0
        with storage.storage_errors(part):
            mark.write_text(answer.headers.get("ETag") or "", encoding="utf-8")
            stream = part.open("ab" if goes_on else "wb")
        with stream:
            while chunk := answer.read(_CHUNK):  # a broken connection is no fault of the file
                with storage.storage_errors(part):
                    stream.write(chunk)
                    stream.flush()
                advance(len(chunk))
                left -= len(chunk)
    if left > 0:
        raise ConnectionError(f"{left} bytes of the file did not come")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _NothingLeftError(Exception):
    """The server has no more of the file than `size`, None if it does not say."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        super().__init__(size)


def _answer(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"no address of the web: {url!r}", allowed="http:// or https://")
    request = urllib.request.Request(url, headers=_AGENT | headers)  # noqa: S310 - checked above
    try:
        return urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            size = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            raise _NothingLeftError(int(size) if size.isdigit() else None) from error
        advice = "look whether it has moved, or get it elsewhere"
        if error.code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            advice = "its owner asks for a login: fetch it in the browser"
        if error.code >= http.client.INTERNAL_SERVER_ERROR:
            advice = "try again later"
        raise MissingPartError(
            f"{urlsplit(url).netloc} answers {error.code} {error.reason}", where=url, next_step=advice
        ) from error
    except TimeoutError:
        raise
    except urllib.error.URLError as error:
        raise MissingPartError(
            f"cannot reach {urlsplit(url).netloc}: {error.reason}",
            where=url,
            next_step="look at the network",
        ) from error
