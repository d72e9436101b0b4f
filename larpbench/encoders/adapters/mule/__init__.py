"""MULE (McCallum et al. 2022): an NFNet that was trained to tell which windows are of the same recording.

The package ``mule-torch`` ports the published network to torch. Its code is GPL-3.0, its weights are CC-BY-NC-4.0: an
optional import, nothing of it is part of larpbench.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.encoders.adapters.mule.reference import REFERENCE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import Weights
from larpbench.errors import DataError
from larpbench.runtime import torch_device

SAMPLE_RATE = 16_000
"""Hz."""
DIM = 1_728
_LEVEL = 0.5  # MULE was trained on 16-bit samples over 2**16, half of what a decoder gives
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_FILTERS = "frontend.mel_fb"
_COMPUTED = "frontend.stft.*"  # the same in every model, and not in every file
_SHORTEST = 2_048  # samples of one spectrum, of which both ends are mirrored


class MuleEncoder:
    """Mean over windows of 3 s, one every 2 s, of the network's 1,728 numbers.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
        device: Where to compute, as torch names it.

    Raises:
        DataError: If the weights are not exactly those of the network.
    """

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from mule_torch import MuleModel
        from mule_torch.config import MuleConfig

        from larpbench.training.tensors import read_tensors

        path = folder / _WEIGHTS
        try:
            config = MuleConfig.from_dict(json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"this is no configuration of MULE: {error}", where=str(folder / _CONFIG)) from error
        state = read_tensors(path)
        filters = state.get(_FILTERS)  # without them, the package would compute them with librosa
        shape = (config.n_mels, config.n_freqs)
        fitting = filters if filters is not None and filters.shape == shape else torch.zeros(shape)
        model = MuleModel(config, mel_fb=fitting)
        facts = facts_of(state)
        require_tensors(facts, facts_of(model.state_dict()), "MULE", path, optional=(_COMPUTED,))
        say_casts(facts, path)
        model.load_state_dict(state, strict=False)
        self._model = model.to(device).eval()
        self._device = device

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 1728) float32 of `batch.audio`, (n, samples) float32 at 16 kHz.

        Clips that are shorter than one window are mirrored at their end by the package.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        import torch

        audio = batch.require_audio("mule")
        vectors = np.empty((len(batch), self._model.embedding_dim), dtype=np.float32)
        with torch.inference_mode():
            for row, clip in enumerate(audio):
                wave = np.resize(clip, max(len(clip), _SHORTEST)) * np.float32(_LEVEL)
                vectors[row] = self._model(torch.from_numpy(wave)[None].to(self._device))[0].cpu().numpy()
        return vectors


def build_mule(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the fetched weights."""
    return MuleEncoder(context.weights_folder, torch_device())


MULE = EncoderSpec(
    EncoderCard(
        name="mule",
        version=1,
        summary="MULE (McCallum et al. 2022)",
        modalities=("audio",),
        dim=1_728,
        sample_rate=16_000,
        window_s=3.0,
        pooling="mean over windows of 3 s, one every 2 s",
        weights="pretrained: matteospanio/mule (converted from the published ones)",
        licence="GPL-3.0, CC-BY-NC-4.0",
        training_data="Musicset (SiriusXM and Pandora): music, audio only",
        paper="McCallum et al. 2022, Supervised and Unsupervised Learning of Audio Representations for Music "
        "Understanding",
        original="mule-torch 0.2.0",
        verification="the package called literally, random weights, narrow and of true shape: 6e-8 of a vector's "
        "length",
        parameters=62_345_742,
        citation=("mccallum2022mule",),
        tracks_per_second=1.0,
    ),
    factory=build_mule,
    reference=REFERENCE,
    requires=("mule_torch",),
    extra="mule",
    weights=Weights(
        "mule",
        licence="CC-BY-NC-4.0",
        size=267_000_000,
        repo="matteospanio/mule",
        required=(_CONFIG, _WEIGHTS),
        besides=(),
        elsewhere=("$MULE_TORCH_DIR",),
    ),
)
