"""The encoder ``shuffled:ENCODER``: another's vectors, given to the wrong tracks. A control.

Within each split the vectors are permuted, by another permutation for each seed. Nothing is encoded a second time: the
store permutes what it keeps of the other encoder, which runs with seed 0.

One permutation is shared by everybody who is asked: where lists of different listeners have much in common, a single
permutation is no test of chance, and its score is far from chance more often than the number of listeners suggests. So
a run has 20 permutations at least, and its mean and interval are over them.
"""

from __future__ import annotations

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import get_inner
from larpbench.encoders.spec import SHUFFLED as PREFIX
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import UsageError


def shuffle(spec: EncoderSpec) -> EncoderSpec:
    """Return an encoder with its vectors permuted within each split."""
    card = spec.card.model_copy(
        update={
            "name": f"{PREFIX}:{spec.grouped}",
            "summary": f"control: {spec.identity} with its vectors permuted within each split",
            "stochastic": True,
            "control": True,
            "revision": spec.revision,
        }
    )
    return EncoderSpec(card, factory=build_shuffled, inputs=(spec,), combined=True, shuffled=True)


def bind_shuffled(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder that is named, shuffled.

    Raises:
        UnknownNameError: If there is no such encoder.
        UsageError: If it has a label, or is shuffled already.
    """
    named = get_inner(PREFIX, argument)
    if named.shuffled:
        raise UsageError("an encoder is shuffled once", where=f"{PREFIX}:{argument}", allowed=argument)
    return shuffle(named)


def build_shuffled(context: EncodeContext, argument: str | None) -> Encoder:
    """Refuse: only another encoder's vectors can be permuted.

    Raises:
        UsageError: Always.
    """
    raise UsageError(f"{PREFIX} stands before the name of an encoder", allowed=f"{PREFIX}:ENCODER")


SHUFFLED = EncoderSpec(
    EncoderCard(
        name=PREFIX,
        version=1,
        summary="control: another encoder, permuted",
        modalities=(),
        dim=None,
        weights="those of the encoder",
        licence="that of the encoder",
        stochastic=True,
        control=True,
        tracks_per_second=1_000_000,
    ),
    factory=build_shuffled,
    takes="ENCODER",
    binder=bind_shuffled,
)
