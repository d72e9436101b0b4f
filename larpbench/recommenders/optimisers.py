"""SGD, Adam and sparse Adam: the updates of torch's own, to the bit, without what those do beside them.

The networks of recommenders are so small that the bookkeeping of `torch.optim` (hooks, groups, ranges for profilers)
takes as long as its updates. The parameters of one optimiser lie on one device, and all have a gradient at each step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-8


class _Optimiser:
    """Parameters and how often they were updated."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self._parameters, self._lr, self._steps = [*parameters], lr, 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Give back the gradients."""
        for each in self._parameters:
            each.grad = None

    def _gradients(self) -> list[Tensor]:
        self._steps += 1
        return [cast("Tensor", each.grad) for each in self._parameters]

    def _corrections(self) -> tuple[float, float]:
        """Return by what the two averages of Adam are too small so far (Kingma & Ba 2015, algorithm 1)."""
        return 1 - BETAS[0] ** self._steps, 1 - BETAS[1] ** self._steps


class SGD(_Optimiser):
    """`torch.optim.SGD` with momentum and ``fused=True``."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(parameters, lr)
        self._momentum, self._weight_decay = momentum, weight_decay
        self._velocities = [torch.empty_like(each) for each in self._parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters."""
        gradients = self._gradients()
        torch._fused_sgd_(
            self._parameters,
            gradients,
            self._velocities,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=self._lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=self._steps == 1,
        )


class Adam(_Optimiser):
    """`torch.optim.Adam` with ``foreach=True``."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, lr)
        self._means = [torch.zeros_like(each) for each in self._parameters]
        self._squares = [torch.zeros_like(each) for each in self._parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters."""
        gradients = self._gradients()
        first, second = self._corrections()
        torch._foreach_lerp_(self._means, gradients, 1 - BETAS[0])
        torch._foreach_mul_(self._squares, BETAS[1])
        torch._foreach_addcmul_(self._squares, gradients, gradients, 1 - BETAS[1])
        roots = torch._foreach_sqrt(self._squares)
        torch._foreach_div_(roots, second**0.5)
        torch._foreach_add_(roots, EPS)
        torch._foreach_addcdiv_(self._parameters, self._means, roots, -(self._lr / first))


class SparseAdam(_Optimiser):
    """`torch.optim.SparseAdam`: rows without a gradient stay as they are, and so do their averages."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, lr)
        self._means = [torch.zeros_like(each) for each in self._parameters]
        self._squares = [torch.zeros_like(each) for each in self._parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Update the rows that have a gradient."""
        gradients = self._gradients()
        first, second = self._corrections()
        size = self._lr * math.sqrt(second) / first
        for parameter, gradient, means, squares in zip(
            self._parameters, gradients, self._means, self._squares, strict=True
        ):
            merged = gradient.coalesce()
            rows, values = merged.indices()[0], merged.values()
            mean, square = means[rows], squares[rows]
            mean += (values - mean).mul_(1 - BETAS[0])
            square += values.pow(2).sub_(square).mul_(1 - BETAS[1])
            means[rows], squares[rows] = mean, square
            parameter.index_add_(0, rows, -size * mean.div_(square.sqrt_().add_(EPS)))
