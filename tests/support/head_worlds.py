"""Heads trained in memory, stage by stage, on small worlds: no data set on disk, only the checkpoints of the stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from support.planted_world import split

from larpbench.datasets.schema import Split
from larpbench.encoders.checkpoint_folder import write_card
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.larp.heads.encoder import HeadsEncoder
from larpbench.encoders.larp.heads.settings import HeadsRecipe, HeadsTraining
from larpbench.tasks.validation import validation_recall
from larpbench.vectors import Centring

STAGES = ("wtc", "ttc", "tpc")


@dataclass(frozen=True)
class HeadWorld:
    """Splits, and for each of them one array a view: centred on train and of length 1."""

    splits: dict[str, Split]
    views: dict[str, tuple[np.ndarray, ...]]

    def recall(self, vectors: np.ndarray) -> float:
        """Return recall@10 of valid."""
        return validation_recall(self.splits["valid"])(vectors)


def head_world(
    seed: int = 0,
    *,
    tracks: int = 240,
    groups: int = 8,
    length: int = 8,
    views: int = 2,
    telling: float = 1.0,
    shuffled: bool = False,
) -> HeadWorld:
    """Return a world of groups: a playlist's tracks are of one group.

    Each view shows half of what tells groups apart, behind louder numbers that mean nothing.

    Args:
        seed: Drives everything.
        tracks: Of train; half as many in valid. As many playlists.
        groups: How many.
        length: Tracks a playlist.
        views: How many.
        telling: How loud the groups are.
        shuffled: Whether playlists are drawn from all tracks, in every split.
    """
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(groups, 6 * views))
    splits, rows = {}, {}
    for name, n in (("train", tracks), ("valid", tracks // 2)):
        group = draw.integers(groups, size=n)
        shown = telling * centres[group] + 0.5 * draw.normal(size=(n, 6 * views))
        rows[name] = [
            np.hstack([shown[:, 6 * v : 6 * v + 6], 2.5 * draw.normal(size=(n, 12))]).astype(np.float32)
            for v in range(views)
        ]
        lists = []
        for playlist in range(n):
            pool = np.arange(n) if shuffled else np.flatnonzero(group == playlist % groups)
            lists.append(draw.permutation(pool)[:length])
        splits[name] = split(name, n, [each for each in lists if len(each) > 1])
    scales = [Centring(each) for each in rows["train"]]
    return HeadWorld(
        splits,
        {name: tuple(c.apply(each) for c, each in zip(scales, found, strict=True)) for name, found in rows.items()},
    )


@dataclass(frozen=True)
class Trained:
    """A stage: its encoder, what a record says of it, and where it is kept."""

    stage: str | None
    encoder: HeadsEncoder
    facts: dict
    folder: Path

    def vectors(self, world: HeadWorld) -> np.ndarray:
        """Return those of the valid tracks, of the weights as they were kept."""
        loaded = HeadsEncoder(("a", "b"))
        loaded.load(self.folder)
        ids = world.splits["valid"].track_ids
        return loaded.encode(TrackBatch(ids, ids, inputs=world.views["valid"]))


def train_chain(
    world: HeadWorld,
    folder: Path,
    seed: int = 0,
    *,
    stages: tuple[str, ...] = STAGES,
    start: Path | None = None,
    width: int = 16,
    hidden: int = 0,
    fusion: str = "mean",
    **training: Any,
) -> Iterator[Trained]:
    """Train one stage after the other, from a checkpoint or from random heads on; what was cut off goes on.

    Args:
        world: What to learn from.
        folder: Where checkpoints and states are kept.
        seed: Of the training.
        stages: In order.
        start: A checkpoint to go on from.
        width: Of the heads.
        hidden: Likewise.
        fusion: Of the last stage.
        training: Settings of each stage.
    """
    names = tuple("abc"[: len(world.views["train"])])
    for place, stage in enumerate(stages if start else (None, *stages)):
        settings = HeadsTraining(stage=stage, **{"neighbours": 4, "least_updates": 4, **training}) if stage else None
        last = fusion if stage == "tpc" else "mean"
        recipe = HeadsRecipe(views=names, width=width, hidden=hidden, fusion=last, training=settings)
        workdir = folder / f"{place}.work"
        workdir.mkdir(parents=True, exist_ok=True)
        context = FitContext(
            settings=recipe.model_dump(mode="json"),
            seed=seed,
            device="cpu",
            workdir=workdir,
            start=start,
            inputs=world.views,
            score=validation_recall(world.splits["valid"]),
        )
        encoder = HeadsEncoder(names)
        facts = json.loads(json.dumps(dict(encoder.fit(world.splits["train"], world.splits["valid"], context))))
        kept = folder / f"{place}"
        encoder.save(kept)
        write_card(kept, facts)
        start = kept
        yield Trained(stage, encoder, facts, kept)
