"""A small synthesiser: a few controls become five seconds of music, the same samples on every CPU.

Every control acts continuously, and on something that ordinary audio features measure. All clips share one
tonic, so that the mode shows in a plain average of the chroma. All arithmetic is that of integers: float functions,
Fourier transforms and matrix products differ between CPUs in their last bits. There is no filter, either: the equaliser
weighs the partials before they are summed.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from larpbench.datasets.demo.fixed_point import pick
from larpbench.datasets.demo.sound_tables import (
    PERIOD,
    SAMPLE_RATE,
    TOP,
    UNIT,
    amplitude,
    bell,
    between,
    cents,
    fade,
    low_pass,
    oscillators,
    partials,
    ratio_cents,
    sine,
)

CLIP_SECONDS = 5
CLIP_SAMPLES = SAMPLE_RATE * CLIP_SECONDS

SOUND_PARAMETERS: tuple[str, ...] = (
    "tempo",  # 60 to 180 beats a minute
    "density",  # how loud the off-beats are
    "mode",  # minor to major third and sixth
    "harmony",  # chords on the subdominant's side to the dominant's
    "register",  # where among four octaves the tones sound
    "richness",  # sine to saw
    "brightness",  # cut-off of the final low-pass filter
    "attack",  # hard to soft onset
    "sustain",  # plucked to held
    "bass",  # level of the pedal tone below
    "percussion",  # level of kick and hi-hat
    "tremolo",  # depth of a pulsing loudness
    "low_eq",  # bell filters: what gives a style its colour
    "mid_eq",
    "high_eq",
    "tilt",  # spectral slope of the whole mix
)

PEAK = 9830
"""Largest absolute sample of a clip, 0.3 of full scale: the headroom keeps 16-bit lossless files small."""

_OCTAVES = 4
_PARTIALS = 36  # of the lowest tone: the highest pitch class (208 Hz) stays below the Nyquist frequency
_STEPS_A_BEAT = 2
_STEPS_A_CHORD = 4
_SHORTEST_STEP, _LONGEST_STEP = 2667, 8000  # samples of an eighth note at 180 and at 60 beats a minute
_TREMOLO_SAMPLES = 2909  # 5.5 Hz
_HISS = 3  # largest sample of a soft noise: no clip is digitally silent anywhere
_BELLS = {"low_eq": 250, "mid_eq": 900, "high_eq": 2800}  # Hz


def synthesise(controls: np.ndarray, seed: int) -> np.ndarray:
    """Render one clip.

    Args:
        controls: Integers, (len(SOUND_PARAMETERS),), each from 0 to TOP, in the order of `SOUND_PARAMETERS`.
        seed: Of what the controls leave open: the arpeggio's path, the hi-hat's noise, phases.

    Returns:
        int16, (CLIP_SAMPLES,), mono at SAMPLE_RATE, largest absolute value PEAK.
    """
    if np.shape(controls) != (len(SOUND_PARAMETERS),) or not np.issubdtype(controls.dtype, np.integer):
        raise ValueError(f"controls must be {len(SOUND_PARAMETERS)} integers, got {controls.dtype} {controls.shape}")
    control = dict(zip(SOUND_PARAMETERS, np.clip(controls, 0, TOP).tolist(), strict=True))
    rng = np.random.default_rng(seed)
    step = int(between(_LONGEST_STEP, _SHORTEST_STEP)[control["tempo"]])
    weights = _score(control, -(-CLIP_SAMPLES // step), rng)
    noise = rng.integers(-UNIT, UNIT, size=CLIP_SAMPLES, endpoint=True)
    mix = (_tones(control, step, weights) + _bass(control, step)) * _tremolo(control["tremolo"], rng) // UNIT
    mix += _drums(control, step, noise)
    mix = mix * PEAK // int(np.abs(mix).max()) + noise * _HISS // UNIT
    loudest = int(np.abs(mix).max())
    clip: np.ndarray = ((mix * PEAK + loudest // 2) // loudest).astype(np.int16)
    return clip


def _score(control: dict[str, int], length: int, rng: np.random.Generator) -> np.ndarray:
    """Write the notes.

    Returns:
        Loudness of each pitch class at each step, int64, (length, 12); a tone of the tonic's chord has about 256.
    """

    def mixed(level: int) -> tuple[int, int]:
        return math.isqrt((TOP - level) * TOP), math.isqrt(level * TOP)

    def triad(major_third: int, minor_third: int, chord_root: int) -> np.ndarray:
        tones = np.zeros(12, dtype=np.int64)
        tones[[chord_root, (chord_root + 7) % 12]] = 10 * TOP, 8 * TOP
        tones[(chord_root + 3) % 12] += 9 * minor_third
        tones[(chord_root + 4) % 12] += 9 * major_third
        return tones

    minor, major = mixed(control["mode"])
    plagal, authentic = mixed(control["harmony"])
    tonic, subdominant, dominant = triad(major, minor, 0), triad(major, minor, 5), triad(TOP, 0, 7)
    away = (plagal * subdominant + authentic * dominant) // TOP
    chords = np.where((np.arange(length) // _STEPS_A_CHORD % 2 == 1)[:, None], away, tonic)
    # An arpeggio emphasises one tone of the chord at each step, on a path of the clip's own.
    emphasis = np.where(np.arange(12) == pick(rng, chords)[:, None], 16, 7)
    loudness = np.where(np.arange(length) % _STEPS_A_BEAT == 0, TOP, control["density"])
    score: np.ndarray = chords * emphasis * loudness[:, None] // (100 * TOP)
    return score


def _colour(control: dict[str, int], pitch: np.ndarray) -> np.ndarray:
    """Return how the equaliser changes sounds at some pitches (cents), in tenths of a decibel.

    It has a slope, three bells and a low-pass filter.
    """
    octaves = np.clip(pitch - cents(800), -4800, 4800)
    tenths = (60 * control["tilt"] - 50 * TOP) * octaves // (1200 * TOP)
    for name, centre in _BELLS.items():
        tenths += (240 * control[name] - 120 * TOP) * bell(pitch - cents(centre)) // (TOP * UNIT)
    cutoff = cents(900) + (cents(7000) - cents(900)) * control["brightness"] // TOP
    coloured: np.ndarray = tenths - low_pass(pitch - cutoff)
    return coloured


def _spectrum(register: int, richness: int) -> np.ndarray:
    """Return the amplitudes of the partials of a tone that sounds in several octaves: int64, (_PARTIALS,)."""
    amplitudes = np.zeros(_PARTIALS, dtype=np.int64)
    for octave in range(_OCTAVES):
        rank = np.arange(1, (_PARTIALS >> octave) + 1)
        distance = TOP * octave - (_OCTAVES - 1) * register
        centred = -121 * distance * distance // (TOP * TOP)  # a bell with a standard deviation of 0.6 octaves
        slope = (30 * TOP - 22 * richness) * 6 * ratio_cents(len(rank)) // (1200 * TOP)  # 1 / rank ** (3.0 to 0.8)
        amplitudes[(rank << octave) - 1] += amplitude(centred - slope)
    return amplitudes


def _tones(control: dict[str, int], step: int, weights: np.ndarray) -> np.ndarray:
    """Sound the score: each step fades in over the decaying rest of the step before."""
    plain = _spectrum(control["register"], control["richness"])
    pitch = 100 * np.arange(12)[:, None] + ratio_cents(_PARTIALS)
    coloured = plain * amplitude(_colour(control, pitch)) // UNIT
    classes = np.flatnonzero(weights.any(axis=0))
    heard = np.zeros((len(classes), PERIOD), dtype=np.int64)
    for number, wave in enumerate(partials(_PARTIALS)):
        heard += coloured[classes, number, None] * wave
    waves = np.zeros((12, PERIOD), dtype=np.int64)
    waves[classes] = heard // UNIT
    positions = oscillators(CLIP_SAMPLES)
    since = np.arange(step)
    attack = int(between(SAMPLE_RATE * 3 // 1000, SAMPLE_RATE * 150 // 1000)[control["attack"]])
    decay = int(between(SAMPLE_RATE * 60 // 1000, SAMPLE_RATE * 1500 // 1000)[control["sustain"]])
    rise = np.minimum(since, attack) * UNIT // attack
    fresh = rise * fade(since, decay) // UNIT
    stale = (UNIT - rise) * int(fade(np.array([step]), decay)[0]) // UNIT
    tones = np.zeros(CLIP_SAMPLES, dtype=np.int64)
    before = np.zeros_like(weights[0])
    for now, begin in zip(weights, range(0, CLIP_SAMPLES, step), strict=True):
        sounding = tones[begin : begin + step]
        rising, falling = fresh[: len(sounding)], stale[: len(sounding)]
        for pitch_class in np.flatnonzero(now + before).tolist():  # one wave at a time stays in the cache
            sound = now[pitch_class] * rising
            sound += before[pitch_class] * falling
            sound *= waves[pitch_class].take(positions[pitch_class, begin : begin + step])
            sound >>= 20
            sounding += sound
        before = now
    # The tones have a loudness of their own before the equaliser, whose effect on the tonic stands for that on all.
    effect = UNIT * math.isqrt(int((coloured[0] * coloured[0]).sum())) // math.isqrt(int((plain * plain).sum()))
    return tones * (effect * 4 // 5) // _loudness(tones)


def _loudness(sound: np.ndarray) -> int:
    """Return the root of the mean square, at least 1; the squares' last bits are left out, as their sum must fit."""
    return math.isqrt((int((sound * sound >> 17).sum()) << 17) // len(sound)) + 1


def _bass(control: dict[str, int], step: int) -> np.ndarray:
    """A pedal tone, the tonic an octave below the other tones, struck on the beat."""
    since_beat = np.arange(_STEPS_A_BEAT * step)
    attack = SAMPLE_RATE // 100
    envelope = np.minimum(since_beat, attack) * fade(since_beat, SAMPLE_RATE * 35 // 100) // attack
    first, second = amplitude(_colour(control, np.array([cents(55), cents(110)]))).tolist()
    running, octave = _pedal()
    bass: np.ndarray = np.resize(envelope, CLIP_SAMPLES) * (running * first + octave * (second // 2) >> 14) >> 14
    return bass * (8 * control["bass"]) // (5 * TOP)


@cache
def _pedal() -> np.ndarray:
    """The tonic an octave below the other tones, and the octave above it: int64, (2, CLIP_SAMPLES)."""
    waves: np.ndarray = sine()[np.array([[55], [110]]) * np.arange(CLIP_SAMPLES) * PERIOD // SAMPLE_RATE % PERIOD]
    return waves


def _tremolo(depth: int, rng: np.random.Generator) -> np.ndarray:
    start = int(rng.integers(_TREMOLO_SAMPLES))
    positions = (np.arange(_TREMOLO_SAMPLES) + start) * PERIOD // _TREMOLO_SAMPLES % PERIOD
    pulse = (UNIT + sine()[positions]) // 2
    gain: np.ndarray = np.resize(UNIT - pulse * (9 * depth) // (10 * TOP), CLIP_SAMPLES)
    return gain


@cache
def _kick() -> np.ndarray:
    """A drum whose pitch falls to 50 Hz, over the longest beat: int64, (_STEPS_A_BEAT * _LONGEST_STEP,)."""
    since = np.arange(_STEPS_A_BEAT * _LONGEST_STEP)
    fallen = 3 * PERIOD * (UNIT - fade(since, SAMPLE_RATE * 3 // 100)) // UNIT
    positions = (50 * PERIOD * since // SAMPLE_RATE + fallen) % PERIOD
    kick: np.ndarray = sine()[positions] * fade(since, SAMPLE_RATE * 9 // 100) // UNIT
    return kick


def _drums(control: dict[str, int], step: int, noise: np.ndarray) -> np.ndarray:
    """A kick on the beat, a hi-hat on every step, softer off the beat if the rhythm is sparse."""
    low, middle, high = amplitude(_colour(control, np.array([cents(60), cents(2500), cents(6000)]))).tolist()
    hit = fade(np.arange(step), SAMPLE_RATE * 25 // 1000)
    hats = np.concatenate([hit, hit * control["density"] // TOP])
    # Differences of the noise, of one sample and of two sums of two, are its upper and its middle part.
    sums = noise + np.roll(noise, 1)
    bands = high * (noise - np.roll(noise, 1)) + middle * ((sums - np.roll(sums, 2)) // 2)
    drums = np.resize(_kick()[: _STEPS_A_BEAT * step], CLIP_SAMPLES) * low
    drums += np.resize(hats, CLIP_SAMPLES) * (bands >> 14) * 2 // 5
    drums >>= 14
    louder: np.ndarray = drums * (TOP + 19 * control["percussion"]) // (10 * TOP)
    return louder
