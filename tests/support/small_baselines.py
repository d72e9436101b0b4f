"""The baselines made small: seconds of training become tenths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.small_larp import AUDIO

from larpbench.encoders.baselines import specs
from larpbench.encoders.baselines.settings import (
    BaselineSize,
    ClapRecipe,
    CnnRecipe,
    NfnetSettings,
    ResnetSettings,
    RobertaSettings,
)
from larpbench.encoders.names import ENCODERS

NAMES = ("clap-ft", "co-playlist", "cnn")
NFNET = NfnetSettings(stem=(4, 8), widths=(8, 16), depths=(1, 1), group=4)
RESNET = ResnetSettings(stem=4, widths=(4, 8), depths=(1, 1), layer="basic")
TEXT = RobertaSettings(hidden=16, layers=1, heads=2, intermediate=32, max_tokens=30, positions=32, padding=0,
                       initial_std=0.25)  # fmt: skip


def small(made: ClapRecipe | CnnRecipe) -> ClapRecipe | CnnRecipe:
    """Return a recipe of small parts, for two epochs of 8 tracks an update."""
    training = made.training.model_copy(update={"epochs": 2, "batch": 8})
    if isinstance(made, ClapRecipe):
        model = made.model.model_copy(update={"audio": AUDIO, "text": TEXT, "dim": 16})
        return made.model_copy(update={"model": model, "training": training})
    backbone = NFNET if isinstance(made.backbone, NfnetSettings) else RESNET
    parts = {"mel": AUDIO.mel, "backbone": backbone, "crop_s": 0.4, "hop_s": 0.2, "projection": 8}
    return made.model_copy(update={**parts, "training": training})


def shrink_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all baselines small, whatever size and name they are asked for by."""
    monkeypatch.setattr(specs, "KINDS", _small_kinds())
    for name in NAMES:
        monkeypatch.setitem(ENCODERS._loaded, name, specs.baseline_spec(name))


def _small_kinds() -> dict[str, specs.Kind]:
    def shrunk(kind: specs.Kind) -> specs.Kind:
        def recipe(size: BaselineSize) -> ClapRecipe | CnnRecipe:
            return small(kind.recipe(size))

        return replace(kind, recipe=recipe)

    return {name: shrunk(kind) for name, kind in specs.KINDS.items()}
