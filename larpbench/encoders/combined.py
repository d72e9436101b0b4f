"""Several encoders side by side: ``A+B``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.vectors import unit_rows

_ROWS = 8_192


def combine(parts: Sequence[EncoderSpec]) -> EncoderSpec:
    """Return the encoder that is several others side by side.

    Each part's vector is brought to length 1 and then divided by the square root of their number: an inner product of
    two tracks is the mean of the parts' cosines, so no part dominates by its length or scale.
    """
    cards = [each.card for each in parts]
    names = [each.identity for each in parts]
    adapters, unverified = any(card.original for card in cards), any(card.unverified for card in cards)
    dims = [card.dim for card in cards]
    counts = [card.parameters for card in cards if card.parameters is not None]
    card = EncoderCard(
        name="+".join(names),
        version=1,
        summary=f"{', '.join(names[:-1])} and {names[-1]} side by side",
        modalities=tuple(each for each in ("audio", "text") if any(each in card.modalities for card in cards)),
        dim=sum(dim for dim in dims if dim) if all(dims) else None,
        pooling="each part scaled to the same length, side by side",
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
    return EncoderSpec(card, factory=build_combined, inputs=tuple(parts), combined=True)


def side_by_side(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Return (n, sum of lengths) float32: rows of each block scaled to length 1 / sqrt(number of blocks), or zero.

    Args:
        blocks: (n, dim) float32 each.
    """
    joined = np.empty((len(blocks[0]), sum(block.shape[1] for block in blocks)), dtype=np.float32)
    for start in range(0, len(joined), _ROWS):  # a copy of all rows in float64 may be too large
        rows = [block[start : start + _ROWS].astype(np.float64) for block in blocks]
        joined[start : start + _ROWS] = np.concatenate([unit_rows(each) / np.sqrt(len(rows)) for each in rows], axis=1)
    return joined


class CombinedEncoder:
    """Puts its inputs side by side."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, sum of the parts' lengths) float32; a part that is all zero stays so."""
        return side_by_side(batch.inputs)


def build_combined(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of any combination: what it combines comes with each batch."""
    return CombinedEncoder()


def _joined(names: Sequence[str], facts: Sequence[str | None]) -> str:
    """Return the facts of all parts as one text; a fact that is the same for all stands once."""
    if len(set(facts)) == 1:
        return facts[0] or "none"
    return "; ".join(f"{name}: {fact or 'none'}" for name, fact in zip(names, facts, strict=True))
