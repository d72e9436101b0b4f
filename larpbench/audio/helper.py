"""A process of its own for what libav decodes: PyAV keeps hold of the interpreter lock, so that threads gain nothing.

Requests are lines of JSON on the standard input; replies are a line of JSON and then the samples.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from larpbench.audio.clips import load_clip
from larpbench.audio.errors import UnusableAudio
from larpbench.processes import ending, explained


class Helper:
    """A child process that loads clips. It ends with `close`, or with this process."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from larpbench.audio.helper import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )

    def load_clip(self, path: Path, start_s: float, seconds: float, sample_rate: int) -> np.ndarray:
        """Do as `larpbench.audio.load_clip` does. One thread at a time may ask.

        Raises:
            UnusableAudio: What `load_clip` raises, or if the process breaks down over the file.
        """
        requests, replies = self._process.stdin, self._process.stdout
        if requests is None or replies is None:
            raise ValueError("no pipes")
        try:
            requests.write(json.dumps([os.path.abspath(path), start_s, seconds, sample_rate]).encode() + b"\n")  # noqa: PTH100
            requests.flush()
            head = json.loads(replies.readline())
            if "reason" in head:
                raise UnusableAudio(head["reason"], path, head["detail"])
            data = replies.read(head["bytes"])
            if len(data) < head["bytes"]:
                raise EOFError
        except (OSError, EOFError, json.JSONDecodeError) as error:
            how = explained([ending(self._process.wait())])
            raise UnusableAudio("unreadable", path, f"the process that decoded it ended: {how}") from error
        return np.frombuffer(bytearray(data), dtype=np.float32)

    def close(self) -> None:
        """End the process, after what it is at."""
        self._process.communicate()


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until they end."""
    for line in requests:
        path, start_s, seconds, sample_rate = json.loads(line)
        try:
            samples = load_clip(path, start_s, seconds, sample_rate).tobytes()
        except UnusableAudio as error:
            replies.write(json.dumps({"reason": error.reason, "detail": error.detail}).encode() + b"\n")
        else:
            replies.write(json.dumps({"bytes": len(samples)}).encode() + b"\n")
            replies.write(samples)
        replies.flush()


def main() -> None:
    """Be the child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which then closes the pipe
    serve(sys.stdin.buffer, sys.stdout.buffer)
