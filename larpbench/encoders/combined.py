"""Several encoders side by side: ``A+B``, and with weights ``A+0.5*B``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec, sum_of
from larpbench.vectors import unit_rows

_ROWS = 8_192
_POOLING = "each part scaled to the same length, side by side"


def combine(parts: Sequence[EncoderSpec], weights: Sequence[float] | None = None) -> EncoderSpec:
    """Return the encoder that is several others side by side.

    Each part's vector is brought to length 1 and then multiplied by the square root of its share of the weights: an
    inner product of two tracks is the weighted mean of the parts' cosines, so no part dominates by its length or scale.

    Args:
        parts: Two encoders or more.
        weights: One a part, above 0; None: all the same.
    """
    cards = [each.card for each in parts]
    names = [each.identity for each in parts]
    weights = tuple(weights or (1.0 for _ in parts))
    adapters, unverified = any(card.original for card in cards), any(card.unverified for card in cards)
    dims = [card.dim for card in cards]
    counts = [card.parameters for card in cards if card.parameters is not None]
    card = EncoderCard(
        name=sum_of(names, weights),
        version=1,
        summary=f"{', '.join(names[:-1])} and {names[-1]} side by side",
        modalities=tuple(each for each in ("audio", "text") if any(each in card.modalities for card in cards)),
        dim=sum(dim for dim in dims if dim) if all(dims) else None,
        pooling=_POOLING if len(set(weights)) == 1 else f"{_POOLING}, lengths by weight",
        weights=_joined(names, [card.weights for card in cards]),
        licence=_joined(names, [card.licence for card in cards]),
        training_data=_joined(names, [card.training_data for card in cards]),
        overlaps=tuple(dict.fromkeys(name for card in cards for name in card.overlaps)),
        original=_joined(names, [card.original for card in cards]) if adapters else None,
        verification=_joined(names, [card.verification for card in cards]) if adapters and not unverified else None,
        revision=_joined(names, [each.revision for each in parts]) if any(each.revision for each in parts) else None,
        parameters=sum(counts) if len(counts) == len(cards) else None,
        stochastic=any(card.stochastic for card in cards),
        control=any(card.control for card in cards),
        tracks_per_second=1 / sum(1 / card.tracks_per_second for card in cards),
    )
    factory = partial(build_combined, weights=weights)
    return EncoderSpec(card, factory=factory, inputs=tuple(parts), combined=True, weights_of_inputs=weights)


def side_by_side(blocks: Sequence[np.ndarray], weights: Sequence[float] = ()) -> np.ndarray:
    """Return (n, sum of lengths) float32: rows of each block scaled to the root of its share of the weights, or zero.

    Args:
        blocks: (n, dim) float32 each.
        weights: One a block; empty: all the same.
    """
    weights = weights or [1.0] * len(blocks)
    divisors = np.sqrt(sum(weights) / np.array(weights))
    joined = np.empty((len(blocks[0]), sum(block.shape[1] for block in blocks)), dtype=np.float32)
    for start in range(0, len(joined), _ROWS):  # a copy of all rows in float64 may be too large
        rows = [block[start : start + _ROWS].astype(np.float64) for block in blocks]
        scaled = [unit_rows(each) / divisor for each, divisor in zip(rows, divisors, strict=True)]
        joined[start : start + _ROWS] = np.concatenate(scaled, axis=1)
    return joined


class CombinedEncoder:
    """Puts its inputs side by side.

    Args:
        weights: One an input; empty: all the same.
    """

    def __init__(self, weights: Sequence[float] = ()) -> None:
        self._weights = weights

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, sum of the parts' lengths) float32; a part that is all zero stays so."""
        return side_by_side(batch.inputs, self._weights)


def build_combined(context: EncodeContext, argument: str | None, weights: Sequence[float] = ()) -> Encoder:
    """Return the encoder of any combination: what it combines comes with each batch."""
    return CombinedEncoder(weights)


def _joined(names: Sequence[str], facts: Sequence[str | None]) -> str:
    """Return the facts of all parts as one text; a fact that is the same for all stands once."""
    if len(set(facts)) == 1:
        return facts[0] or "none"
    return "; ".join(f"{name}: {fact or 'none'}" for name, fact in zip(names, facts, strict=True))
