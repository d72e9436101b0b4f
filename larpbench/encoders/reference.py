"""Stored references: what the original code makes of a tiny checkpoint, so that an adapter can be compared anywhere.

A checkpoint's weights are written anew from a seed, since they are too large to keep. The original code's vectors of
the clips and captions below were computed once and are kept in a ``.npz`` beside the adapter, one array per view.
Where the original code can be installed, it also runs on the real weights, beside the adapter.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.encoder import TrackBatch

CAPTIONS = ("The track Night Train by Alpha", "Ночь 夜 by Ωmega", "x", "a much longer caption " * 9)
_GAIN = 60  # ten times what training starts with, so that inputs make a difference
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


@dataclass(frozen=True)
class Reference:
    """A stored reference of one family of encoders.

    Attributes:
        stored: The ``.npz`` with the vectors.
        original: Code and version that computed them.
        write: Writes the tiny checkpoint into an empty folder.
        run: The original code, most literally: folder of weights, batch, argument -> (n, dim) float32.
        seconds: Length of the clips in seconds.
        sample_rate: Of the clips, in Hz, where the encoder's card leaves it open.
        tolerance: Largest difference allowed between numbers of vectors of length 1.
        arguments: What may follow an encoder's name and has vectors of its own.
        default: Name of the vectors of an encoder whose name nothing follows.
        installable: Whether the original code can be installed beside larpbench.
    """

    stored: Path
    original: str
    write: Callable[[Path], None]
    run: Callable[[Path, TrackBatch, str | None], np.ndarray]
    seconds: float = 12.0
    sample_rate: int | None = None
    tolerance: float = 1e-4
    installable: bool = True
    arguments: tuple[str, ...] = ()
    default: str = "whole"

    def batch(self, sample_rate: int | None) -> TrackBatch:
        """Return the clips and captions that the references were computed from."""
        n = len(CAPTIONS)
        sample_rate = sample_rate or self.sample_rate
        audio = clips(n, self.seconds, sample_rate) if sample_rate else None
        return TrackBatch(np.array([f"t{row}" for row in range(n)]), np.array(CAPTIONS, dtype=object), audio)

    def expected(self, key: str) -> np.ndarray:
        """Return the stored vectors, (n, dim) float32."""
        with np.load(self.stored, allow_pickle=False) as stored:
            return stored[key]


def clips(n: int, seconds: float, sample_rate: int) -> np.ndarray:
    """Return (n, samples) float32: chords that fade, in noise; the same on every machine."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    rows = []
    for row in range(n):
        chord = sum(np.sin(2 * np.pi * hz * (row + 1) * time) for hz in (110.0, 277.18, 1_318.5))
        noise = np.random.RandomState(row).uniform(-1, 1, len(time))  # its stream never changes
        rows.append((0.2 * chord * np.exp(-time / (row + 2)) + 0.02 * noise).astype(np.float32))
    return np.stack(rows)


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return made-up weights of a tensor, float32, drawn from its name: variances positive, gains around 1."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, shape)
    if name.endswith("running_var"):
        numbers = 300 + 100 * numbers  # of decibels
    elif name.endswith("running_mean"):
        numbers = -30 + 10 * numbers
    elif len(shape) < 2:
        numbers = 0.2 * numbers + (1.0 if name.endswith("weight") else 0.0)
    else:
        numbers = numbers * np.sqrt(_GAIN / (shape[0] + int(np.prod(shape[1:]))))
    return np.asarray(numbers, dtype=np.float32)


def write_model(model: Any, folder: Path) -> None:  # noqa: ANN401 - transformers has no common type for it
    """Write a model of transformers with made-up weights, as it lies on disk after a download."""
    import torch

    from larpbench.encoders.towers.hub_models import quiet

    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and "relative_position_index" not in name:
            state[name] = torch.from_numpy(seeded(name, tuple(tensor.shape)))
    model.load_state_dict(state)
    with quiet():
        model.save_pretrained(folder)


def write_tokenizer(folder: Path, start: str = "<s>", end: str = "</s>") -> int:
    """Write a tokenizer of single bytes between a start and an end; return how many tokens there are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*_SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))  # noqa: S106 - a word
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(token, vocabulary[token]) for token in (start, end)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ends)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        bos_token=start,
        eos_token=end,
    )
    fast.save_pretrained(folder)
    return len(vocabulary)


def write_xlm_r(folder: Path, width: int, layers: int, inner: int) -> Any:  # noqa: ANN401 - as above
    """Write configuration and tokenizer of a small XLM-R, as they lie beside checkpoints; return the configuration."""
    from transformers import XLMRobertaConfig

    config = XLMRobertaConfig(
        vocab_size=write_tokenizer(folder),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=inner,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=0,
    )
    config.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    named = {"sep_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}  # the older one's name
    settings.write_text(json.dumps(json.loads(settings.read_text("utf-8")) | named), encoding="utf-8")
    return config
