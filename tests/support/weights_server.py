"""A server of weights on this machine: files, and models as the Hugging Face hub lists them; and the hub's cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support.running_server import running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "maker/some-model"


class Server(ThreadingHTTPServer):
    """Serves `files` (path -> bytes) and the listings of `models` (name -> file name -> bytes)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.models: dict[str, dict[str, bytes]] = {}
        self.commit = COMMIT
        self.wrong_digests: set[str] = set()
        self.breaks_after: list[int] = []  # the next answers end after as many bytes
        self.asked: list[tuple[str, str | None]] = []
        self.tokens: dict[str, str | None] = {}  # path -> the login that was sent with the last request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def content(self, path: str) -> bytes | None:
        if found := re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path):
            model, commit, name = found.groups()
            assert commit == self.commit, "what is fetched must be of the listed commit"
            return self.models.get(model, {}).get(name)
        if found := re.fullmatch(r"/api/models/(.+)/revision/[^/]+", path):
            return self._listing(found[1])
        return self.files.get(path)

    def _listing(self, model: str) -> bytes | None:
        if model not in self.models:
            return None
        siblings = []
        for name, content in self.models[model].items():
            entry = {"rfilename": name, "size": len(content)}
            if name.endswith((".safetensors", ".bin", ".pt")):
                sha256 = "0" * 64 if name in self.wrong_digests else hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        return json.dumps({"id": model, "sha": self.commit, "siblings": siblings}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = self.headers.get("Range")
        self.server.asked.append((path, asked))
        self.server.tokens[path] = self.headers.get("Authorization")
        content = self.server.content(path)
        if content is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        if asked and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + self.server.breaks_after.pop(0) if self.server.breaks_after else len(content)
        self.wfile.write(content[start:stop])

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def serving() -> AbstractContextManager[Server]:
    """Run the server in a thread."""
    return running(Server())


@contextmanager
def hub_serving(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, bytes]) -> Iterator[Server]:
    """Run the server in a thread, with a model, in place of the hub."""
    with serving() as server:
        server.models[REPO] = dict(files)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def empty_hub_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache of the hub with nothing in it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    return folder / "hub"


def put_in_hub_cache(
    cache: Path, files: Mapping[str, bytes], repo: str = REPO, commit: str = COMMIT, branch: str | None = "main"
) -> Path:
    """Write a model into a cache as the hub's own program does, and return its folder."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)
    if branch:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit, encoding="utf-8")
    return snapshot
