"""The script that kills commands: it runs, and it notices what it looks for."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from larpbench.testing.torture.commands import Command
from larpbench.testing.torture.comparing import different, left_over
from larpbench.testing.torture.kills import Torturer

BUILD = "dataset build mpd"


def test_two_kills_of_the_cheapest_command_leave_nothing():
    line = [sys.executable, "-m", "larpbench.testing.torture", "--kills", "2", "--only", BUILD]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [each.split() for each in done.stdout.splitlines()]
    assert rows[0] == ["command", "kills", "failed", "lost", "different", "left"]
    assert rows[1] == [*BUILD.split(), "2", "0", "0", "0", "0"]


class Careless(Torturer):
    """Stands for the command line: what calls do when they are killed, and when they are not."""

    def call(self, line, place, seconds=None):
        again = (place / "killed").exists()
        if seconds is not None:
            (place / "killed").mkdir(exist_ok=True)
            (place / "killed" / "piece").write_text("x")
            (place / ".larpbench-tmp-data").mkdir(exist_ok=True)
            return -signal.SIGKILL
        if again and "again" in line:
            (place / "killed" / "piece").unlink()
        (place / "data").write_text("other" if again and "other" in line else "one")
        (place / "killed").mkdir(exist_ok=True)
        if not (place / "killed" / "piece").exists():
            (place / "killed" / "piece").write_text("x")
        (self.scratch / "printed.txt").write_text("it broke")
        return 2 if again and "fails" in line else 0


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("", (0, 0, 0)),
        ("other", (0, 0, 1)),
        ("again", (0, 1, 0)),
        ("fails", (1, 0, 0)),
    ],
)
def test_what_goes_wrong_is_counted_and_said(tmp_path, what, found):
    said = []
    torturer = Careless(tmp_path, tmp_path, random.Random(0), said.append)
    tally = torturer.torture(Command("careless", (what,), ("killed/*",)), 1)
    assert (tally.kills, tally.left) == (1, 1)
    assert (tally.failed, tally.lost, tally.different) == found
    assert not tally.sound
    assert len(said) == 1 + sum(found)
    assert "careless: left: .larpbench-tmp-data" in said


def test_what_only_tells_of_the_call_is_no_difference(tmp_path):
    for name, seconds, value, vector in (("one", 1.0, 0.5, 1), ("same", 2.0, 0.5, 1), ("other", 1.0, 0.6, 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "cell.json").write_text(f'{{"value": {value}, "costs": {{"wall_s": {seconds}}}}}')
        (folder / "log.jsonl").write_text(f'{{"recall": {value}, "seconds": {seconds}}}\n')
        metadata = {"wall_s": str(seconds)}
        save_file({"embeddings": np.full((2, 3), vector, np.float32)}, folder / "shard.safetensors", metadata)
    (tmp_path / "other" / ".work").mkdir()
    assert different(tmp_path / "one", tmp_path / "same") == []
    assert different(tmp_path / "one", tmp_path / "other") == ["cell.json", "log.jsonl", "shard.safetensors"]
    assert left_over(tmp_path / "one", tmp_path / "same") == []
    assert left_over(tmp_path / "one", tmp_path / "other") == [".work"]
    (tmp_path / "same" / "cell.json").unlink()
    assert different(tmp_path / "one", tmp_path / "same") == ["cell.json"]
