"""From waveforms to what the audio tower sees: windows, log-mel spectrograms, and stripes blanked while training."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.compiled import first_use
from larpbench.encoders.towers.settings import MelSettings

_FLOOR = 1e-10  # of the power: silence is -100 dB
_CLIPS_AT_ONCE = 16  # bounds the memory of the complex spectrum: 66 MB for clips of 10 s
_TIME_STRIPE = 63 / 1_001  # widest stripe as a share of the frames, and below of the bands, of the paper's spectrogram
_BAND_STRIPE = 7 / 64
_STRIPES = 2


def windows(waveforms: Tensor, settings: MelSettings) -> Tensor:
    """Cut clips into windows of equal length; the last one ends with the clip.

    Args:
        waveforms: (n, samples) float32 at `settings.sample_rate`.
        settings: Its `window_s` is the length of a window in seconds.

    Returns:
        (n, windows, samples). A clip no longer than a window is its only window, whole: it is not padded.
    """
    samples, length = waveforms.shape[1], round(settings.window_s * settings.sample_rate)
    if samples <= length:
        return waveforms[:, None]
    starts = [*range(0, samples - length, length), samples - length]
    return torch.stack([waveforms[:, start : start + length] for start in starts], dim=1)


def log_mel(waveforms: Tensor, settings: MelSettings) -> Tensor:
    """Return log-mel power spectrograms in dB, not below -100.

    Frames are centred on multiples of the hop, and the clip is mirrored at its ends.

    Args:
        waveforms: (n, samples) float32 at `settings.sample_rate`, full scale 1.
        settings: Resolution and bands.

    Returns:
        (n, 1 + samples // hop, n_mels) float32.
    """
    half = settings.n_fft // 2
    if waveforms.shape[1] <= half:  # too short to be mirrored
        waveforms = functional.pad(waveforms, (0, half + 1 - waveforms.shape[1]))
    window = torch.hann_window(settings.n_fft, device=waveforms.device)
    filters = _filters(settings).to(waveforms.device)
    blocks = []
    for block in torch.split(waveforms, _CLIPS_AT_ONCE):
        spectrum = torch.stft(
            block, settings.n_fft, settings.hop, window=window, center=True, pad_mode="reflect", return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        blocks.append(10 * (power.transpose(1, 2) @ filters).clamp(min=_FLOOR).log10())
    return torch.cat(blocks)


@functools.lru_cache(maxsize=8)
def _filters(settings: MelSettings) -> Tensor:
    """Return (bins, n_mels) float32 triangles of equal area on Slaney's mel scale."""
    with first_use("librosa.filters"):  # importing it compiles
        from librosa.filters import mel

    banks = mel(
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        n_mels=settings.n_mels,
        fmin=settings.f_min,
        fmax=settings.f_max,
        htk=False,
        norm="slaney",
    )
    return torch.from_numpy(banks.T.copy())


class SpecAugment(nn.Module):
    """Sets two stripes of frames and two of bands to 0 in each spectrogram, in train mode only (Park et al. 2019).

    A stripe is at most 63 of 1,001 frames or 7 of 64 bands wide, and in proportion where there are fewer. The draws
    come from torch's generator of the CPU, whatever the device: restoring its state repeats them.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, frames, n_mels), the shape of `images`."""
        if not self.training:
            return images
        n, frames, bands = images.shape
        blank = _stripes(n, frames, round(_TIME_STRIPE * frames))[:, :, None]
        blank = blank | _stripes(n, bands, round(_BAND_STRIPE * bands))[:, None, :]
        return images.masked_fill(blank.to(images.device), 0.0)


def _stripes(n: int, length: int, widest: int) -> Tensor:
    """Return (n, length) bool, true inside two stripes of 0 to `widest`, which may overlap."""
    width = torch.randint(widest + 1, (n, _STRIPES, 1))
    start = (torch.rand(n, _STRIPES, 1) * (length - width + 1)).long()
    position = torch.arange(length)
    return ((position >= start) & (position < start + width)).any(dim=1)
