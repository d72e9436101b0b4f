"""The views of an invented world: `text-like` and `audio-like` look up the vectors that `demo-large` brings with it.

They stand for a frozen encoder of text and one of audio, so that whatever is trained on two views can be trained on a
data set without sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.precomputed import VectorTable
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest_file_once

NAMES = ("audio-like", "text-like")


def _file(name: str, folder: Path) -> Path:
    """Return where a data set has the vectors of a view.

    Raises:
        MissingPartError: If it has none.
    """
    path = folder / f"{name}.npz"
    if not path.is_file():
        raise MissingPartError(
            f"this data set has no {name} vectors: only invented worlds such as demo-large have them",
            where=str(path),
            next_step=f"leave {name} out of --encoders, or use --dataset demo-large",
        )
    return path


def _spec(name: str, dim: int) -> EncoderSpec:
    def build(context: EncodeContext, argument: str | None) -> Encoder:
        return VectorTable.of_file(_file(name, context.dataset_folder))

    def digest(context: EncodeContext, argument: str | None) -> str:
        return digest_file_once(_file(name, context.dataset_folder))

    def check(argument: str | None, dataset: Dataset, splits: Sequence[SplitName]) -> None:
        _file(name, dataset.folder)

    return EncoderSpec(
        EncoderCard(
            name=name,
            version=1,
            summary=f"{name.removesuffix('-like')} vectors of demo-large",
            modalities=(),
            dim=dim,
            weights="none",
            licence="CC0-1.0",
            parameters=0,
            tracks_per_second=1_000_000,
        ),
        factory=build,
        digest=digest,
        check=check,
        only_by_name=True,
    )


AUDIO_LIKE = _spec("audio-like", 512)
TEXT_LIKE = _spec("text-like", 384)
