"""Sizes of the towers and of what they read; readable without torch."""

from __future__ import annotations

from typing import Literal

from larpbench.training.settings import Settings

RANDOM_WEIGHTS = "random"


class MelSettings(Settings):
    """The log-mel spectrogram; the defaults are those of the paper's HTS-AT."""

    sample_rate: int = 48_000
    n_fft: int = 1_024
    hop: int = 480
    n_mels: int = 64
    f_min: float = 50.0
    f_max: float = 14_000.0
    window_s: float = 10.0
    """Longest stretch that the tower sees at once; longer clips are cut into windows."""


class SwinSettings(Settings):
    """Audio tower from spectrograms (HTS-AT); the defaults are the paper's size."""

    kind: Literal["swin"] = "swin"
    mel: MelSettings = MelSettings()
    width: int = 96
    """Numbers of the first stage; each further stage has twice as many."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 8
    spec_size: int = 256
    """Side of the square image that the spectrogram is folded into."""
    drop_path: float = 0.1
    weights: str = RANDOM_WEIGHTS
    """Initial weights: ``random``, a local folder, or the name of a checkpoint in the hub cache."""


class BertSettings(Settings):
    """Text tower from captions (BERT); the defaults are the paper's size."""

    kind: Literal["bert"] = "bert"
    tokenizer: str = "words"
    """``words``: built from the train captions; else a folder or the name of a checkpoint in the hub cache."""
    vocabulary: int = 30_522
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3_072
    dropout: float = 0.1
    max_tokens: int = 30
    positions: int = 512
    initial_std: float = 0.02
    """Standard deviation of random weights."""
    weights: str = RANDOM_WEIGHTS
    """As of the audio tower."""


class WordsShape(Settings):
    """Size of the tokenizer that is built from the train captions."""

    words: int = 4_000
    """Most words with an id of their own."""
    buckets: int = 1_000
    """Ids that all other words share, by hash."""


TINY_AUDIO = SwinSettings(
    mel=MelSettings(sample_rate=16_000, n_fft=1_024, hop=320, n_mels=32, f_min=50.0, f_max=8_000.0),
    width=32,
    depths=(2, 2, 2),
    heads=(2, 4, 8),
    window=4,
    spec_size=128,
)
