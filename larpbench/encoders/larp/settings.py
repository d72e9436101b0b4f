"""What a LARP model is made of, and how it is trained: everything that a checkpoint's key depends on."""

from __future__ import annotations

from typing import Literal

from larpbench.encoders.loop.settings import LoopSettings, Settings

Stage = Literal["wtc", "ttc", "tpc"]
STAGES: tuple[Stage, ...] = ("wtc", "ttc", "tpc")
Fusion = Literal["attention", "mean"]
Size = Literal["heads", "tiny", "paper"]
SIZES: tuple[Size, ...] = ("heads", "tiny", "paper")
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


class HeadSettings(Settings):
    """A small network on frozen embeddings of another encoder, in place of a tower."""

    kind: Literal["head"] = "head"
    encoder: str
    """Identity of the frozen encoder."""
    inputs: int
    """Length of its vectors."""
    hidden: int = 512
    dropout: float = 0.1


class ModelSettings(Settings):
    """Both towers, and what joins them."""

    audio: SwinSettings | HeadSettings
    text: BertSettings | HeadSettings
    dim: int = 256
    """Length d of the common embeddings."""
    temperature: float = 0.07
    learn_temperature: bool = False
    fusion: Fusion = "attention"


class TrainingSettings(LoopSettings):
    """How one stage is trained (section 4.1.3); the defaults are the paper's.

    `batch` counts tracks in the first stage, pairs of tracks in the others.
    """

    stage: Stage
    momentum: float = 0.995
    queue: int = 57_600
    """Tracks in the queue; at most half the train tracks."""
    soft_target_alpha: float = 0.0
    neighbours: int = 10
    """J: tracks that a playlist is fused from."""
    chunk: int | None = None
    """Tracks whose activations are kept at once (gradient caching); None: all of a batch."""


class HeadShape(Settings):
    """Shape of the networks on frozen embeddings; their inputs' length is known once the embeddings are."""

    hidden: int = 512
    dropout: float = 0.5


class WordsShape(Settings):
    """Size of the tokenizer that is built from the train captions."""

    words: int = 4_000
    """Most words with an id of their own."""
    buckets: int = 1_000
    """Ids that all other words share, by hash."""


class Recipe(Settings):
    """One training: the model's parts, and the stage that it goes through."""

    audio: SwinSettings | str
    """Shape of the tower, or the identity of the frozen encoder that takes its place."""
    text: BertSettings | str
    head: HeadShape = HeadShape()
    words: WordsShape = WordsShape()
    dim: int = 256
    temperature: float = 0.07
    learn_temperature: bool = False
    fusion: Fusion = "mean"
    """Matters in the last stage only."""
    training: TrainingSettings | None = None
    """None: initial weights only."""
