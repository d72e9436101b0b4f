"""A server of collections on this machine: records as Zenodo lists them, data sets as the Hugging Face hub does.

It can be told to break off, to state wrong lengths, to be slow, and to change its files in between.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from support.running_server import running

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Serves `records` (number -> file name -> bytes) and `datasets` (name -> file name -> bytes).

    Attributes:
        breaks_after: The next answers with content of files end after as many bytes, whatever they have stated.
        states: File name -> the lengths that the next answers state for what is left of it; they end there.
        listed: File name -> the size that listings state.
        tagged: Whether answers have an ETag.
        slow: Seconds between pieces of a file.
        gated: Data sets whose listing needs a login.
        asked: (path, Range) of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.records: dict[int, dict[str, bytes]] = {}
        self.datasets: dict[str, dict[str, bytes]] = {}
        self.breaks_after: list[int] = []
        self.states: dict[str, list[int]] = {}
        self.listed: dict[str, int] = {}
        self.wrong_digests: set[str] = set()
        self.tagged = True
        self.slow = 0.0
        self.gated: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def listing(self, path: str) -> bytes | None:
        if found := re.fullmatch(r"/api/records/(\d+)", path):
            record = self.records.get(int(found[1]))
            return None if record is None else json.dumps(self._zenodo(record)).encode()
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(/revision/main)?", path):
            dataset = self.datasets.get(found[1])
            return None if dataset is None else json.dumps(self._hub(found[1], dataset)).encode()
        return None

    def content(self, path: str) -> tuple[str, bytes] | None:
        if found := re.fullmatch(r"/records/(\d+)/files/(.+)", path):
            files, name = self.records.get(int(found[1]), {}), found[2]
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            assert found[2] == COMMIT, "what is fetched must be of the listed commit"
            files, name = self.datasets.get(found[1], {}), found[3]
        else:
            return None
        return (name, files[name]) if name in files else None

    def _digest(self, name: str, content: bytes, kind: str) -> str:
        return "0" * 32 if name in self.wrong_digests else hashlib.new(kind, content).hexdigest()

    def _zenodo(self, record: dict[str, bytes]) -> dict[str, object]:
        files = [
            {
                "key": name,
                "size": self.listed.get(name, len(content)),
                "checksum": f"md5:{self._digest(name, content, 'md5')}",
                "links": {"self": "unused"},
            }
            for name, content in record.items()
        ]
        return {"id": 1, "metadata": {"title": "x", "license": {"id": "cc-by-nc-sa-4.0"}}, "files": files}

    def _hub(self, name: str, dataset: dict[str, bytes]) -> dict[str, object]:
        siblings = []
        for file, content in dataset.items():
            size = self.listed.get(file, len(content))
            entry: dict[str, object] = {"rfilename": file, "size": size}
            if file.endswith(".parquet"):
                entry["lfs"] = {"sha256": self._digest(file, content, "sha256"), "size": size, "pointerSize": 134}
            siblings.append(entry)
        return {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": {"license": "apache-2.0"}}


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = self.headers.get("Range")
        self.server.asked.append((path, asked))
        if any(path.startswith(f"/api/datasets/{name}") for name in self.server.gated):
            self.send_error(401)
            return
        if (listing := self.server.listing(path)) is not None:
            self._send(200, listing, len(listing))
            return
        found = self.server.content(path)
        if found is None:
            self.send_error(404)
            return
        name, content = found
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"' if self.server.tagged else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        if asked and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        stated = self.server.states.get(name)
        length = stated.pop(0) if stated else len(content) - start
        self._send(206 if start else 200, content[start : start + length], length, tag)

    def _send(self, code: int, content: bytes, length: int, tag: str | None = None) -> None:
        self.send_response(code)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        is_file = not self.path.startswith("/api/")
        stop = self.server.breaks_after.pop(0) if is_file and self.server.breaks_after else len(content)
        pieces = range(0, min(stop, len(content)), 1 << 14) if is_file and self.server.slow else (0,)
        for first in pieces:
            last = min(stop, first + (1 << 14)) if is_file and self.server.slow else stop
            self.wfile.write(content[first:last])
            time.sleep(self.server.slow if is_file else 0)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            """A client that was killed."""


def serving() -> AbstractContextManager[Server]:
    """Run the server in a thread."""
    return running(Server())
