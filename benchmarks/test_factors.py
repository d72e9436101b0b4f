"""`factors` on 100,000 tracks in a million entries, with two views of 384 and 512 numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from paired import cpu_seconds

from larpbench.datasets.schema import Interactions, SplitName
from larpbench.encoders.encoder import FitContext
from larpbench.encoders.factors.encoder import FactorsEncoder
from larpbench.encoders.factors.settings import FactorsRecipe
from larpbench.evaluation.queries import Queries
from larpbench.tasks.validation import ValidationRecall
from larpbench.vectors import unit_rows

TRACKS, PLAYLISTS, VALID_TRACKS, VALID_PLAYLISTS = 100_000, 25_000, 10_000, 2_000
LENGTH, STYLES, DIMS = 44, 400, (384, 512)

Figure = Callable[[str, str, str], None]


def make_playlists(draw: np.random.Generator, style: np.ndarray, playlists: int) -> Interactions:
    """Return playlists of about `LENGTH` tracks, half of them of one style, and some tracks in many of them."""
    by_style = np.argsort(style, kind="stable")
    starts, sizes = np.searchsorted(style[by_style], np.arange(STYLES)), np.bincount(style, minlength=STYLES)
    chosen = draw.integers(STYLES, size=(playlists, LENGTH // 2))
    chosen[:] = chosen[:, :1]
    inside = by_style[starts[chosen] + (sizes[chosen] * draw.random(chosen.shape) ** 2).astype(np.int64)]
    others = (len(style) * draw.random(chosen.shape) ** 2).astype(np.int64)
    rows = [np.unique(row) for row in np.concatenate([inside, others], axis=1)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Interactions(np.char.zfill(np.arange(playlists).astype(str), 6), offsets, np.concatenate(rows))


def make_views(draw: np.random.Generator, centres: list[np.ndarray], style: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return vectors of length 1, each of which tells a track's style behind a larger part of its own."""
    noises = (2 * draw.standard_normal((len(style), dim), dtype=np.float32) for dim in DIMS)
    return tuple(unit_rows(centre[style] + noise) for centre, noise in zip(centres, noises, strict=True))


def halved(playlists: Interactions) -> tuple[Interactions, Interactions]:
    """Return the even and the odd tracks of each playlist, as visible and as hidden ones."""
    owner, odd = np.repeat(np.arange(len(playlists)), playlists.lengths), np.arange(len(playlists.tracks)) % 2 == 1
    parts = []
    for part in (~odd, odd):
        lengths = np.bincount(owner[part], minlength=len(playlists))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        parts.append(Interactions(playlists.playlist_ids, offsets, playlists.tracks[part]))
    return parts[0], parts[1]


def test_training(figure: Figure, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    centres = [draw.standard_normal((STYLES, dim), dtype=np.float32) for dim in DIMS]
    sizes: dict[SplitName, int] = {"train": TRACKS, "valid": VALID_TRACKS}
    styles = {name: draw.integers(STYLES, size=size) for name, size in sizes.items()}
    playlists = make_playlists(draw, styles["train"], PLAYLISTS)
    seeds, heldout = halved(make_playlists(draw, styles["valid"], VALID_PLAYLISTS))
    ids = np.char.zfill(np.arange(VALID_TRACKS).astype(str), 6)
    context = FitContext(
        settings=FactorsRecipe(views=("a", "b")).model_dump(mode="json"),
        seed=0,
        device="cpu",
        workdir=tmp_path,
        start=None,
        inputs={
            "train": make_views(draw, centres, styles["train"]),
            "valid": make_views(draw, centres, styles["valid"]),
        },
        score=ValidationRecall(
            Queries(ids, np.arange(VALID_TRACKS), seeds, heldout, {}, seeds, np.arange(VALID_TRACKS))
        ),
    )
    train: Any = SimpleNamespace(interactions=lambda: playlists, track_ids=np.arange(TRACKS))
    facts: dict[str, Any] = {}
    spent = cpu_seconds(lambda: facts.update(FactorsEncoder(("a", "b")).fit(train, train, context)))
    assert facts["factors"] == 256
    assert facts["weight"] > 0
    assert facts["valid"]["best"] > facts["valid"]["frozen"] > 2 * facts["valid"]["chance"]
    name = f"factors, {TRACKS:,} tracks, {len(playlists.tracks):,} entries, views of {DIMS[0]} and {DIMS[1]}"
    figure(name, "< 30 CPU s", f"{spent:.1f} CPU s", value=spent)
