"""The encoder ``centred:ENCODER``: another's vectors minus the mean of the train tracks, scaled to length 1.

Nothing is encoded or stored a second time: the store centres what it keeps of the other encoder.
"""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import get_inner
from larpbench.encoders.spec import CENTRED as PREFIX
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import UsageError


def centre(spec: EncoderSpec) -> EncoderSpec:
    """Return an encoder with its vectors centred on the train tracks."""
    card = spec.card.model_copy(update={"summary": f"{spec.card.summary}, centred on the train tracks"})
    return replace(spec, card=card, centred=True)


def bind_centred(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder that is named, centred.

    Raises:
        UnknownNameError: If there is no such encoder.
        UsageError: If it has a label, or is centred already.
    """
    named = get_inner(PREFIX, argument)
    if named.centred:
        raise UsageError("an encoder is centred once", where=f"{PREFIX}:{argument}", allowed=argument)
    return centre(named)


def build_centred(context: EncodeContext, argument: str | None) -> Encoder:
    """Refuse: only another encoder's vectors can be centred.

    Raises:
        UsageError: Always.
    """
    raise UsageError(f"{PREFIX} stands before the name of an encoder", allowed=f"{PREFIX}:ENCODER")


CENTRED = EncoderSpec(
    EncoderCard(
        name=PREFIX,
        version=1,
        summary="another encoder less the mean of train",
        modalities=(),
        dim=None,
        weights="those of the encoder",
        licence="that of the encoder",
        tracks_per_second=1_000_000,
    ),
    factory=build_centred,
    takes="ENCODER",
    binder=bind_centred,
)
