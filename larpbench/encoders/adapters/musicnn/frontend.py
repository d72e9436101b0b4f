"""Log-mel spectrograms as musicnn was trained on: librosa's defaults, without librosa.

The published code casts the mel energies to float16 before the logarithm, where loud clips overflow; here everything is
float32, which differs from it by that rounding only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench.encoders.adapters.musicnn.model import MEL_BANDS

SAMPLE_RATE = 16_000
"""Hz."""
N_FFT = 512
HOP = 256
PATCH_FRAMES = 187
"""3 s."""
_FRAMES_AT_ONCE = 8_192
_SLANEY_HZ_PER_MEL = 200 / 3  # below 1 kHz; above, 27 mels to a factor of 6.4


def log_mel(audio: Tensor) -> Tensor:
    """Return log10(1 + 10,000 mel) of clips.

    Frames are centred on multiples of 256 samples, and the clip is padded with zeros.

    Args:
        audio: (n, samples) float32 at 16 kHz, full scale 1.

    Returns:
        (n, 1 + samples // 256, 96) float32.
    """
    frames = functional.pad(audio, (N_FFT // 2, N_FFT // 2)).unfold(1, N_FFT, HOP)
    window = torch.hann_window(N_FFT, device=audio.device)
    filters = torch.from_numpy(mel_filters()).T.to(audio.device)
    blocks = []
    for block in torch.split(frames, max(1, _FRAMES_AT_ONCE // len(audio)), dim=1):
        spectrum = torch.view_as_real(torch.fft.rfft(block * window))
        blocks.append(torch.log10(1 + 10_000 * (spectrum.square().sum(-1) @ filters)))
    return torch.cat(blocks, dim=1)


def patches(mel: Tensor) -> Tensor:
    """Cut spectrograms into patches of 187 frames.

    They stand side by side, as in the published extractor. What is left at the end is dropped if it is shorter than
    half a patch; else a last patch ends with the clip. A clip shorter than a patch is repeated.

    Args:
        mel: (n, frames, 96).

    Returns:
        (n, patches, 187, 96).
    """
    frames = mel.shape[1]
    if frames < PATCH_FRAMES:
        return mel.repeat(1, -(-PATCH_FRAMES // frames), 1)[:, None, :PATCH_FRAMES]
    starts = list(range(0, frames - PATCH_FRAMES + 1, PATCH_FRAMES))
    if frames % PATCH_FRAMES > PATCH_FRAMES // 2:
        starts.append(frames - PATCH_FRAMES)
    return torch.stack([mel[:, start : start + PATCH_FRAMES] for start in starts], dim=1)


def mel_filters() -> np.ndarray:
    """Return (96, 257) float32 triangles of equal area on Slaney's mel scale, 0 to 8,000 Hz."""
    top = _hz_to_mel(SAMPLE_RATE / 2)
    edges = _mel_to_hz(np.linspace(0, top, MEL_BANDS + 2))  # Hz
    bins = np.linspace(0, SAMPLE_RATE / 2, 1 + N_FFT // 2)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (high - low)).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    return hz / _SLANEY_HZ_PER_MEL if hz < 1_000 else 15 + 27 * np.log(hz / 1_000) / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * _SLANEY_HZ_PER_MEL, 1_000 * np.exp((mel - 15) * np.log(6.4) / 27))
