"""The audio tower: HTS-AT (Chen et al. 2022), a Swin transformer on a spectrogram folded into a square."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from larpbench.encoders.towers.front_end import SpecAugment
from larpbench.encoders.towers.settings import SwinSettings
from larpbench.errors import EmbeddingError, UsageError
from larpbench.training.ranks import ALONE, Ranks

PATCH = 4
"""Side and stride of the square patches, in pixels of the image."""
_INITIAL_STD = 0.02
_LEAST_VARIANCE = 1e-3  # dB squared: a band that is silent everywhere


def in_chunks(run: Callable[..., Tensor], chunk: int | None, *inputs: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Return ``run(*inputs)``, computed `chunk` rows at a time, and a part of the rows by each of several processes.

    With gradients on, each chunk's activations are dropped and computed again on the way back, with the same random
    draws: those of only one chunk are in memory at once.

    Args:
        run: Treats rows independently.
        chunk: Rows at once; None for all, without recomputation.
        *inputs: (n, ...) each.
        ranks: The processes.
    """
    if ranks.count > 1:
        return ranks.by_rows(partial(in_chunks, run, chunk), inputs, whole_draws=chunk is None)
    if chunk is None:
        return run(*inputs)
    parts = zip(*(torch.split(each, chunk) for each in inputs), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([run(*part) for part in parts])
    outputs = [checkpoint(run, *part, use_reentrant=False, preserve_rng_state=True) for part in parts]
    return torch.cat(outputs)


class AudioTower(nn.Module):
    """Log-mel spectrograms to vectors.

    Normalisation over the mel bands and SpecAugment see the whole batch; what follows can run in chunks. (Statistics
    of chunks instead of the batch would give another gradient.)

    Args:
        settings: Shape. Weights are random, as those of the paper's code are.

    Attributes:
        width: Length of the vectors.
        chunk: Spectrograms whose activations are in memory at once; None for all of a batch.
        ranks: The processes that share the rows of a batch.

    Raises:
        UsageError: If the shape is impossible.
    """

    def __init__(self, settings: SwinSettings) -> None:
        from transformers import ClapAudioConfig, ClapAudioModel

        _check(settings)
        super().__init__()
        self.settings = settings
        self.width = settings.width * 2 ** (len(settings.depths) - 1)
        self.chunk: int | None = None
        self.ranks = ALONE
        self.longest = settings.spec_size * (settings.spec_size // settings.mel.n_mels)
        """Frames that fit into the image."""
        self.norm = nn.BatchNorm2d(settings.mel.n_mels)
        self.augment = SpecAugment()
        config = ClapAudioConfig(
            window_size=settings.window,
            num_mel_bins=settings.mel.n_mels,
            spec_size=settings.spec_size,
            patch_size=PATCH,
            patch_stride=[PATCH, PATCH],
            patch_embeds_hidden_size=settings.width,
            hidden_size=self.width,
            depths=list(settings.depths),
            num_attention_heads=list(settings.heads),
            num_hidden_layers=len(settings.depths),
            enable_fusion=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            drop_path_rate=0.0,
        )
        encoder: Any = ClapAudioModel(config).audio_encoder
        encoder.batch_norm = nn.Identity()  # `self.norm` in its place
        self.swin = encoder
        _set_drop_path(self.swin, settings.drop_path)
        self.swin.apply(_initialise)

    def forward(self, log_mels: Tensor) -> Tensor:
        """Return (n, width): the mean over the image's tokens.

        Args:
            log_mels: (n, frames, n_mels) float32 in dB. Fewer frames than the image holds are stretched.

        Raises:
            EmbeddingError: If there are more frames than the image holds, or other bands.
        """
        _, frames, bands = log_mels.shape
        if frames > self.longest or bands != self.norm.num_features:
            raise EmbeddingError(
                f"the audio tower cannot take {frames} frames of {bands} mel bands",
                allowed=f"at most {self.longest} frames of {self.norm.num_features} bands",
                next_step="cut longer clips into windows first",
            )
        normalised = self.norm(log_mels.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        return in_chunks(self._encode, self.chunk, self.augment(normalised), ranks=self.ranks)

    def set_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Set what the normalisation of the mel bands uses in eval mode, (n_mels,) each; it moves on in train mode."""
        self.norm.load_state_dict(
            {**self.norm.state_dict(), "running_mean": mean, "running_var": variance.clamp(min=_LEAST_VARIANCE)}
        )

    def _encode(self, images: Tensor) -> Tensor:
        return self.swin(images[:, None]).pooler_output


def _check(settings: SwinSettings) -> None:
    """Refuse shapes that the tower cannot have."""
    stages, mels = len(settings.depths), settings.mel.n_mels
    last = settings.spec_size / PATCH / 2 ** (stages - 1)
    if len(settings.heads) != stages or min(settings.depths, default=0) < 1:
        raise UsageError(
            f"an audio tower of depths {settings.depths} cannot have heads {settings.heads}",
            allowed="one number of heads for each stage, and at least one block in each",
        )
    if any(settings.width * 2**stage % heads for stage, heads in enumerate(settings.heads)):
        raise UsageError(
            f"the widths of the audio tower's stages are no multiples of their heads {settings.heads}",
            allowed=", ".join(str(settings.width * 2**stage) for stage in range(stages)) + " divisible by them",
        )
    if not last.is_integer() or last < settings.window:
        raise UsageError(
            f"an image of side {settings.spec_size} leaves {last:g} patches a side to the last of {stages} stages",
            allowed=f"a whole number, not below the window, {settings.window}",
            next_step="take a larger spec_size, a smaller window or fewer stages",
        )
    if settings.spec_size % mels or settings.spec_size // mels > last:
        raise UsageError(
            f"{mels} mel bands do not fold into an image of side {settings.spec_size}",
            allowed=f"a divisor of {settings.spec_size}, not below {settings.spec_size / last:g}",
        )


class DropPath(nn.Module):
    """Leaves out a residual branch of a random share of the rows, in train mode only."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch, of the same shape; what is kept grows so that its mean stays."""
        if not self.training or self.rate == 0:
            return branch
        kept = torch.rand(len(branch), *(1 for _ in branch.shape[1:]), device=branch.device) >= self.rate
        return branch * (kept / (1 - self.rate)).to(branch.dtype)


def _set_drop_path(swin: nn.Module, most: float) -> None:
    """Let the rate grow from 0 to `most` over the blocks, on both branches: transformers knows the first only."""
    blocks: list[Any] = [block for layer in swin.layers for block in layer.blocks]  # type: ignore[union-attr]
    for number, block in enumerate(blocks):
        rate = most * number / max(len(blocks) - 1, 1)
        block.drop_path = DropPath(rate)
        block.output.dropout = DropPath(rate)  # the last step of the second branch


def _initialise(module: nn.Module) -> None:
    """Draw the initial weights of one layer as the published code does."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_INITIAL_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        module.reset_parameters()
    table = getattr(module, "relative_position_bias_table", None)
    if isinstance(table, nn.Parameter):
        nn.init.trunc_normal_(table, std=_INITIAL_STD)
