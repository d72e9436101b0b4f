"""The log-mel spectrogram that MuQ and MusicFM read: 100 frames a second, 128 bands of the HTK mel scale, in dB."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

SAMPLE_RATE = 24_000
"""Hz."""
BANDS = 128
HOP = 240
"""Samples."""
N_FFT = 2_048
_FLOOR = 1e-10  # of the power: silence is -100 dB


def log_mel(audio: Tensor) -> Tensor:
    """Return log-mel power spectrograms in dB.

    Frames are centred on multiples of the hop, and the clip is mirrored at its ends. The last frame is dropped, as in
    training, so that 30 s are 3,000 frames.

    Args:
        audio: (n, samples) float32 at 24 kHz, full scale 1; more than 1,024 samples.

    Returns:
        (n, 128, samples // 240) float32.
    """
    window = torch.hann_window(N_FFT, device=audio.device)
    spectrum = torch.stft(audio, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = torch.view_as_real(spectrum[..., :-1]).square().sum(dim=-1)
    return 10 * (mel_filters().to(audio.device) @ power).clamp(min=_FLOOR).log10()


@functools.cache
def mel_filters() -> Tensor:
    """Return (128, 1025) float32 triangles of height 1 on the HTK mel scale, 0 to 12 kHz."""
    from transformers.audio_utils import mel_filter_bank

    banks = mel_filter_bank(
        num_frequency_bins=1 + N_FFT // 2,
        num_mel_filters=BANDS,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm=None,
        mel_scale="htk",
    )
    return torch.from_numpy(banks.T.copy()).float()
