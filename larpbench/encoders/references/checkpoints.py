"""Tiny checkpoints as they lie on disk after a download: settings, weights, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from larpbench.encoders.references import seeded
from larpbench.encoders.towers.hub_models import quiet

_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def write_model(model: Any, folder: Path) -> None:  # noqa: ANN401 - transformers has no common type for it
    """Write a model with made-up weights."""
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
