"""CLAP (Wu et al. 2023) as in transformers: its audio tower (HTS-AT, Chen et al. 2022), its text tower, or both.

The checkpoint's own feature extractor crops clips of more than 10 s at random, so that no two calls agree. Here the
clip is cut into windows first, each as long as the extractor's crop, the last one ending with the clip. What remains
of the extractor, log-mel spectrograms of Slaney's filters, is computed with torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.front_end import log_mel, windows
from larpbench.encoders.towers.hub_models import Place, Tokens, load_model
from larpbench.encoders.towers.openvino import OpenVinoCall
from larpbench.encoders.towers.settings import MelSettings
from larpbench.encoders.towers.sides import MeanOfSides
from larpbench.errors import DataError

_WINDOWS_AT_ONCE = 8  # more is no faster, and needs more memory
_SCALES = ("logit_scale_a", "logit_scale_t")
_NOT_AUDIO = ("text_model.*", "text_projection.*", *_SCALES)
_NOT_TEXT = ("audio_model.*", "audio_projection.*", *_SCALES)


class ClapFrontEnd:
    """From clips to what the audio tower sees.

    Args:
        extractor: transformers' own, a ClapFeatureExtractor: its settings count.

    Raises:
        DataError: If it is for the fusion of several crops, which is random.
    """

    def __init__(self, extractor: Any) -> None:  # noqa: ANN401 - transformers is typed in part
        if extractor.truncation != "rand_trunc":
            raise DataError(
                f"the checkpoint's front end is for {extractor.truncation!r}, which crops clips at random",
                allowed="a checkpoint without fusion, such as laion/clap-htsat-unfused",
            )
        self._padding: str = extractor.padding
        self._mel = MelSettings(
            sample_rate=extractor.sampling_rate,
            n_fft=extractor.fft_window_size,
            hop=extractor.hop_length,
            n_mels=extractor.feature_size,
            f_min=extractor.frequency_min,
            f_max=extractor.frequency_max,
            window_s=extractor.nb_max_samples / extractor.sampling_rate,
        )
        self._samples: int = extractor.nb_max_samples

    def __call__(self, clips: Tensor) -> Tensor:
        """Return (n, windows, 1, frames, mels) float32 in dB of (n, samples) float32."""
        cut = windows(clips, self._mel)
        flat = self._filled(cut.flatten(0, 1))
        return log_mel(flat, self._mel).unflatten(0, cut.shape[:2])[:, :, None]

    def _filled(self, clips: Tensor) -> Tensor:
        """Return clips shorter than a window as the extractor fills them up."""
        length = clips.shape[1]
        if length >= self._samples:
            return clips
        repeats = self._samples // length
        if self._padding == "repeat":
            return clips.repeat(1, repeats + 1)[:, : self._samples]
        if self._padding == "repeatpad":
            clips = clips.repeat(1, repeats)
        return functional.pad(clips, (0, self._samples - clips.shape[1]))


class AudioTower:
    """The audio side of CLAP.

    Args:
        model: A ClapAudioModelWithProjection, where it computes.
        front_end: What it sees of a clip.
        place: Where and how it computes.
        projected: Whether its vectors are those of the space that it shares with the text side, of length 1, or those
            before the projection.
    """

    def __init__(self, model: Any, front_end: ClapFrontEnd, place: Place, projected: bool) -> None:  # noqa: ANN401
        self._front_end, self._place, self._projected = front_end, place, projected

        def forward(mels: Tensor) -> Tensor:
            found: Tensor = model(input_features=mels).audio_embeds if projected else pooled(mels)
            return found

        def pooled(mels: Tensor) -> Tensor:
            found: Tensor = model.audio_model(input_features=mels).pooler_output
            return found

        self._forward = OpenVinoCall(model, forward, place.bfloat16) if place.openvino else forward

    def prepare(self, audio: np.ndarray) -> list[Tensor]:
        """Return what can be made of (n, samples) float32 before the tower is free: spectrograms on a CPU.

        For a GPU, which makes them itself faster, it is the clips in memory that it can copy from beside its work.
        """
        clips = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)).split(_WINDOWS_AT_ONCE)
        if self._place.device == "cpu":
            return [self._front_end(each) for each in clips]
        return [each.pin_memory() for each in clips]

    def __call__(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) float32: the mean over windows.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        vectors = []
        for each in batch.features or self.prepare(batch.require_audio("CLAP")):
            on_cpu = self._place.device == "cpu"
            mels = each if on_cpu else self._front_end(each.to(self._place.device, non_blocking=True))
            parts = [self._of_windows(part) for part in mels.flatten(0, 1).split(_WINDOWS_AT_ONCE)]
            vectors.append(torch.cat(parts).unflatten(0, mels.shape[:2]).mean(dim=1))
        whole = torch.cat(vectors)
        return functional.normalize(whole, dim=1) if self._projected else whole

    def _of_windows(self, mels: Tensor) -> Tensor:
        found = self._forward(mels.to(self._place.dtype)).float()
        return functional.normalize(found, dim=1) if self._projected else found


class TextTower:
    """The text side of CLAP, projected.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        from transformers import ClapTextModelWithProjection

        self._tokens, self._place = Tokens(folder), place
        self._model = load_model(ClapTextModelWithProjection, folder, place, unused=_NOT_TEXT)

    def __call__(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) float32, rows of length 1."""
        return self._tokens.apply(batch.captions, self._of_tokens)

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        ids = tokens.to(self._place.device)
        embeds = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).text_embeds
        return functional.normalize(embeds.float(), dim=1)


class ClapEncoder(MeanOfSides):
    """One tower or both."""

    def __init__(self, audio: AudioTower | None, text: TextTower | None) -> None:
        super().__init__([side for side in (audio, text) if side is not None])
        self._audio = audio

    @torch.inference_mode()
    def prepare(self, batch: TrackBatch) -> TrackBatch:
        """Return the batch with what the audio side sees."""
        if self._audio is None:
            return batch
        return replace(batch, features=self._audio.prepare(batch.require_audio("CLAP")))


def pretrained_clap(folder: Path, bfloat16: bool, audio: bool, text: bool, openvino: bool = False) -> ClapEncoder:
    """Return the towers that are asked for, with the weights of a folder; the text tower is torch's in any case."""
    audio_tower = _audio_tower(folder, Place.of(bfloat16, openvino), projected=True) if audio else None
    return ClapEncoder(audio_tower, TextTower(folder, Place.of(bfloat16)) if text else None)


def pretrained_htsat(folder: Path, bfloat16: bool, openvino: bool = False) -> ClapEncoder:
    """Return the audio tower before the projection, with the weights of a folder."""
    return ClapEncoder(_audio_tower(folder, Place.of(bfloat16, openvino), projected=False), None)


def random_clap(seed: int) -> ClapEncoder:
    """Return the audio tower with random weights, as transformers initialises them before training."""
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapFeatureExtractor

    place = Place.of(bfloat16=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = ClapAudioModelWithProjection(ClapAudioConfig())
    front_end = ClapFrontEnd(ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50))
    return ClapEncoder(AudioTower(model.to(place.device).eval(), front_end, place, projected=True), None)


def _audio_tower(folder: Path, place: Place, projected: bool) -> AudioTower:
    from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor

    extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
    model = load_model(ClapAudioModelWithProjection, folder, place, unused=_NOT_AUDIO)
    return AudioTower(model, ClapFrontEnd(extractor), place, projected)
