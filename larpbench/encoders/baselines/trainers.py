"""The training of each baseline: batches, pairs and loss. Rows have length 1, so an inner product is their cosine."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from larpbench.encoders.baselines.clap import Clap
from larpbench.encoders.baselines.cnn import AudioCnn, mixed, random_crops
from larpbench.encoders.baselines.settings import ClapTraining
from larpbench.encoders.towers.inputs import MelInputs, TrackInputs, features
from larpbench.encoders.towers.losses import Features, contrast, cross_modal
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.training.trainer import Trainer

_TEMPERATURES = (0.01, 0.5)  # bounds of CLAP's temperature; the lower one is that of its published code


def nt_xent(vectors: Tensor, positive: Tensor, temperature: Tensor | float, ignored: Tensor | None = None) -> Tensor:
    """Return the normalised temperature-scaled cross entropy of finding each row's positive (Chen et al. 2020, eq. 1).

    All other rows of the batch are negatives, but for those that are ignored.

    Args:
        vectors: (n, dim) float32.
        positive: (n,) int64, another row for each row.
        temperature: tau.
        ignored: (n, n) bool, rows that are neither positive nor negative; a positive is never ignored.

    Returns:
        0-d float32.
    """
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    return contrast(vectors, vectors, positive, temperature, itself if ignored is None else itself | ignored)


def info_nce(audio: Tensor, text: Tensor, temperature: Tensor | float) -> Tensor:
    """Return the symmetric contrastive loss of CLAP: each row's text among all texts, and the other way around.

    Args:
        audio: (n, dim) float32.
        text: (n, dim) float32, row by row of the same tracks.
        temperature: tau.

    Returns:
        0-d float32.
    """
    both = Features(audio, text)
    return cross_modal(both, both, torch.arange(len(audio), device=audio.device), temperature)


class CnnTrainer(Trainer[AudioCnn]):
    """NT-Xent on two crops of one track, or on crops of two tracks that share a playlist.

    Tracks that share a playlist with a row are no negatives of it where playlists make the pairs.

    Args:
        name: Of the encoder, for messages.
        model: Learns in place.
        tracks: Spectrograms of the train tracks.
        graph: Which of them share a playlist; None for crops of one track.
        seed: Drives everything random.
        device: Where to compute.
    """

    def __init__(
        self,
        name: str,
        model: AudioCnn,
        tracks: MelInputs,
        graph: PlaylistGraph | None,
        seed: int,
        device: str = "cpu",
    ) -> None:
        anchors = np.arange(len(tracks)) if graph is None else graph.paired_tracks
        super().__init__(model, model.settings.training, anchors, seed, device, name)
        self.tracks, self.graph = tracks, graph

    def losses(self, anchors: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Return NT-Xent for (n,) int64 train tracks and a partner of each."""
        partners = anchors if self.graph is None else self.graph.sample(anchors, 0, draw).partners
        rows = np.concatenate([anchors, partners])
        recipe = self.model.settings
        (mels,) = self.tracks.take(rows, training=True)
        crops = random_crops(mels, self.model.frames(recipe.crop_s)).to(self.device)
        if recipe.mixing:
            crops = mixed(crops, recipe.mixing)
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            vectors = self.model.projected(crops)
        related = rows[:, None] == rows
        if self.graph is not None:
            related |= self.graph.share_playlist(rows, rows)
        positive = np.roll(np.arange(len(rows)), len(anchors))
        ignored = torch.as_tensor(related, device=self.device)
        return {"nt_xent": nt_xent(vectors, torch.as_tensor(positive, device=self.device), recipe.temperature, ignored)}


class ClapTrainer(Trainer[Clap]):
    """The symmetric contrastive loss between audio and text of the tracks of a batch.

    Args:
        name: Of the encoder, for messages.
        model: Learns in place.
        settings: Of the training.
        tracks: Spectrograms and captions of the train tracks.
        seed: Drives everything random.
        device: Where to compute.
    """

    def __init__(
        self, name: str, model: Clap, settings: ClapTraining, tracks: TrackInputs, seed: int, device: str = "cpu"
    ) -> None:
        super().__init__(model, settings, np.arange(len(tracks)), seed, device, name)
        self.model.share_rows(settings.chunk, self.ranks)
        self.tracks = tracks

    def log_fields(self) -> dict[str, Any]:
        """Return the temperature, which is learnt."""
        return {"temperature": float(self.model.temperature.detach())}

    def after_update(self) -> None:
        """Keep the temperature within its bounds."""
        self.model.temperature.data.clamp_(*_TEMPERATURES)

    def losses(self, anchors: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Return InfoNCE for (n,) int64 train tracks."""
        audio, text = features(self.model, self.tracks, anchors, self.device, self.mixed_precision)
        return {"info_nce": info_nce(audio, text, self.model.temperature)}
