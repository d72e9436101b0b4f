"""Kills a command at any change that it makes to files, runs it again, and compares what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("killed.py")
SPEED = "speed.json"  # an estimate, which only a call that encodes to the end can make


def killed(folder, *command, kills=4, seed=0):
    """Kill a command at some moments; return the places of the calls that were left alone and that were killed."""
    asked = {"command": [*map(str, command)], "folder": str(folder), "seed": seed, "kills": kills}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == min(kills, outcomes[0]["of"])
    for each in outcomes:
        assert each["code"] == 0, f"moment {each['moment']} of {each['of']}: {each['err']}"
    return folder / "whole", [folder / f"killed-{each['moment']}" for each in outcomes]


def content(place):
    """Everything below a folder; of JSON and its lines what does not tell of time and place."""
    found = (path for path in sorted(place.rglob("*")) if path.is_file() and path.name != SPEED)
    return {str(path.relative_to(place)): stable(path) for path in found}


def stable(path):
    if path.suffix == ".json":
        found = json.loads(path.read_text())
        return {k: v for k, v in found.items() if k not in ("costs", "created")} if isinstance(found, dict) else found
    if path.suffix == ".safetensors":  # its metadata tell of time
        import safetensors.numpy

        return {name: values.tolist() for name, values in safetensors.numpy.load_file(path).items()}
    return path.read_bytes()


def assert_same(whole, places):
    expected = content(whole)
    assert expected
    for place in places:
        assert content(place) == expected, place
        assert not list(place.rglob(".larpbench-*")), place
