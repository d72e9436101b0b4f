"""Models of the hub that read the waveform, with layers: HuBERT, MERT, wav2vec 2.0 and similar ones.

What the checkpoint says of itself decides: sampling rate and normalisation come from its feature extractor, number and
width of the layers from its configuration. Only models that transformers brings itself: no code of a checkpoint runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from larpbench.encoders.towers.hub_models import Place, load_model, quiet
from larpbench.encoders.towers.position import require_stored_weights
from larpbench.errors import DataError

_MERT = "mert_model"
_FOR_TRAINING = "masked_spec_embed"
_HEADS = (
    *("lm_head.*", "projector.*", "classifier.*", "layer_weights", "ctc_proj.*"),  # of recognition and classification
    *("quantizer.*", "project_q.*", "project_hid.*", "final_proj.*"),  # of self-supervised training
    *("label_embs_concat", "label_embeddings_concat", "layer_norm_for_extract.*", "speaker_proj.*"),
)
"""Of the tasks that a model was trained on: the hidden states do not pass through them."""
_SHORTEST_S = 1.0  # the convolutions need 25 ms, group normalisation more than one frame


class HubModel:
    """A model of the hub with layers, which reads a clip as a whole.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.

    Attributes:
        depth: Number of layers.
        width: Numbers of a hidden state.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._model, self._extractor = load_hub_model(folder, place, (_FOR_TRAINING,), (_FOR_TRAINING, *_HEADS))
        require_stored_weights(self._model, folder)
        self.depth: int = self._model.config.num_hidden_layers
        self.width: int = self._model.config.hidden_size
        self._is_mert = _is_mert(folder)
        self._device = place.device

    def windows(self, clip: np.ndarray) -> list[torch.Tensor]:
        """Return the model's input for a clip, (samples,) float32 at the checkpoint's rate."""
        return [hub_input(clip, self._extractor)]

    def states(self, window: torch.Tensor, last: int) -> list[torch.Tensor]:
        """Return hidden states 0 to `last`, (frames, width) each.

        0 is what enters the first layer, n what the nth gives. The last of a MERT is what the model gives as its
        output, after the normalisation that follows the layers where there is one, as in its authors' code;
        transformers 5 lists it without.
        """
        given = self._model(window.to(self._device), output_hidden_states=True)
        states = [each[0] for each in given.hidden_states[: last + 1]]
        if self._is_mert and last == self.depth:
            states[last] = given.last_hidden_state[0]
        return states


def load_hub_model(folder: Path, place: Place, optional: Sequence[str], unused: Sequence[str]) -> tuple[Any, Any]:
    """Return the model of a folder and its feature extractor.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.
        optional: Patterns of the names of tensors that may be missing.
        unused: Patterns of the names of tensors that may be there although the model has no place for them.

    Raises:
        DataError: If one of them cannot be read, or the weights are not exactly those of the model.
    """
    from transformers import AutoFeatureExtractor, AutoModel, HubertModel, Wav2Vec2FeatureExtractor

    mert = _is_mert(folder)
    reader: Any = Wav2Vec2FeatureExtractor if mert else AutoFeatureExtractor
    with quiet():
        try:
            extractor: Any = reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"no feature extractor can be read: {error}", where=str(folder)) from error
    return load_model(HubertModel if mert else AutoModel, folder, place, optional, unused), extractor


def _is_mert(folder: Path) -> bool:
    return bool(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type") == _MERT)


def hub_input(clip: np.ndarray, extractor: Any) -> torch.Tensor:  # noqa: ANN401 - transformers' classes
    """Return the model's input for a clip alone: padding would change what normalisation sees."""
    rate = extractor.sampling_rate
    wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * rate)))
    found: torch.Tensor = extractor(wave, sampling_rate=rate, return_tensors="pt")["input_values"]
    return found
