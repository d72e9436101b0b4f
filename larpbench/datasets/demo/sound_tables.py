"""The synthesiser's integer tables. Pitch is counted in cents, loudness in tenths of a decibel, time in samples."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np

from larpbench.datasets.demo.fixed_point import table

UNIT = 1 << 14
"""What stands for an amplitude, or a gain, of 1."""
TOP = 255
"""The highest level of a control; the lowest is 0."""
SAMPLE_RATE = 16000
PERIOD = 4096
"""Samples of one period in the tables of waves."""

_OCTAVE = 1200
_REFERENCE_HZ = 110
_PI = Decimal("3.14159265358979323846264338327950288")
_FADE_STEPS = 256
_FADE_END = 10
_QUIETEST, _LOUDEST = -900, 400
_FILTER_BEGIN, _FILTER_END, _FILTER_STEP = -1200, 6000, 10


@cache
def between(low: int, high: int) -> np.ndarray:
    """Return the values between two positive ones for each level of a control: int64, (TOP + 1,).

    They lie on a log scale, on which pitch, time and loudness are perceived.
    """
    return table(lambda level: low * (Decimal(high) / low) ** (level / TOP), range(TOP + 1), 1)


@cache
def cents(hertz: int) -> int:
    """Return the pitch of a frequency, in cents above the tonic (110 Hz)."""
    return int(table(lambda f: _cents(f / _REFERENCE_HZ), [hertz], 1)[0])


@cache
def ratio_cents(highest: int) -> np.ndarray:
    """Return the pitch of partials 1 to `highest` above the first, in cents: int64, (highest,)."""
    return table(_cents, range(1, highest + 1), 1)


def amplitude(tenths: np.ndarray | int) -> np.ndarray:
    """Return the amplitude (UNIT is 0 dB) of a loudness in tenths of a decibel, from -90 dB to 40 dB."""
    found: np.ndarray = _amplitudes()[np.clip(tenths, _QUIETEST, _LOUDEST) - _QUIETEST]
    return found


def fade(numerator: np.ndarray, denominator: int) -> np.ndarray:
    """Return UNIT times exp(-numerator / denominator)."""
    found: np.ndarray = _fades()[np.minimum(numerator * _FADE_STEPS // denominator, _FADE_END * _FADE_STEPS)]
    return found


def bell(interval: np.ndarray) -> np.ndarray:
    """Return UNIT times a bell curve around 0 cents, with a standard deviation of half an octave."""
    return fade(interval * interval, 2 * (_OCTAVE // 2) ** 2)


def low_pass(interval: np.ndarray) -> np.ndarray:
    """Return how far sounds `interval` cents above the cut-off are damped, in tenths of a decibel: 18 dB an octave."""
    found: np.ndarray = _damping()[(np.clip(interval, _FILTER_BEGIN, _FILTER_END) - _FILTER_BEGIN) // _FILTER_STEP]
    return found


@cache
def sine() -> np.ndarray:
    """Return one period of UNIT times the sine: int64, (PERIOD,)."""
    quarter = table(_sine, range(PERIOD // 4 + 1), UNIT)
    half = np.concatenate([quarter[:-1], quarter[:0:-1]])
    return np.concatenate([half, -half])


@cache
def partials(highest: int) -> np.ndarray:
    """Return one period of the first so many partials: int64, (highest, PERIOD).

    Their phases are the squares of their numbers, in radians, so that the crest of their sum stays low.
    """
    numbers = np.arange(1, highest + 1)[:, None]
    radian = int(table(lambda one: one / (2 * _PI), [PERIOD], 1)[0])
    waves: np.ndarray = sine()[(numbers * np.arange(PERIOD) + numbers * numbers * radian + PERIOD // 4) % PERIOD]
    return waves


@cache
def oscillators(length: int) -> np.ndarray:
    """Return the positions in a period of twelve running oscillators, one a pitch class: uint16, (12, length)."""
    step = table(lambda k: 2 ** (k / 12) * _REFERENCE_HZ * PERIOD / SAMPLE_RATE, range(12), 1 << 20)
    positions: np.ndarray = ((step[:, None] * np.arange(length) >> 20) % PERIOD).astype(np.uint16)
    return positions


def _cents(ratio: Decimal) -> Decimal:
    return _OCTAVE * ratio.ln() / Decimal(2).ln()


def _sine(position: Decimal) -> Decimal:
    angle = 2 * _PI * position / PERIOD
    total = term = angle
    for number in range(3, 40, 2):
        term = -term * angle * angle / (number * (number - 1))
        total += term
    return total


@cache
def _amplitudes() -> np.ndarray:
    return table(lambda tenths: Decimal(10) ** (tenths / 200), range(_QUIETEST, _LOUDEST + 1), UNIT)


@cache
def _fades() -> np.ndarray:
    return table(lambda i: (-i / _FADE_STEPS).exp(), range(_FADE_END * _FADE_STEPS + 1), UNIT)


@cache
def _damping() -> np.ndarray:
    intervals = range(_FILTER_BEGIN, _FILTER_END + 1, _FILTER_STEP)
    return table(lambda interval: 100 * (1 + Decimal(2) ** (interval / 200)).log10(), intervals, 1)
