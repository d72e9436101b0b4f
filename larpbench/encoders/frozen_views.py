"""Frozen views, and what is learnt beside them: shared by the encoders that keep the vectors they build upon.

Views are frozen encoders, each centred on the train tracks and of length 1. The vector of a track is
[views side by side; w times what was learnt], with w chosen on the valid playlists; w = 0 is the frozen views alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.card import VIEWS, View
from larpbench.encoders.centred import centre
from larpbench.encoders.combined import side_by_side
from larpbench.encoders.encoder import Rows
from larpbench.encoders.names import get_encoder
from larpbench.encoders.spec import CENTRED, EncoderSpec
from larpbench.errors import MissingPartError, UsageError

if TYPE_CHECKING:
    from larpbench.evaluation.selection import Choice

DEFAULT_VIEWS = ("handcrafted", "tfidf")
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Of what was learnt beside the frozen views; an earlier one is preferred."""


def frozen_views(owner: str, names: Sequence[str]) -> tuple[EncoderSpec, ...]:
    """Return the views, each centred on the train tracks.

    Args:
        owner: Name of the encoder that builds upon them, for messages.
        names: Names of frozen encoders.

    Raises:
        UnknownNameError: If a view is no encoder.
        UsageError: If a view is trained on playlists, there twice, several encoders, or an object without a key.
    """
    inputs = tuple(_view(owner, each) for each in names)
    named = view_names(inputs)
    if len(set(named)) < len(named):
        raise UsageError(f"a view is there twice: {'+'.join(named)}", allowed="each view once")
    return inputs


def view_names(inputs: Sequence[EncoderSpec]) -> tuple[str, ...]:
    """Return the names of views, without the word that says that they are centred, and without folders of files."""
    return tuple(each.identity.removeprefix(f"{CENTRED}:") for each in inputs)


def modalities_of(inputs: Sequence[EncoderSpec]) -> tuple[View, ...]:
    """Return what the views read, audio first."""
    return tuple(view for view in VIEWS if any(view in each.card.modalities for each in inputs))


def require_audio_for_default(owner: str) -> Callable[[str | None, Dataset, Sequence[SplitName]], None]:
    """Return a check of an encoder over `DEFAULT_VIEWS`: without audio it names what can be done."""

    def check(argument: str | None, dataset: Dataset, splits: Sequence[SplitName]) -> None:
        if dataset.audio is None:
            raise MissingPartError(
                f"encoder {owner!r} builds on {' and '.join(DEFAULT_VIEWS)} and needs audio, and the data set "
                f"{dataset.name!r} has none",
                next_step=f"name other views, such as {owner}:tfidf",
            )

    return check


def frozen_vectors(views: Sequence[Rows]) -> np.ndarray:
    """Return views side by side, (n, sum of their lengths) float32, each row of length 1.

    Args:
        views: Vectors of the same n tracks, centred and of length 1.
    """
    blocks = in_memory(views)
    return blocks[0] if len(blocks) == 1 else side_by_side(blocks)


def in_memory(views: Sequence[Rows]) -> list[np.ndarray]:
    """Return all rows of each view, (n, dim) float32."""
    return [rows if isinstance(rows, np.ndarray) else rows[np.arange(len(rows))] for rows in views]


def beside(frozen: np.ndarray, learnt: np.ndarray, weight: float) -> np.ndarray:
    """Return [frozen; weight * learnt], (n, dim + k) float32; the frozen vectors alone where the weight is 0."""
    return np.concatenate([frozen, np.float32(weight) * learnt], axis=1) if weight else frozen


def listed(name: str, values: Sequence[float], choice: Choice) -> list[dict[str, float]]:
    """Return what a record says of candidates: recall@10, how far below the best, and the error of that."""
    return [
        {name: value, "recall@10": mean, "below_best": below, "standard_error": error}
        for value, mean, below, error in zip(values, choice.means, choice.below_best, choice.errors, strict=True)
    ]


def _view(owner: str, name: str) -> EncoderSpec:
    spec = get_encoder(name)
    if spec.combined or spec.label is not None:
        raise UsageError(f"{name!r} is no view", allowed="the name of one encoder, without a label")
    if spec.training or spec.trained_on:
        raise UsageError(
            f"the view {name!r} is trained on playlists",
            where=f"{owner}:{name}",
            allowed="frozen encoders, such as tfidf",
        )
    if spec.unkeyed:
        raise UsageError(
            f"the view {name!r} is an object in memory: nothing tells its vectors apart from those of another one",
            where=f"{owner}:{name}",
            allowed="an object with cache_key=..",
        )
    return spec if spec.centred else centre(spec)
