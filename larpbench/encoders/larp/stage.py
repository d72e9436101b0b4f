"""One stage of LARP's training: its losses (equations 7 to 9), and their memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from larpbench.encoders.larp.losses import track_playlist
from larpbench.encoders.larp.memory import LookupTable, MomentumCopy, TrackQueue
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.settings import TrainingSettings
from larpbench.encoders.towers.inputs import EVALUATED_AT_ONCE, TrackInputs, features
from larpbench.encoders.towers.losses import Features, cross_modal
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.training.trainer import Trainer

_SOFT_TARGET_EPOCHS = 2  # epochs over which the soft targets' share grows to its full size
_TEMPERATURES = (0.001, 0.5)  # bounds of a temperature that is learnt, as in the authors' code


class StageTrainer(Trainer[Larp]):
    """The model that learns, its momentum copy, the queue and the lookup table of one stage.

    Args:
        model: Starts as the stage before has left it; learns in place.
        settings: Of the stage.
        tracks: Inputs of the train tracks.
        graph: Which of them share a playlist.
        seed: Drives everything random.
        device: Where to compute.
    """

    def __init__(
        self,
        model: Larp,
        settings: TrainingSettings,
        tracks: TrackInputs,
        graph: PlaylistGraph,
        seed: int,
        device: str = "cpu",
    ) -> None:
        anchors = np.arange(len(tracks)) if settings.stage == "wtc" else graph.paired_tracks
        super().__init__(model, settings, anchors, seed, device, f"stage {settings.stage}")
        self.settings, self.tracks, self.graph = settings, tracks, graph
        self.model.share_rows(settings.chunk, self.ranks)
        self.momentum = MomentumCopy(model, settings.momentum)
        rows = settings.batch if settings.stage == "wtc" else 2 * settings.batch
        dim = model.settings.dim
        self.queue = TrackQueue(min(settings.queue, len(tracks) // 2) // rows * rows, dim).to(device)
        self.lookup = LookupTable(len(tracks) if settings.stage == "tpc" else 0, dim).to(device)

    def log_fields(self) -> dict[str, Any]:
        """Return stage and temperature."""
        return {"stage": self.settings.stage, "temperature": float(self.model.temperature.detach())}

    def prepare(self) -> None:
        """Fill the lookup table, where the stage has one."""
        if self.settings.stage == "tpc":
            self._fill_lookup()

    def before_update(self) -> None:
        """Move the momentum copy."""
        self.momentum.follow(self.model)

    def after_update(self) -> None:
        """Keep a temperature that is learnt within its bounds."""
        if isinstance(self.model.temperature, nn.Parameter):
            self.model.temperature.data.clamp_(*_TEMPERATURES)

    def losses(self, anchors: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Return the terms of the stage's loss (equations 7 to 9) for a batch of tracks, and remember its features.

        Args:
            anchors: (n,) int64 train tracks.
            draw: Source of partners and playlists.
        """
        stage, temperature = self.settings.stage, self.model.temperature
        rows, pairs = anchors, None
        if stage != "wtc":
            pairs = self.graph.sample(anchors, self.settings.neighbours if stage == "tpc" else 0, draw)
            rows = np.concatenate([pairs.tracks, pairs.partners])
        online = self._features(self.model, rows)
        with torch.no_grad():
            own = self._features(self.momentum.model, rows)
        queued, queued_tracks = self.queue.held()
        keys = Features(torch.cat([own.audio, queued.audio]), torch.cat([own.text, queued.text]))
        key_tracks = np.concatenate([rows, queued_tracks.cpu().numpy()])
        same = rows[:, None] == key_tracks
        alpha, n = self._soft_target_alpha(), len(rows)
        terms = {
            "wtc": cross_modal(online, keys, self._tensor(np.arange(n)), temperature, self._tensor(same), own, alpha)
        }
        if pairs is not None:
            partner = self._tensor(np.roll(np.arange(n), n // 2))
            related = self._tensor(same | self.graph.share_playlist(rows, key_tracks))
            terms["ttc"] = cross_modal(online, keys, partner, temperature, related, own, alpha)
        if stage == "tpc" and pairs is not None:
            self.lookup.update(online, self._tensor(rows))
            half = Features(online.audio[: n // 2], online.text[: n // 2])
            holds = self.graph.holds(pairs.playlists, np.concatenate([pairs.tracks, key_tracks[n:]]))
            terms["tpc"] = track_playlist(
                half,
                self._playlists(pairs.neighbours, pairs.present),
                queued,
                temperature,
                self._tensor(holds[:, : n // 2]),
                self._tensor(holds[:, n // 2 :]),
            )
        self.queue.push(own, self._tensor(rows))
        return terms

    def _playlists(self, neighbours: np.ndarray, present: np.ndarray) -> Features:
        tracks, there = self._tensor(neighbours), self._tensor(present)
        fused = (self.model.fusion(table[tracks], there) for table in (self.lookup.audio, self.lookup.text))
        return Features(*(nn.functional.normalize(each, dim=1) for each in fused))

    def _soft_target_alpha(self) -> float:
        epochs = self.progress.update / self.updates_per_epoch
        return self.settings.soft_target_alpha * min(1.0, epochs / _SOFT_TARGET_EPOCHS)

    def _features(self, model: Larp, rows: np.ndarray) -> Features:
        return features(model, self.tracks, rows, self.device, self.mixed_precision)

    def _fill_lookup(self) -> None:
        self.eval()
        with torch.no_grad():
            for start in range(0, len(self.tracks), EVALUATED_AT_ONCE):
                rows = np.arange(start, min(start + EVALUATED_AT_ONCE, len(self.tracks)))
                self.lookup.update(self._features(self.model, rows), self._tensor(rows))

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.as_tensor(numbers, device=self.device)
