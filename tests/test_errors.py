"""Errors say the same wherever they were raised."""

from __future__ import annotations

import copy
import re
from pathlib import Path

from larpbench.audio import UnusableAudio
from larpbench.errors import EmbeddingError, UnknownNameError, error_text, printable


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


def test_what_a_terminal_would_obey_is_spelt():
    assert printable("a\tb\n\x1b[31mred\x1b]0;title\x07 é 音") == "a\tb\n\\x1b[31mred\\x1b]0;title\\x07 é 音"


def test_an_error_of_somebody_elses_code_tells_its_line():
    try:
        raise ValueError("boom \x1b[0m")
    except ValueError as error:
        assert re.fullmatch(r"ValueError: boom \\x1b\[0m \(test_errors.py, line \d+\)", error_text(error))
    assert error_text(KeyError("x")) == "KeyError: 'x'"
