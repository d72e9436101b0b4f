"""Digests of small invented worlds; as a script, it prints them as JSON, in whatever environment it is started."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from larpbench.datasets.artists.toy import ToySpec, draw_toy
from larpbench.datasets.demo.synthesis import SOUND_PARAMETERS, synthesise
from larpbench.datasets.demo.world import WorldSpec, draw_world
from larpbench.datasets.demo_large.world import LargeWorldSpec, draw_large_world
from larpbench.datasets.demo_listeners.world import ListenerWorldSpec, draw_listener_world


def _digest(*parts: object) -> str:
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part if isinstance(part, bytes) else str(part).encode())
    return hasher.hexdigest()[:16]


def digests() -> dict[str, str]:
    """Draw one world of each kind; return what is digested -> digest."""
    world, toy = draw_world(WorldSpec()), draw_toy(ToySpec(artists=80, communities=4))
    large = draw_large_world(LargeWorldSpec(artists=1500, playlists=300))
    known = draw_listener_world(ListenerWorldSpec(artists=300, listeners=60))
    loud = np.random.default_rng(0).integers(0, 256, size=(4, len(SOUND_PARAMETERS)))
    sounds = enumerate([*world.sound[::300], *loud])
    return {
        "names": _digest(*world.tracks.rows()),
        "playlists": _digest(*world.playlists.rows()),
        "oracle": _digest(world.oracle.astype("<f4").tobytes()),
        "controls": _digest(world.sound.astype("<i8").tobytes()),
        "samples": _digest(*(synthesise(row, number).astype("<i2").tobytes() for number, row in sounds)),
        "toy artists": _digest(*toy.artists.rows(), *toy.tracks.rows(), *toy.edges.rows()),
        "toy features": _digest(*(toy.features[name].astype("<f4").tobytes() for name in sorted(toy.features))),
        "large tables": _digest(*large.tracks.rows(), *large.playlists.rows()),
        "large views": _digest(*(large.views[name].astype("<f2").tobytes() for name in sorted(large.views))),
        "listeners": _digest(*known.tracks.rows(), *known.listens.rows()),
        "listeners' views": _digest(*(known.views[name].astype("<f2").tobytes() for name in sorted(known.views))),
    }


if __name__ == "__main__":
    print(json.dumps(digests()))  # noqa: T201
