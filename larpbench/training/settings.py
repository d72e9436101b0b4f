"""What every training has to settle, whatever it trains; readable without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from larpbench.errors import DataError, schema_fault

SETTINGS = "settings.json"
"""File of a checkpoint that says what model its weights are of."""


class Settings(BaseModel):
    """Settings that a checkpoint's key depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoopSettings(Settings):
    """How long, in what steps and at what rate; the defaults are LARP's (section 4.1.3)."""

    batch: int = 50
    """Anchors an update."""
    epochs: int = 45
    """At most; an epoch takes every anchor once."""
    patience: int = 5
    """Epochs after the warm-up without a better validation recall before the training ends; 0: it never ends early."""
    updates: int | None = None
    """In place of `epochs`: so many updates, rounded up to whole epochs."""
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    warm_up: int = 3_000
    """Updates until the full learning rate; at most a tenth of the run's."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the towers; ``bfloat16`` is used where the device gains by it."""

    def anchors_in_all(self, tracks: int) -> int:
        """Return how many anchors a training takes on so many train tracks, if nothing ends it early."""
        return self.updates * self.batch if self.updates else self.epochs * tracks


Kind = TypeVar("Kind", bound=Settings)


def read_from(path: Path, kind: type[Kind]) -> Kind:
    """Return the settings of a model, as `save` of its encoder wrote them.

    Raises:
        DataError: If they are missing, damaged or of another kind.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        problem = "missing" if isinstance(error, OSError) else f"damaged: {schema_fault(error)}"
        raise DataError(
            f"the settings of a model are {problem}",
            where=str(path),
            allowed="a folder that larpbench train or larpbench convert wrote",
        ) from error
