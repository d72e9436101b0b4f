"""Kills a command at any change that it makes to files, runs it again, and compares what is there."""

from __future__ import annotations

import json
import os
import random
import signal

from support import forked

SPEED = "speed.json"  # an estimate, which only a call that encodes to the end can make

OF_THE_CALL = ("costs", "created", "wall_s", "cpu_s")


def killed(folder, *command, kills=3, seed=0):
    """Kill a command at some of its changes of files, and run it again each time.

    ``{place}`` in the command is where it may write. Returns the place of a call that was left alone and those of the
    calls that were killed.
    """
    folder.mkdir()

    def call(name, kill_at=0):
        place = folder / name
        place.mkdir(exist_ok=True)
        filled = (str(each).replace("{place}", str(place)) for each in command)
        env = {**os.environ, "LARPBENCH_HOME": str(place / "home")}
        return forked.run(*filled, env=env, watched=place, kill_at=kill_at)

    whole = call("whole")
    assert whole.code == 0, whole.err
    changes = int((folder / "whole.changes").read_text())
    moments = sorted(random.Random(seed).sample(range(1, changes + 1), min(kills, changes)))
    for moment in moments:
        cut = call(f"killed-{moment}", moment)
        assert cut.code == -signal.SIGKILL, f"moment {moment} of {changes}: {cut.err}"
        again = call(f"killed-{moment}")
        assert again.code == 0, f"moment {moment} of {changes}: {again.err}"
    return folder / "whole", [folder / f"killed-{moment}" for moment in moments]


def content(place):
    """Everything below a folder; of JSON and its lines what does not tell of time and place."""
    found = (path for path in sorted(place.rglob("*")) if path.is_file() and path.name != SPEED)
    return {str(path.relative_to(place)): stable(path) for path in found}


def stable(path):
    if path.suffix == ".json":
        found = json.loads(path.read_text())
        return {k: v for k, v in found.items() if k not in OF_THE_CALL} if isinstance(found, dict) else found
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
