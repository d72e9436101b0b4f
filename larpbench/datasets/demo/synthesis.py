"""A small synthesiser: a few controls in [0, 1] become five seconds of music.

Every control acts continuously, and on something that ordinary audio features measure. All clips share one
tonic, so that the mode shows in a plain average of the chroma.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

SAMPLE_RATE = 16000
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

PEAK = 0.3
"""Largest absolute sample of a clip: the headroom keeps 16-bit lossless files small."""

_TONIC_HZ = 110.0
_TABLE_SIZE = 4096
_OCTAVES = 4
_MAX_HARMONICS = 36  # of the lowest tone: the highest pitch class (208 Hz) stays below the Nyquist frequency
_STEPS_A_BEAT = 2
_STEPS_A_CHORD = 4
_TREMOLO_HZ = 5.5
_FLOOR = 3e-4  # of a soft hiss: no clip is digitally silent anywhere


@dataclass(frozen=True)
class _Steps:
    """The rhythm grid: eighth notes from the clip's first sample on.

    Attributes:
        seconds: Length of a step.
        bounds: int64, (n + 1,), first sample of each step, and the clip's end.
        index: int64, (CLIP_SAMPLES,), the step of each sample.
        since: float32, (CLIP_SAMPLES,), seconds since the step began.
    """

    seconds: float
    bounds: np.ndarray
    index: np.ndarray
    since: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1


def synthesise(controls: np.ndarray, seed: int) -> np.ndarray:
    """Render one clip.

    Args:
        controls: float, (len(SOUND_PARAMETERS),), each in [0, 1], in the order of `SOUND_PARAMETERS`.
        seed: Of what the controls leave open: the arpeggio's path, the hi-hat's noise, phases.

    Returns:
        float32, (CLIP_SAMPLES,), mono at SAMPLE_RATE, largest absolute value PEAK.
    """
    if np.shape(controls) != (len(SOUND_PARAMETERS),):
        raise ValueError(f"controls must have shape ({len(SOUND_PARAMETERS)},), got {np.shape(controls)}")
    control = dict(zip(SOUND_PARAMETERS, np.clip(controls, 0, 1).tolist(), strict=True))
    rng = np.random.default_rng(seed)
    steps = _grid(control["tempo"])
    weights = _score(control, len(steps), rng)
    tones = _tones(control, steps, weights)
    mix = 0.8 * tones / (np.std(tones) + 1e-9)
    mix += 1.6 * control["bass"] * _bass(steps)
    mix *= _tremolo(control["tremolo"], rng)
    hiss = rng.standard_normal(CLIP_SAMPLES, dtype=np.float32)
    mix += (0.1 + 1.9 * control["percussion"]) * _drums(steps, control["density"], hiss)
    mix = _equalise(mix, control)
    mix /= np.max(np.abs(mix))
    mix += _FLOOR * hiss
    clip: np.ndarray = (mix * (PEAK / np.max(np.abs(mix)))).astype(np.float32)
    return clip


def _between(low: float, high: float, x: float) -> float:
    """Interpolate on a log scale, on which pitch, time and loudness are heard."""
    return float(low * (high / low) ** x)


def _grid(tempo: float) -> _Steps:
    seconds = 60 / _STEPS_A_BEAT / _between(60, 180, tempo)
    n = int(np.ceil(CLIP_SECONDS / seconds))
    bounds = np.minimum(np.round(np.arange(n + 1) * seconds * SAMPLE_RATE), CLIP_SAMPLES).astype(np.int64)
    index = np.repeat(np.arange(n), np.diff(bounds))
    since = ((np.arange(CLIP_SAMPLES) - bounds[index]) / SAMPLE_RATE).astype(np.float32)
    return _Steps(seconds, bounds, index, since)


def _score(control: dict[str, float], length: int, rng: np.random.Generator) -> np.ndarray:
    """Write the notes.

    Returns:
        Loudness of each pitch class at each step, float32, (length, 12).
    """
    major = np.sqrt(control["mode"])
    minor = np.sqrt(1 - control["mode"])

    def triad(root: int, third_is_fixed: bool = False) -> np.ndarray:
        tones = np.zeros(12)
        tones[[root, (root + 7) % 12]] = 1.0, 0.8
        tones[(root + 3) % 12] += 0.9 * (0.0 if third_is_fixed else minor)
        tones[(root + 4) % 12] += 0.9 * (1.0 if third_is_fixed else major)
        return tones

    tonic, subdominant, dominant = triad(0), triad(5), triad(7, third_is_fixed=True)
    away = np.sqrt(1 - control["harmony"]) * subdominant + np.sqrt(control["harmony"]) * dominant
    chord = np.arange(length) // _STEPS_A_CHORD
    chords = np.where(chord[:, None] % 2 == 1, away, tonic)
    # An arpeggio emphasises one tone of the chord at each step, on a path of the clip's own.
    chosen = np.array([rng.choice(12, p=row / row.sum()) for row in chords])
    emphasis = np.where(np.arange(12) == chosen[:, None], 1.6, 0.7)
    on_beat = np.arange(length) % _STEPS_A_BEAT == 0
    loudness = np.where(on_beat, 1.0, control["density"])
    score: np.ndarray = (chords * emphasis * loudness[:, None]).astype(np.float32)
    return score


@cache
def _phases() -> np.ndarray:
    """Table positions of twelve running oscillators, one a pitch class: uint16, (12, CLIP_SAMPLES)."""
    frequency = _TONIC_HZ * 2.0 ** (np.arange(12) / 12)
    cycles = frequency[:, None] * np.arange(CLIP_SAMPLES) / SAMPLE_RATE
    return ((cycles % 1) * _TABLE_SIZE).astype(np.uint16)


def _wave(register: float, richness: float) -> np.ndarray:
    """Return one period of a tone that sounds in several octaves: float32, (_TABLE_SIZE,)."""
    slope = 3.0 - 2.2 * richness
    octave_gain = np.exp(-0.5 * ((np.arange(_OCTAVES) - (_OCTAVES - 1) * register) / 0.6) ** 2)
    spectrum = np.zeros(_TABLE_SIZE // 2 + 1, dtype=complex)
    for octave, gain in enumerate(octave_gain):
        rank = np.arange(1, _MAX_HARMONICS // 2**octave + 1)
        phases = np.exp(1j * rank**2)  # spread, so that the crest stays low
        spectrum[rank * 2**octave] += gain * rank**-slope * phases
    return np.fft.irfft(spectrum).astype(np.float32) * _TABLE_SIZE


def _tones(control: dict[str, float], steps: _Steps, weights: np.ndarray) -> np.ndarray:
    """Sound the score: each step fades in over the decaying rest of the step before."""
    attack = _between(0.003, 0.15, control["attack"])
    decay = _between(0.06, 1.5, control["sustain"])
    rise = np.minimum(steps.since / np.float32(attack), 1)
    fresh = rise * np.exp(-steps.since / np.float32(decay))
    stale = (1 - rise) * np.float32(np.exp(-steps.seconds / decay))
    wave = _wave(control["register"], control["richness"])
    tones = np.empty(CLIP_SAMPLES, dtype=np.float32)
    before = np.zeros_like(weights[0])
    for now, begin, end in zip(weights, steps.bounds[:-1], steps.bounds[1:], strict=True):
        sounding = np.flatnonzero(now + before)
        block = wave[_phases()[sounding, begin:end]]
        tones[begin:end] = fresh[begin:end] * (now[sounding] @ block)
        tones[begin:end] += stale[begin:end] * (before[sounding] @ block)
        before = now
    return tones


def _bass(steps: _Steps) -> np.ndarray:
    """A pedal tone, the tonic an octave below the other tones, struck on the beat."""
    phase = 2 * np.pi * (_TONIC_HZ / 2) * np.arange(CLIP_SAMPLES) / SAMPLE_RATE
    off_beat = (steps.index % _STEPS_A_BEAT != 0).astype(np.float32)
    since_beat = steps.since + off_beat * np.float32(steps.seconds)
    envelope = np.minimum(since_beat / 0.01, 1) * np.exp(-since_beat / 0.35)
    bass: np.ndarray = envelope * (np.sin(phase) + 0.5 * np.sin(2 * phase))
    return bass


def _tremolo(depth: float, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(CLIP_SAMPLES, dtype=np.float32) / np.float32(SAMPLE_RATE)
    pulse = 0.5 + 0.5 * np.sin(2 * np.pi * _TREMOLO_HZ * time + np.float32(rng.uniform(0, 2 * np.pi)))
    gain: np.ndarray = 1 - np.float32(0.9 * depth) * pulse
    return gain


def _drums(steps: _Steps, density: float, hiss: np.ndarray) -> np.ndarray:
    """A kick on the beat, a hi-hat on every step, softer off the beat if the rhythm is sparse."""
    on_beat = steps.index % _STEPS_A_BEAT == 0
    kick = np.sin(2 * np.pi * (50 * steps.since + 3 * (1 - np.exp(-steps.since / 0.03))))
    kick *= np.exp(-steps.since / 0.09) * on_beat
    crisp = np.diff(hiss, prepend=np.float32(0))  # a difference is a simple high-pass filter
    hat = crisp * np.exp(-steps.since / 0.025) * np.where(on_beat, 1, density).astype(np.float32)
    drums: np.ndarray = kick + 0.35 * hat
    return drums


@cache
def _frequencies() -> np.ndarray:
    return np.fft.rfftfreq(CLIP_SAMPLES, 1 / SAMPLE_RATE).astype(np.float32) + 1


def _equalise(mix: np.ndarray, control: dict[str, float]) -> np.ndarray:
    """Colour the whole mix: slope, three bells and a low-pass filter, all in one pass."""
    octaves = np.log2(_frequencies() / 800)
    decibel = (6 * control["tilt"] - 5) * np.clip(octaves, -4, 4)
    for name, centre in (("low_eq", 250), ("mid_eq", 900), ("high_eq", 2800)):
        decibel += (24 * control[name] - 12) * np.exp(-0.5 * ((octaves - np.log2(centre / 800)) / 0.5) ** 2)
    cutoff = _between(900, 7000, control["brightness"])
    gain = 10 ** (decibel / 20) / np.sqrt(1 + (_frequencies() / cutoff) ** 6)
    return np.fft.irfft(np.fft.rfft(mix) * gain, CLIP_SAMPLES).astype(np.float32)
