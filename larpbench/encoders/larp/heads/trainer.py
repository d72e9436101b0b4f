"""One stage of the heads' training: tracks and playlists against all train tracks (equations 7 to 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench.encoders.larp.heads.batches import Batch, PlaylistDraw, draw_batch
from larpbench.encoders.larp.heads.losses import multi_positive
from larpbench.encoders.larp.heads.model import Heads
from larpbench.encoders.larp.heads.settings import HeadsTraining
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.training.trainer import Trainer

_SMALLEST_BATCH = 8


class HeadsTrainer(Trainer[Heads]):
    """Heads that learn for one stage. The frozen vectors are held in memory.

    Args:
        model: Starts as the stage before has left it; learns in place.
        settings: Of the stage.
        views: (n, dim) float32 each: the train tracks, centred and of length 1.
        graph: Which of them share a playlist.
        seed: Drives everything random.
        device: Where to compute.
    """

    def __init__(
        self,
        model: Heads,
        settings: HeadsTraining,
        views: Sequence[np.ndarray],
        graph: PlaylistGraph,
        seed: int,
        device: str = "cpu",
    ) -> None:
        anchors = np.arange(graph.n_tracks) if settings.stage == "wtc" else graph.paired_tracks
        an_epoch = min(len(anchors), settings.anchors)
        batch = min(settings.batch, max(an_epoch // settings.least_updates, _SMALLEST_BATCH))
        loop = settings.model_copy(update={"batch": batch})
        super().__init__(model, loop, anchors, seed, device, f"stage {settings.stage}")
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.settings, self.graph = settings, graph
        self._views = [torch.as_tensor(view).to(device) for view in views]

    @property
    def updates_per_epoch(self) -> int:
        """Number of updates in an epoch."""
        return max(min(len(self._anchors), self.settings.anchors) // self.loop.batch, 1)

    def log_fields(self) -> dict[str, Any]:
        """Return the stage."""
        return {"stage": self.settings.stage}

    def losses(self, anchors: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Return the terms of the stage's loss (equations 7 to 9).

        Args:
            anchors: (n,) int64 train tracks.
            draw: Source of playlists and candidates.
        """
        batch = draw_batch(self.graph, self.settings, anchors, draw, self.device)
        views = self._views
        if batch.log_probability is not None:
            chosen = torch.as_tensor(batch.tracks, device=self.device)
            views = [view[chosen] for view in views]
        sides = self.model.features(views)
        terms = self._between_tracks(batch, sides, views)
        if batch.playlists:
            terms["tpc"] = self._with_playlists(batch, batch.playlists, sides, views)
        return terms

    def _between_tracks(self, batch: Batch, sides: Sequence[Tensor], views: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return WTC, and TTC where there are related tracks: one side of the anchors with the other of all tracks."""
        frozen = None
        if batch.related and self.settings.residual:
            frozen = _similarity([view[batch.anchors] for view in views], views)
        found: dict[str, list[Tensor]] = {"wtc": []}
        for one, other in (sides, sides[::-1]):
            similarity = one[batch.anchors] @ other.T
            found["wtc"].append(multi_positive(self._logits(similarity), batch.own, None, batch.log_probability))
            if batch.related:
                logits = self._logits(similarity, frozen)
                loss = multi_positive(logits, batch.related, batch.own, batch.log_probability)
                found.setdefault("ttc", []).append(loss)
        return {name: torch.stack(losses).mean() for name, losses in found.items()}

    def _with_playlists(
        self, batch: Batch, playlists: PlaylistDraw, sides: Sequence[Tensor], views: Sequence[Tensor]
    ) -> Tensor:
        """Return TPC: what is fused of a playlist with all tracks."""
        frozen = _similarity(_mean_of(views, playlists), views) if self.settings.residual else None
        pairs: list[tuple[Tensor, Tensor]] = []
        if self.settings.playlists != "cross-modal":
            joint = (sides[0] + sides[1]) / 2
            pairs.append((joint, joint))
        if self.settings.playlists != "joint":
            pairs += [(sides[0], sides[1]), (sides[1], sides[0])]
        losses = []
        for fused, tracks in pairs:
            of_playlists = functional.normalize(self.model.fusion(fused[playlists.fused], playlists.present), dim=1)
            logits = self._logits(of_playlists @ tracks.T, frozen)
            losses.append(multi_positive(logits, playlists.others, playlists.taken, batch.log_probability))
        return torch.stack(losses).mean()

    def _logits(self, similarity: Tensor, frozen: Tensor | None = None) -> Tensor:
        return (similarity if frozen is None else similarity + frozen) / self.settings.temperature


def _similarity(views: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return inner products of rows of views side by side, (n, m) float32, as `frozen_vectors` scales them."""
    products = (view @ other.T for view, other in zip(views, others, strict=True))
    return torch.stack(list(products)).sum(dim=0) / len(views)


def _mean_of(views: Sequence[Tensor], playlists: PlaylistDraw) -> list[Tensor]:
    """Return the mean of each playlist's fused tracks, scaled so that the views side by side have length 1."""
    kept = playlists.present.unsqueeze(-1).to(views[0].dtype)
    sums = [(view[playlists.fused] * kept).sum(dim=1) for view in views]
    squares = torch.stack([each.square().sum(dim=1) for each in sums]).sum(dim=0) / len(views)
    return [each / squares.sqrt().clamp_min(1e-12)[:, None] for each in sums]
