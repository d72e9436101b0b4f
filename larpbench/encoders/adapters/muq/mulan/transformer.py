"""The transformer of MuQ-MuLan: no positions, no biases, queries and keys of length 1 with learned scales.

Its tensors have the names of the published checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_SHARPNESS = 8.0  # of attention, in place of one over the root of a head's width


@dataclass(frozen=True)
class Sizes:
    """Sizes of the transformer, by the names of the configuration.

    Attributes:
        dim: Width of the states.
        tf_depth: Number of layers; none is possible.
        heads: Heads of attention.
        dim_head: Width of one.
        ff_mult: The inner width of a gated layer is two thirds of this many times `dim`.
    """

    dim: int
    tf_depth: int
    heads: int
    dim_head: int
    ff_mult: int


class Transformer(nn.Module):
    """Layers of attention and of a gated linear unit, each added to what it reads.

    Args:
        sizes: Of its tensors.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([_Attention(sizes), _gated(sizes)]) for _ in range(sizes.tf_depth))

    def forward(self, states: Tensor) -> Tensor:
        """Return (n, length, dim) of the same."""
        for layer in self.layers:
            attention, gated = cast("nn.ModuleList", layer)
            states = states + attention(states)
            states = states + gated(states)
        return states


class _Norm(nn.Module):
    """Normalisation over the states' numbers, with a scale and without a bias."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.learned_gamma = nn.Parameter(torch.ones(dim))

    def forward(self, states: Tensor) -> Tensor:
        return functional.layer_norm(states, self.learned_gamma.shape, self.learned_gamma)


class _Attention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self._heads, inner = sizes.heads, sizes.heads * sizes.dim_head
        self.norm = _Norm(sizes.dim)
        self.to_q = nn.Linear(sizes.dim, inner, bias=False)
        self.to_kv = nn.Linear(sizes.dim, 2 * inner, bias=False)
        self.q_scale, self.k_scale = (nn.Parameter(torch.ones(sizes.dim_head)) for _ in range(2))
        self.to_out = nn.ModuleList([nn.Linear(inner, sizes.dim, bias=False)])

    def forward(self, states: Tensor) -> Tensor:
        states = self.norm(states)
        both = torch.cat([self.to_q(states), self.to_kv(states)], dim=2)
        queries, keys, values = both.reshape(*both.shape[:2], 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(
            functional.normalize(queries, dim=-1) * self.q_scale,
            functional.normalize(keys, dim=-1) * self.k_scale,
            values,
            scale=_SHARPNESS,
        )
        merged: Tensor = self.to_out[0](found.transpose(1, 2).flatten(2))
        return merged


class _Gate(nn.Module):
    """The first half of the numbers, times GELU of the second."""

    def forward(self, states: Tensor) -> Tensor:
        first, second = states.tensor_split(2, dim=-1)
        return first * functional.gelu(second)


def _gated(sizes: Sizes) -> nn.Sequential:
    inner = int(sizes.dim * sizes.ff_mult * 2 / 3)
    up, down = nn.Linear(sizes.dim, 2 * inner, bias=False), nn.Linear(inner, sizes.dim, bias=False)
    return nn.Sequential(_Norm(sizes.dim), up, _Gate(), nn.Identity(), down)  # the fourth is dropout in training
