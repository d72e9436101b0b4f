"""Training of artist vectors. Its inputs hold train and valid artists only, so test cannot be learnt (rule 11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from larpbench.errors import TrainingError
from larpbench.runtime import torch_device
from larpbench.tasks.artist_similarity.models import ArtistNet
from larpbench.tasks.artist_similarity.queries import ArtistQueries
from larpbench.tasks.artist_similarity.scores import selection_ndcg
from larpbench.tasks.artist_similarity.settings import LayerKind, TrainingSettings
from larpbench.tasks.artist_similarity.triplets import TripletSampler, triplet_loss
from larpbench.training.loop import TrainedModel, Validation, count_parameters, fit_in_memory, spread_of

_ADVICE = "look at the features: larpbench reports those that are not finite when it builds them"


@dataclass(frozen=True)
class TrainGraph:
    """All that is learnt from.

    Attributes:
        features: (n, dim) float32 of the train artists.
        pairs: (e, 2) their edges.
        messages: (2, m) the same edges, in the directions that messages take.
    """

    features: np.ndarray
    pairs: np.ndarray
    messages: np.ndarray


@dataclass(frozen=True)
class ValidGraph:
    """All that selection may look at.

    Attributes:
        features: (n, dim) float32 of the train and valid artists.
        messages: (2, m) the visible edges.
        queries: The valid artists and their hidden edges.
    """

    features: np.ndarray
    messages: np.ndarray
    queries: ArtistQueries


def train(
    train_graph: TrainGraph,
    valid_graph: ValidGraph,
    kind: LayerKind,
    n_layers: int,
    settings: TrainingSettings,
    seed: int,
) -> TrainedModel[ArtistNet]:
    """Train a network by triplets.

    Args:
        train_graph: What it learns from.
        valid_graph: What it is selected by.
        kind: Of the graph layers.
        n_layers: How many.
        settings: Hyper-parameters.
        seed: Drives weights and triplets.

    Returns:
        The network of the selected epoch, in evaluation mode and on its device.

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
    generator = np.random.default_rng([seed, 0])
    sampler = TripletSampler(train_graph.pairs, len(train_graph.features))
    features = torch.from_numpy(train_graph.features).to(device)
    messages = net.prepared(torch.from_numpy(train_graph.messages).to(device), len(features))

    def losses() -> Iterator[Tensor]:
        for _ in range(settings.steps_per_epoch):
            triplets = sampler.draw(generator, settings.triplets).to(device)
            yield triplet_loss(net(features, messages), triplets, settings.margin)

    name = f"gnn-{kind}-{n_layers}"
    validation = _Validation(name, net, valid_graph, settings, optimiser)
    selection = fit_in_memory(
        name,
        net,
        [optimiser],
        losses,
        validation.measure,
        settings.epochs,
        settings.patience,
        _ADVICE,
    )
    selects = settings.patience is not None
    facts = {
        "epochs": selection.epochs,
        "selected_epoch": selection.best_epoch if selects else selection.epochs,
        "selected_by": "valid ndcg@200" if selects else "nothing: the last epoch counts",
        "ended": selection.ended,
        "valid": {"start": selection.scores[0], "best": selection.best},
        "parameters": count_parameters(net),
        "device": device,
        "triplets_per_update": 2 * sampler.edges_drawn(settings.triplets),
    }
    return TrainedModel(net, validation.history, facts)


@torch.no_grad()
def embed(net: ArtistNet, features: np.ndarray | Tensor, messages: np.ndarray | Tensor) -> np.ndarray:
    """Return the vectors of all artists of a graph, (n, k) float32 of length 1; the network is in evaluation mode."""
    device = next(net.parameters()).device
    prepared = net.prepared(torch.as_tensor(messages, device=device), len(features))
    return net(torch.as_tensor(features, device=device), prepared).cpu().numpy()


class _Validation:
    """Validation after each epoch: the loss that the learning rate follows, and the NDCG that selects the epoch."""

    def __init__(
        self,
        name: str,
        net: ArtistNet,
        graph: ValidGraph,
        settings: TrainingSettings,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self._name, self._net, self._queries, self._margin = name, net, graph.queries, settings.margin
        device = next(net.parameters()).device
        self._features = torch.as_tensor(graph.features, device=device)
        self._messages = torch.as_tensor(graph.messages, device=device)
        patience = settings.plateau_patience
        self._plateau = (
            torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=patience, min_lr=1e-5)
            if patience is not None
            else None
        )
        queries = graph.queries
        places = np.repeat(queries.places, queries.hidden.lengths)
        once = places < queries.hidden.tracks
        pairs = np.stack([places[once], queries.hidden.tracks[once]], axis=1)
        self._triplets = TripletSampler(pairs, len(queries.rows)).draw(np.random.default_rng(0), None)
        self.history: list[dict[str, Any]] = []

    def measure(self, loss: float | None) -> Validation:
        """Add the epoch (without a loss, the start) to the history, adapt the learning rate, and return NDCG@200."""
        vectors = embed(self._net, self._features, self._messages)[self._queries.rows]
        if not np.isfinite(vectors).all():
            raise TrainingError(f"the vectors of {self._name} are not finite", next_step=_ADVICE)
        valid_loss = None  # where every valid artist is similar to all others
        if self._triplets.ends.numel():
            valid_loss = float(triplet_loss(torch.from_numpy(vectors), self._triplets, self._margin))
            if self._plateau is not None and loss is not None:
                self._plateau.step(valid_loss)
        ndcg = selection_ndcg(self._queries, vectors)
        epoch = len(self.history)
        self.history.append({"epoch": epoch, "loss": loss, "valid_loss": valid_loss, "valid_ndcg": ndcg})
        return Validation(ndcg, spread_of(vectors))
