"""Text models: transformers' own tokenizer and model, one caption at a time, mean over the attention mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, write_model, write_tokenizer
from larpbench.encoders.towers.hub_models import quiet

_FOLDER = Path(__file__).parent


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
    """Return what transformers makes of the captions, padded together, (n, dim) float32 of length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokens = tokenizer([str(each) for each in batch.captions], padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    mask = tokens["attention_mask"][:, :, None]
    vectors = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(vectors, dim=1).numpy()


TEXT = Reference(_FOLDER / "text.npz", "transformers 5.23.0", write_checkpoint, run_text)
