"""Random draws that do not depend on how the rows of a batch are shared out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class of_the_whole_batch(TorchFunctionMode):  # noqa: N801 - used as a function is
    """Inside the block, dropout of some rows of a batch draws for all rows, and keeps the draws of its own.

    Generators are then left as if all rows had been computed. What is meant are `dropout`, dropout in
    `scaled_dot_product_attention`, and `rand`, with rows in the first dimension.

    Args:
        rows: Which rows of the batch are computed.
        total: How many rows the batch has.
    """

    def __init__(self, rows: slice, total: int) -> None:
        super().__init__()
        self._rows, self._own, self._total = rows, rows.stop - rows.start, total

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's
        """Replace what draws."""
        replaced: dict[Any, Callable[..., Any]] = {
            torch.rand: self._rand,
            functional.dropout: self._dropout,
            functional.scaled_dot_product_attention: self._attention,
        }
        return replaced.get(func, func)(*args, **(kwargs or {}))

    def _rand(self, *size: int, **options: Any) -> Tensor:  # noqa: ANN401 - torch's
        return self._kept(torch.rand(self._whole(size[0]), *size[1:], **options))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: A002
        if not training or not p:
            return input
        ones = torch.ones(self._whole(len(input)), *input.shape[1:], dtype=input.dtype, device=input.device)
        return input * self._kept(functional.dropout(ones, p))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if not dropout_p:
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if is_causal or enable_gqa:
            raise NotImplementedError("dropout in causal or grouped attention")
        similarity = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            similarity = similarity.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            similarity = similarity + attn_mask
        return self._dropout(similarity.softmax(dim=-1), dropout_p) @ value

    def _whole(self, own: int) -> int:
        """Return the first dimension with all rows; each may stand there several times, as windows of an image do."""
        return own * self._total // self._own

    def _kept(self, drawn: Tensor) -> Tensor:
        times = len(drawn) // self._total
        return drawn[self._rows.start * times : self._rows.stop * times]
