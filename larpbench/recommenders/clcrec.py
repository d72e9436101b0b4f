"""CLCRec: contrastive learning ties tracks and playlists to content.

Wei et al. 2021, "Contrastive learning for cold-start recommendation", as LARP uses it (appendix B.3):

    loss = Contrast(z_p, z_s) + Contrast(f(e_i), f(e_j)) (29),   score = f(mean of e) . f(e) (30)

with learned vectors z of the train playlists and tracks, and f two Linear layers over content scaled to length 1.

* Negatives are the other tracks of the batch. Those that are none, being in the playlist too or the same track again,
  are masked; LARP's code keeps them.
* In the first term z_s is replaced by f(e_s) with probability 0.5, drawn for each row. (The published codes draw rows
  with replacement, which replaces 39 %.)
* In the second term the anchor is z_i scaled to length 1, as in the CLCRec paper and both published codes, and not
  f(e_i) as printed: i and j are the same track there, and a track's content would be contrasted with itself.
* Both terms weigh a half. L2 is the mean length of the z in the batch, not squared, as in both codes.
* A step computes f for the tracks of its batch and nothing else, and moves their z alone (a lazy Adam): its cost does
  not depend on how many tracks there are. The z are scaffolding: at test time playlists are new, only f is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import SearchSpace, TrainData, ValidData, fitted
from larpbench.recommenders.training import (
    GradientRecommender,
    entries_of,
    forward_all,
    on_device,
    seeded,
    validation_of,
)
from larpbench.recommenders.vectors import playlist_means
from larpbench.training.loop import Validation
from larpbench.vectors import unit_rows

HIDDEN = 256
OUTPUT = 64
REPLACED = 0.5


class ContentNet(nn.Module):
    """f: Linear, LeakyReLU, Linear, over content scaled to length 1.

    Args:
        content: Length of the content vectors.
    """

    def __init__(self, content: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(content, HIDDEN), nn.LeakyReLU(), nn.Linear(HIDDEN, OUTPUT))

    def forward(self, content: Tensor) -> Tensor:
        """Return (n, 64) of (n, dim)."""
        return self.layers(normalize(content))


def contrast(anchors: Tensor, candidates: Tensor, temperature: float, false_negatives: Tensor | None = None) -> Tensor:
    """Return the mean of -log softmax_j(anchor_i . candidate_j / temperature) at j = i.

    Args:
        anchors: (b, k).
        candidates: (b, k); the i-th is the positive of the i-th anchor, the others are its negatives.
        temperature: Positive.
        false_negatives: (b, b) bool, pairs that are no negatives; its diagonal is not looked at.
    """
    logits = anchors @ candidates.T / temperature
    if false_negatives is not None:
        logits = logits.masked_fill(false_negatives.clone().fill_diagonal_(False), -torch.inf)
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


@dataclass(frozen=True)
class Batch:
    """What the loss of b entries looks at.

    Attributes:
        z_p: (b, 64), the learned vectors of the playlists.
        z_s: (b, 64), those of the tracks.
        encoded: (b, 64), f of the tracks' content.
        replaced: (b,) bool, where f(e_s) stands in for z_s.
        held: (b, b) bool, whether the i-th playlist holds the j-th track; None masks nothing.
        same: (b, b) bool, whether the i-th and the j-th are the same track; None masks nothing.
    """

    z_p: Tensor
    z_s: Tensor
    encoded: Tensor
    replaced: Tensor
    held: Tensor | None = None
    same: Tensor | None = None

    def playlist_term(self, temperature: float) -> Tensor:
        """Return Contrast(z_p, z_s), some z_s replaced by f(e_s)."""
        return contrast(self.z_p, torch.where(self.replaced[:, None], self.encoded, self.z_s), temperature, self.held)

    def content_term(self, temperature: float) -> Tensor:
        """Return Contrast(z_s, f(e_s)), both scaled to length 1."""
        return contrast(normalize(self.z_s), normalize(self.encoded), temperature, self.same)

    def mean_length(self) -> Tensor:
        """Return the regulariser: the mean of the mean lengths of z_p and z_s."""
        return (self.z_p.norm(dim=1).mean() + self.z_s.norm(dim=1).mean()) / 2

    def loss(self, temperature: float, l2: float) -> Tensor:
        """Return half of each term, and the regulariser times l2."""
        terms = self.playlist_term(temperature) + self.content_term(temperature)
        return terms / 2 + l2 * self.mean_length()


class CLCRec(GradientRecommender):
    """Content encoder trained by contrast with learned vectors of playlists and tracks."""

    name = "clcrec"
    version = 1
    citation = ("wei2021clcrec",)
    summary = "content network trained by contrast with learned playlist and track vectors"
    search_space: ClassVar[SearchSpace] = {
        "learning_rate": (0.001, 0.003, 0.01),
        "l2": (0.1, 0.01),
        "temperature": (2.0, 0.5, 0.2),
    }
    fits_in_threads = True
    usual_epochs = 8.0
    _net: ContentNet | None = None
    _learned: tuple[nn.Embedding, nn.Embedding] | None = None
    _generator: np.random.Generator

    def _begin(self, train: TrainData) -> tuple[nn.Module, Sequence[torch.optim.Optimizer]]:
        """Make the content network, the learned vectors, and their optimisers, Adam."""
        tracks, dim = train.embeddings.shape
        with seeded(self.seed):
            self._net = net = on_device(ContentNet(dim))
            self._learned = z_p, z_s = (
                on_device(_identities(len(train.interactions))),
                on_device(_identities(tracks)),
            )
        rate = self.params["learning_rate"]
        self._generator = np.random.default_rng(self.seed)
        return self._kept(train, net, z_p), [
            torch.optim.Adam(net.parameters(), lr=rate, fused=True),
            torch.optim.SparseAdam([z_p.weight, z_s.weight], lr=rate),
        ]

    def _losses(self, train: TrainData) -> Iterator[Tensor]:
        net, (z_p, z_s) = fitted(self._net, self.name), fitted(self._learned, self.name)
        entries, vectors, generator = train.once(entries_of), train.once(self._train_content), self._generator
        for playlists, tracks in entries.batches(generator):
            batch = Batch(
                z_p=z_p(on_device(playlists)),
                z_s=z_s(on_device(tracks)),
                encoded=net(on_device(vectors[tracks])),
                replaced=on_device(generator.random(len(tracks)) < REPLACED),
                held=on_device(entries.observed(playlists, tracks)),
                same=on_device(tracks[:, None] == tracks),
            )
            yield batch.loss(self.params["temperature"], self.params["l2"])

    def _validate(self, train: TrainData, valid: ValidData) -> Validation:
        return validation_of(self, valid)

    def finish(self) -> None:
        """Take the networks of the best epoch, and give back the learned vectors of train."""
        super().finish()
        self._learned = None

    @staticmethod
    def _train_content(train: TrainData) -> np.ndarray:
        """Return what f is given of the train tracks, (n, dim) float32."""
        return unit_rows(train.embeddings)

    def _content(self, embeddings: np.ndarray) -> np.ndarray:
        """Return what f is given of tracks, (n, dim) float32."""
        return unit_rows(embeddings)

    def _kept(self, train: TrainData, net: ContentNet, playlists: nn.Embedding) -> nn.Module:
        """Return what is kept of the selected epoch: f alone, since playlists of the test are new."""
        return net

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return (p, 64) float32: f of the mean of the unit-length seeds (equation 30)."""
        return forward_all(fitted(self._net, self.name), playlist_means(seeds, self._content(embeddings)))

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (n, 64) float32: f of the tracks (equation 30)."""
        return forward_all(fitted(self._net, self.name), self._content(embeddings))


def _identities(count: int) -> nn.Embedding:
    """Return (count, 64) learned vectors whose untouched rows cost nothing in a step."""
    table = nn.Embedding(count, OUTPUT, sparse=True)
    nn.init.xavier_normal_(table.weight)
    return table


CLCREC = CLCRec()
