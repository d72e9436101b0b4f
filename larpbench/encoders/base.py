"""Earlier address of the classes that plug-ins import; kept for one version."""

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import (
    EncodeContext,
    Encoder,
    FitContext,
    FittedEncoder,
    Rows,
    TrackBatch,
    TrainableEncoder,
)
from larpbench.encoders.spec import EncoderSpec, Status, Training

__all__ = [
    "EncodeContext",
    "Encoder",
    "EncoderCard",
    "EncoderSpec",
    "FitContext",
    "FittedEncoder",
    "Rows",
    "Status",
    "TrackBatch",
    "TrainableEncoder",
    "Training",
]
