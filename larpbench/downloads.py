"""Downloads of files: the only way by which larpbench gets anything from the network.

pooch keeps a file only if its digest is right. The transfer itself is `_Resumption`, since pooch does not go on with a
file after a kill. A file has its name only when it is whole: what has come of it so far is in ``NAME.part``.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from larpbench.errors import DataError, MissingPartError, StorageError, clipped
from larpbench.storage import make_folder, storage_errors

HUB = "https://huggingface.co"
_CHUNK = 1 << 16  # what is lost at most where a connection breaks
SECONDS = 60  # without a byte
CONNECT_SECONDS = 10  # without any answer: a network that drops packets
_TRIES = 5
_PARTIAL_CONTENT, _NOTHING_LEFT = 206, 416
_AGAIN = "run the same command again; what was fetched of this file is deleted"


@dataclass(frozen=True)
class RemoteFile:
    """A file with an address.

    Attributes:
        name: Its path in the folder to which it is fetched.
        url: Its address.
        size: Bytes; None if unknown.
        digest: ``sha256:`` or ``md5:`` and hex digits; None if unknown.
    """

    name: str
    url: str
    size: int | None = None
    digest: str | None = None


class Megabytes:
    """Turns bytes into whole megabytes for a progress bar.

    Args:
        advance: Called with megabytes.
    """

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._bytes, self._shown = advance, 0, 0

    def __call__(self, size: int) -> None:
        """Count bytes; fewer than none where some turned out to be of another file."""
        self._bytes += size
        if step := round(self._bytes / 1e6) - self._shown:
            self._advance(step)
            self._shown += step


def download(
    file: RemoteFile,
    folder: Path,
    advance: Callable[[int], None] = lambda size: None,
    headers: Mapping[str, str] | None = None,
) -> Path:
    """Fetch a file; what an earlier try has left in ``NAME.part`` is not fetched again.

    A file that is there is kept if it has the size and the digest that are known.

    Args:
        file: What to fetch.
        folder: Where to put it.
        advance: Called with the number of bytes just fetched, those that were there already at once.
        headers: To send with each request.

    Returns:
        The path of the file.

    Raises:
        MissingPartError: If it cannot be reached, or is not there; what was fetched is kept.
        DataError: If the size or the digest is another one; what was fetched is deleted.
        StorageError: If it cannot be written; what was fetched is kept.
    """
    import pooch
    from requests import RequestException

    if urlsplit(file.url).scheme not in ("http", "https"):
        raise DataError(f"no address of the web: {file.url!r}", allowed="http:// or https://")
    pooch.get_logger().setLevel(logging.WARNING)
    path = folder / file.name
    make_folder(path.parent)
    transfer = _Resumption(part_of(path), file, advance, headers or {})
    with storage_errors(path):
        if path.is_file() and file.size is not None and size_of(path) != file.size:
            path.unlink()
        advance(size_of(path))  # whole already
        try:
            pooch.retrieve(file.url, file.digest, fname=path.name, path=path.parent, downloader=transfer)
        except RequestException as error:
            raise unreachable(error, file.url, began=size_of(transfer.part) > 0) from error
        except ValueError as error:
            transfer.forget()
            raise DataError(
                f"the file is damaged, or not the one that is meant: {error}", where=file.url, next_step=_AGAIN
            ) from error
        transfer.forget()
    return path


class _Resumption:
    """Downloads a file as pooch wants it, but goes on where an earlier try has stopped.

    Args:
        part: The file that holds what has come so far.
        file: What is fetched.
        advance: Called with the number of bytes just fetched.
        headers: To send with each request.
    """

    def __init__(
        self, part: Path, file: RemoteFile, advance: Callable[[int], None], headers: Mapping[str, str]
    ) -> None:
        self.part, self._file, self._advance = part, file, advance
        self._etag = part.with_name(f"{part.name}.etag")
        self._headers = {"Accept-Encoding": "identity", **headers}

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        """Fetch `url` to `output_file`; a broken connection is tried again as long as something comes."""
        from requests import exceptions

        self._advance(size_of(self.part))
        for attempt in range(1, _TRIES + 1):
            before = size_of(self.part)
            try:
                if self._append(url, before) and not self._lacks():
                    break
            except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError):
                if size_of(self.part) == before or attempt == _TRIES:
                    raise
        self._require_size()
        # A second name for the same bytes: after a kill while they are digested, they are still there.
        try:
            Path(output_file).unlink(missing_ok=True)
            os.link(self.part, output_file)
        except OSError:  # a file system without links
            self.part.replace(output_file)

    def forget(self) -> None:
        """Delete what has come: it is in its place, or no good."""
        self.part.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)

    def _lacks(self) -> bool:
        """Whether the server has ended before all was there, although it said that this was all."""
        return self._file.size is not None and size_of(self.part) < self._file.size

    def _require_size(self) -> None:
        size = size_of(self.part)
        if self._file.size is not None and size != self._file.size:
            raise ValueError(f"it has {size:,} bytes, and should have {self._file.size:,}")

    def _append(self, url: str, before: int) -> bool:
        """Fetch what is missing, or all of it if the file there has changed; return whether it is whole."""
        import requests

        headers = dict(self._headers)
        if before:
            tag = self._etag.read_text(encoding="utf-8") if self._etag.exists() else ""
            if tag:
                headers["If-Range"] = tag
            if tag or self._file.digest:  # without both, nobody could tell whether the file there is still the same
                headers["Range"] = f"bytes={before}-"
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SECONDS)) as answer:
            if answer.status_code == _NOTHING_LEFT and before:
                if (answer.headers.get("Content-Range") or "").rpartition("/")[2] == str(before):
                    return True
                self._advance(-before)
                self.part.unlink()  # of another file
                return False
            answer.raise_for_status()
            goes_on = answer.status_code == _PARTIAL_CONTENT
            self._advance(0 if goes_on else -before)
            self._etag.write_text(_validator(answer.headers), encoding="utf-8")
            with self.part.open("ab" if goes_on else "wb") as stream:
                for chunk in answer.iter_content(_CHUNK):
                    stream.write(chunk)
                    self._advance(len(chunk))
        return True


def _validator(headers: Mapping[str, str]) -> str:
    """Return what tells one content of an address from another: a strong tag, or else the time of the last change."""
    tag = headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""


def part_of(path: Path) -> Path:
    """Return the file that holds what has come so far of another one."""
    return path.with_name(f"{path.name}.part")


def size_of(path: Path) -> int:
    """Return the number of bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def unreachable(error: Exception, url: str, began: bool = False) -> MissingPartError:
    """Return the error for a failure of requests or huggingface_hub."""
    host, answer = urlsplit(url).netloc or url, getattr(error, "response", None)
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
        advice = "run the same command again: it continues the download"
        return MissingPartError(f"the connection to {host} broke: {reason}", where=url, next_step=advice)
    chosen = os.environ.get("HF_ENDPOINT") or "\0"
    of_user = f", and at HF_ENDPOINT, which is {clipped(chosen)!r}" if url.startswith(chosen.rstrip("/")) else ""
    advice = f"look at the network{of_user}"
    return MissingPartError(f"cannot reach {host}: {reason}", where=url, next_step=advice)


def require_room(folder: Path, size: int, there: Iterable[Path]) -> None:
    """Refuse to begin where there is no room.

    Args:
        folder: Where to fetch to.
        size: Bytes of all files.
        there: Files, or parts of them, that have come already, as far as they exist.

    Raises:
        StorageError: If there is too little.
    """
    missing = size - sum(map(size_of, there))
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise StorageError(
            f"{missing / 1e6:,.0f} MB are to be fetched, and {free / 1e6:,.0f} MB are free",
            where=str(folder),
            next_step="free some space, or set LARPBENCH_HOME to a folder with room",
        )


def hub_endpoint() -> str:
    """Return the address of the Hugging Face hub, or of the server that ``HF_ENDPOINT`` names in its place."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def hub_headers() -> dict[str, str]:
    """Return what identifies the user to the Hugging Face hub: the token of ``hf auth login``, if there is one."""
    from huggingface_hub import get_token

    token = get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}
