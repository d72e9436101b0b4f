"""What LARP has to beat: frozen vectors, and `factors`, which adds to them in closed form what playlists tell."""

from __future__ import annotations

from dataclasses import dataclass

from larpbench.datasets.schema import Dataset
from larpbench.encoders.factors.settings import DEFAULT_VIEWS
from larpbench.encoders.factors.specs import NAME
from larpbench.encoders.names import get_encoder
from larpbench.encoders.spec import CENTRED
from larpbench.errors import MissingPartError
from larpbench.reproduction.request import Evaluation

_VIEWS = (DEFAULT_VIEWS, ("text-like", "audio-like"), ("tfidf",))
"""Of sound and captions, of an invented world that has vectors instead of sound, of captions alone."""


@dataclass(frozen=True)
class Yardstick:
    """Names of encoders.

    Attributes:
        frozen: Frozen views side by side, each centred on train.
        factors: The same, beside their prediction of the playlists' factors.
    """

    frozen: str
    factors: str

    @property
    def rows(self) -> dict[str, None]:
        """Both, as rows for which the papers print no numbers."""
        return {self.frozen: None, self.factors: None}

    def on_valid(self, found: Evaluation) -> dict[str, float]:
        """Return recall@10 of the valid playlists, by which `factors` has been chosen; nothing if it was not run."""
        trainings = found.trainings(self.factors) if self.factors in found.identities else []
        return {
            name: each["valid"][key]
            for each in trainings
            for name, key in ((self.frozen, "frozen"), (self.factors, "best"))
        }


def yardstick(dataset: Dataset, trained_on: str | None = None) -> Yardstick:
    """Return the rows that stand beside LARP on a data set.

    Args:
        dataset: What is tested: its views are the first of `_VIEWS` that it has.
        trained_on: Name of the data set that `factors` learns from; None: the tested one.
    """
    views = next((views for views in _VIEWS if all(_has(dataset, view) for view in views)), _VIEWS[-1])
    factors = NAME if views == DEFAULT_VIEWS else f"{NAME}:{'+'.join(views)}"
    frozen = "+".join(f"{CENTRED}:{view}" for view in views)
    return Yardstick(frozen, f"{factors}@{trained_on}" if trained_on else factors)


def _has(dataset: Dataset, view: str) -> bool:
    spec = get_encoder(view)
    if spec.reads_audio:
        return dataset.audio is not None
    try:
        spec.require_possible(dataset, ("test",))
    except MissingPartError:
        return False
    return True
