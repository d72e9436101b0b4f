"""PE-A-Frame (Vyas et al. 2025) as in transformers: a vector each 40 ms of audio, and one of a text, in one space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.hub_models import Place, Tokens, load_model, quiet
from larpbench.errors import DataError

SAMPLE_RATE = 48_000
"""Hz."""
WINDOW_S = 30.0
KIND = "pe_audio"
"""Type of the model, as its configuration names it."""
_SHORTEST_S = 1.0  # a shorter clip is repeated


class PeAudio:
    """One tower or both: then the mean of the two vectors, each of length 1.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.
        audio: Whether to read audio.
        text: Whether to read captions.

    Raises:
        DataError: If the checkpoint is of another kind.
    """

    def __init__(self, folder: Path, place: Place, audio: bool, text: bool) -> None:
        from transformers import PeAudioFrameLevelModel

        self._hop = _hop(folder)
        self._tokens = Tokens(folder) if text else None
        self._model: Any = load_model(PeAudioFrameLevelModel, folder, place)
        if not text:
            del self._model.text_model
        else:  # the head reads the last layer as it is, as in the authors' code; transformers 5 would normalise it
            self._model.text_model.final_norm = torch.nn.Identity()
        if not audio:
            del self._model.audio_encoder
        self._reads_audio, self._device = audio, place.device

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32, rows of length 1 if there is one tower.

        Args:
            batch: With clips, (n, samples) float32 at 48 kHz, if it reads audio, and captions.

        Raises:
            EmbeddingError: If it reads audio and the batch has none.
        """
        sides = []
        if self._reads_audio:
            clips = batch.require_audio("pe-audio")
            sides.append(functional.normalize(torch.stack([self._of_clip(clip) for clip in clips]), dim=1))
        if self._tokens:
            sides.append(functional.normalize(self._tokens.apply(batch.captions, self._of_tokens), dim=1))
        return torch.stack(sides).mean(dim=0).float().cpu().numpy()

    def _of_clip(self, clip: np.ndarray) -> Tensor:
        """Return the mean over windows of the mean over frames, (width,)."""
        wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * SAMPLE_RATE))).astype(np.float32, copy=False)
        length = round(WINDOW_S * SAMPLE_RATE)
        starts = [*range(0, len(wave) - length, length), max(0, len(wave) - length)]
        return torch.stack([self._of_window(wave[start : start + length]) for start in starts]).mean(dim=0)

    def _of_window(self, wave: np.ndarray) -> Tensor:
        whole = np.pad(wave, (0, -len(wave) % self._hop), "reflect")
        frames = self._model.audio_encoder(torch.from_numpy(whole)[None, None].to(self._device)).last_hidden_state
        found: Tensor = self._model.audio_head(frames)[0].mean(dim=0)
        return found

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        ids = tokens.to(self._device)
        states = self._model.text_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        found: Tensor = self._model.text_audio_head(states[:, 0])
        return found


def _hop(folder: Path) -> int:
    """Return how many samples a frame has, after checking that the checkpoint is of the right kind."""
    from transformers import PeAudioFeatureExtractor

    path = folder / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("the configuration of this checkpoint cannot be understood", where=str(path)) from error
    if kind != KIND:
        raise DataError(
            f"this is no PE-Audio: its type is {kind!r}",
            where=str(path),
            allowed=f"{KIND!r}, such as facebook/pe-a-frame-large",
        )
    with quiet():
        try:
            extractor: Any = PeAudioFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"no feature extractor can be read: {error}", where=str(folder)) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise DataError(
            f"this checkpoint reads {extractor.sampling_rate} Hz", where=str(folder), allowed=f"{SAMPLE_RATE} Hz"
        )
    return int(extractor.hop_length)
