"""LARP made small: seconds of training become tenths."""

from __future__ import annotations

from typing import Any

from larpbench.encoders.larp import specs
from larpbench.encoders.larp.heads.settings import HeadsRecipe
from larpbench.encoders.larp.recipes import recipe
from larpbench.encoders.larp.settings import HeadShape, Recipe, Size, Stage
from larpbench.encoders.towers.settings import BertSettings, MelSettings, SwinSettings

DIM = 32
AUDIO = SwinSettings(
    mel=MelSettings(sample_rate=8_000, n_fft=256, hop=160, n_mels=16, f_max=4_000.0),
    width=8,
    depths=(2, 2),
    heads=(2, 4),
    window=4,
    spec_size=64,
)
_TEXT = BertSettings(hidden=16, layers=1, heads=2, intermediate=32, positions=32, initial_std=0.25)


def small_recipe(size: Size, stage: Stage | None, *options: Any, **named: Any) -> Recipe | HeadsRecipe:
    """Return what `recipe` does, of small parts, for two epochs of 8 tracks (heads: 8 in all stages) or 4 pairs."""
    made = recipe(size, stage, *options, **named)
    training = made.training
    if training:
        batch = 8 if stage == "wtc" or size == "heads" else 4
        training = training.model_copy(update={"epochs": 2, "batch": batch})
    if isinstance(made, HeadsRecipe):
        return made.model_copy(update={"width": DIM, "training": training})
    parts: dict[str, Any] = {"head": HeadShape(hidden=DIM), "dim": DIM, "training": training}
    if size == "tiny":
        parts |= {"audio": AUDIO, "text": _TEXT}
    return made.model_copy(update=parts)


def shrink() -> None:
    """Make all LARP small in this process; tests do the same with ``monkeypatch.setattr(specs, "recipe", ...)``."""
    specs.recipe = small_recipe
