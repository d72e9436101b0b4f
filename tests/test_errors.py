"""Errors say the same wherever they were raised."""

from __future__ import annotations

import copy
from pathlib import Path

from larpbench.audio import UnusableAudio
from larpbench.errors import EmbeddingError, UnknownNameError


def test_every_error_survives_the_way_out_of_a_worker_process():
    for error in (
        EmbeddingError("what", where="here", allowed="that", next_step="do"),
        UnusableAudio("silent", Path("a.ogg"), "a peak of -90 dBFS"),
        UnknownNameError("encoder", "x", ["y"]),
    ):
        again = copy.copy(error)  # takes the way of a pickle
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__
