"""Learning artist vectors: what is given holds train and valid artists only, so test cannot be learnt (rule 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from larpbench import progress
from larpbench.errors import TrainingError
from larpbench.runtime import torch_device
from larpbench.tasks.artist_similarity.models import ArtistNet
from larpbench.tasks.artist_similarity.queries import Question
from larpbench.tasks.artist_similarity.scores import selection_ndcg
from larpbench.tasks.artist_similarity.settings import LayerKind, TrainingSettings
from larpbench.tasks.artist_similarity.triplets import TripletSampler, triplet_loss


@dataclass(frozen=True)
class TrainGraph:
    """All that is learnt from.

    Attributes:
        features: (n, dim) float32 of the train artists.
        pairs: (e, 2) their edges.
        messages: (2, m) the same edges as messages.
    """

    features: np.ndarray
    pairs: np.ndarray
    messages: np.ndarray


@dataclass(frozen=True)
class ValidGraph:
    """All that selection may look at.

    Attributes:
        features: (n, dim) float32 of the train and valid artists.
        messages: (2, m) the edges that may be seen.
        asked: What is to be found.
    """

    features: np.ndarray
    messages: np.ndarray
    asked: Question


@dataclass(frozen=True)
class Trained:
    """A network that has learnt.

    Attributes:
        net: In evaluation mode, on its device.
        facts: What the record says of it.
    """

    net: ArtistNet
    facts: dict[str, Any]

    def vectors(self, features: np.ndarray, messages: np.ndarray) -> np.ndarray:
        """Return (n, k) float32 of length 1."""
        return embedded(self.net, torch.from_numpy(features), torch.from_numpy(messages))


def train(
    train_graph: TrainGraph,
    valid_graph: ValidGraph,
    kind: LayerKind,
    n_layers: int,
    settings: TrainingSettings,
    seed: int,
) -> Trained:
    """Train a network by triplets.

    Args:
        train_graph: What it learns from.
        valid_graph: What it is selected by.
        kind: Of the graph layers.
        n_layers: How many.
        settings: Hyper-parameters.
        seed: Drives weights and triplets.

    Raises:
        TrainingError: If there are no edges to learn from, or the loss is not finite.
        MissingPartError: If there are graph layers and torch_geometric is not installed.
    """
    if not len(train_graph.pairs):
        raise TrainingError("no two train artists are similar to each other: there is nothing to learn from")
    device = torch_device()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = ArtistNet(train_graph.features.shape[1], kind, n_layers, settings.width, settings.output).to(device)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    plateau = (
        torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=0.5, patience=settings.plateau_patience, min_lr=1e-5
        )
        if settings.plateau_patience is not None
        else None
    )
    generator = np.random.default_rng([seed, 0])
    sampler = TripletSampler(train_graph.pairs, len(train_graph.features))
    features = torch.from_numpy(train_graph.features).to(device)
    messages = net.prepared(torch.from_numpy(train_graph.messages).to(device), len(features))
    watcher = _Watcher(valid_graph, settings, device)
    with progress.stage(f"train gnn-{kind}-{n_layers}", settings.epochs, "epochs", brief=True) as advance:
        for _ in range(settings.epochs):
            net.train()
            losses = []
            for _ in range(settings.steps_per_epoch):
                triplets = sampler.draw(generator, settings.triplets).to(device)
                optimiser.zero_grad(set_to_none=True)
                loss = triplet_loss(net(features, messages), triplets, settings.margin)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(loss.detach())
            mean = float(torch.stack(losses).mean())
            if not np.isfinite(mean):
                raise TrainingError(
                    f"the loss of epoch {len(watcher.history) + 1} is {mean}",
                    next_step="look at the features: larpbench reports those that are not finite when it builds them",
                )
            valid_loss = watcher.look(net, mean)
            if plateau is not None and valid_loss is not None:
                plateau.step(valid_loss)
            advance(1)
            if watcher.done():
                break
    watcher.restore(net)
    net.eval()
    facts = watcher.facts() | {
        "parameters": sum(each.numel() for each in net.parameters()),
        "device": device,
        "triplets_per_update": 2 * sampler.edges_drawn(settings.triplets),
    }
    return Trained(net, facts)


@torch.no_grad()
def embedded(net: ArtistNet, features: torch.Tensor, messages: torch.Tensor) -> np.ndarray:
    """Return the vectors of all artists of a graph, (n, k) float32, in evaluation mode."""
    was_training = net.training
    net.eval()
    device = next(net.parameters()).device
    vectors = net(features.to(device), net.prepared(messages.to(device), len(features))).cpu().numpy()
    net.train(was_training)
    return vectors


class _Watcher:
    """Validation after each epoch: the loss that the learning rate follows, and the NDCG that selects the epoch."""

    def __init__(self, graph: ValidGraph, settings: TrainingSettings, device: str) -> None:
        self._graph, self._settings = graph, settings
        self._features = torch.from_numpy(graph.features).to(device)
        self._messages = torch.from_numpy(graph.messages).to(device)
        asked = graph.asked
        places = np.repeat(asked.asked, asked.hidden.lengths)
        once = places < asked.hidden.tracks
        pairs = np.stack([places[once], asked.hidden.tracks[once]], axis=1)
        self._triplets = TripletSampler(pairs, len(asked.rows)).draw(np.random.default_rng(0), None)
        self._best: tuple[float, int, dict[str, torch.Tensor]] | None = None
        self.history: list[dict[str, float | None]] = []

    def look(self, net: ArtistNet, loss: float) -> float | None:
        """Note the epoch and return the validation loss."""
        vectors = embedded(net, self._features, self._messages)[self._graph.asked.rows]
        valid_loss = None  # where every valid artist is similar to all others
        if self._triplets.ends.numel():
            valid_loss = float(triplet_loss(torch.from_numpy(vectors), self._triplets, self._settings.margin))
        ndcg = selection_ndcg(self._graph.asked, vectors)
        self.history.append({"loss": loss, "valid_loss": valid_loss, "valid_ndcg": ndcg})
        if self._settings.patience is not None and (self._best is None or ndcg > self._best[0]):
            state = {name: value.detach().clone() for name, value in net.state_dict().items()}
            self._best = ndcg, len(self.history), state
        return valid_loss

    def done(self) -> bool:
        """Return whether there has been nothing better for long enough."""
        patience = self._settings.patience
        return patience is not None and self._best is not None and len(self.history) - self._best[1] >= patience

    def restore(self, net: ArtistNet) -> None:
        """Go back to the best epoch, if the best counts."""
        if self._best is not None:
            net.load_state_dict(self._best[2])

    def facts(self) -> dict[str, Any]:
        """Return what the record says of training."""
        selected = self._best[1] if self._best else len(self.history)
        return {
            "epochs": len(self.history),
            "selected_epoch": selected,
            "selected_by": "valid ndcg@200" if self._best else "nothing: the last epoch counts",
            "history": self.history,
        }
