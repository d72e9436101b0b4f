"""Text models: transformers called literally, captions padded together, pooled by numpy over the attention mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.adapters.text.settings import TextSettings, read_name, settings_of
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, write_model, write_tokenizer

_FOLDER = Path(__file__).parent
_POOLINGS: dict[str, Any] = {
    "mean": lambda rows: rows.mean(axis=0),
    "max": lambda rows: rows.max(axis=0),
    "mean+std": lambda rows: np.concatenate([rows.mean(axis=0), rows.std(axis=0)]),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "weighted-mean": lambda rows: np.average(rows, axis=0, weights=np.arange(1, len(rows) + 1)),
    "mean-sqrt": lambda rows: rows.sum(axis=0) / np.sqrt(len(rows)),
}


def write_checkpoint(folder: Path) -> None:
    """Write a BERT of about 13,000 weights."""
    from transformers import BertConfig, BertModel

    vocabulary = write_tokenizer(folder)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
        pad_token_id=0,
    )
    write_model(BertModel(config), folder)


def run_text(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return what transformers makes of the captions, padded together, (n, dim) float32 of length 1.

    Args:
        folder: Holds the model; dense layers of sentence-transformers beside it are not read.
        batch: The captions.
        argument: What follows ``text:``, such as ``NAME@LAYER:pool=first``; None: the mean of the last layer.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from larpbench.encoders.towers.hub_models import quiet

    settings = settings_of(read_name(argument), folder) if argument else TextSettings()
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    texts = [settings.prompt + str(each) for each in batch.captions]
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=settings.longest, return_tensors="pt")
    with torch.inference_mode():
        given = model(**tokens, output_hidden_states=True)
    states = given.last_hidden_state.double().numpy()
    if settings.states is not None:
        first, last = settings.states
        layers = given.hidden_states[first : None if last is None else last + 1]
        states = np.mean([each.double().numpy() for each in layers], axis=0)
    rows = []
    for row, mask in zip(states, tokens["attention_mask"].numpy(), strict=True):
        whole = np.concatenate([_POOLINGS[each](row[mask == 1]) for each in settings.poolings])
        rows.append(whole / np.linalg.norm(whole))
    return np.stack(rows).astype(np.float32)


REFERENCE = Reference(_FOLDER / "text.npz", "transformers 5.23.0", write_checkpoint, run_text)
