"""Spectrograms as an encoder, so that the store keeps them for training; readable without torch."""

from __future__ import annotations

import numpy as np

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.towers.settings import MelSettings


class LogMelEncoder:
    """Spectrograms of clips, laid out as rows so that the store keeps them: decoding is paid for once, not every epoch.

    Args:
        settings: Of the spectrograms.
    """

    def __init__(self, settings: MelSettings) -> None:
        self._settings = settings

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, windows * frames * n_mels) float32."""
        from larpbench.encoders.towers.inputs import log_mels

        return log_mels(batch, self._settings).flatten(1).numpy()


class _LogMelFactory:
    """Builds the encoder in whichever process it is asked for."""

    def __init__(self, settings: MelSettings) -> None:
        self._settings = settings

    def __call__(self, context: EncodeContext, argument: str | None) -> LogMelEncoder:
        return LogMelEncoder(self._settings)


def log_mel_spec(settings: MelSettings) -> EncoderSpec:
    """Return the spec under which the store keeps spectrograms; its settings are part of its name and so of its key."""
    name = f"log-mel-{settings.sample_rate}-{settings.n_fft}-{settings.hop}-{settings.n_mels}"
    return EncoderSpec(
        EncoderCard(
            name=f"{name}-{settings.f_min:g}-{settings.f_max:g}-{settings.window_s:g}",
            version=1,
            summary="log-mel spectrograms, for training only",
            modalities=("audio",),
            dim=None,
            sample_rate=settings.sample_rate,
            weights="none",
            licence="Apache-2.0",
            process_per_core=True,
            large=True,
            tracks_per_second=40,
        ),
        factory=_LogMelFactory(settings),
    )
