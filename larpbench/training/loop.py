"""The training loop with early stopping, for all that learns by gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from larpbench import progress
from larpbench.errors import TrainingError

Model = TypeVar("Model", bound=nn.Module)


@dataclass
class Selection:
    """The epoch that was best on validation.

    Attributes:
        best: Its score; higher is better.
        best_epoch: Its number, from 1; 0 before the first.
    """

    best: float = -math.inf
    best_epoch: int = 0


@dataclass(frozen=True)
class TrainedModel(Generic[Model]):
    """The result of a training.

    Attributes:
        model: With the weights of the selected epoch.
        history: One entry per epoch.
        facts: Contents of the record, apart from the history, as JSON.
    """

    model: Model
    history: list[dict[str, Any]]
    facts: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return the contents of the record, history included."""
        return {**self.facts, "history": self.history}


def run_epochs(
    selection: Selection,
    epochs: int,
    patience: int,
    train: Callable[[int], None],
    validate: Callable[[int], float],
    keep_best: Callable[[], None],
    close: Callable[[], None],
    done: int = 0,
) -> None:
    """Train epoch by epoch until validation no longer improves.

    Args:
        selection: Updated in place.
        epochs: Maximum number of epochs.
        patience: Epochs without a better score before training ends; 0: no early stopping.
        train: Trains one epoch, given its number from 1.
        validate: Returns the validation score after that epoch.
        keep_best: Called whenever that score is the highest so far.
        close: Called at the end of every epoch.
        done: Epochs that an earlier run finished.
    """
    for epoch in range(done + 1, epochs + 1):
        if epoch - 1 - selection.best_epoch >= patience > 0:
            return
        train(epoch)
        score = validate(epoch)
        if score > selection.best:
            selection.best, selection.best_epoch = score, epoch
            keep_best()
        close()


def fit_in_memory(
    name: str,
    model: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    losses: Callable[[], Iterable[Tensor]],
    validate: Callable[[float], float],
    epochs: int,
    patience: int | None,
    next_step: str,
) -> Selection:
    """Train a model whose best weights fit into memory, and leave it in eval mode with the weights of the best epoch.

    Args:
        name: Name of the model, for progress and messages.
        model: Trained in place.
        optimisers: Step together.
        losses: Yields the loss of each batch of one epoch.
        validate: Given the mean loss of the epoch, returns the validation score; called without
            gradients, in eval mode.
        epochs: Maximum number of epochs.
        patience: Epochs without a better score before training ends; None: no early stopping and no selection, the
            last epoch counts.
        next_step: Advice where the loss is not finite.

    Returns:
        The best epoch.

    Raises:
        TrainingError: If the mean loss of an epoch is not finite.
    """
    selection = Selection()
    kept: dict[str, Tensor] | None = None
    mean = math.nan

    def train(epoch: int) -> None:
        nonlocal mean
        model.train()
        steps = [step(optimisers, loss) for loss in losses()]
        mean = float(torch.stack(steps).mean())
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss of {name} is not finite in epoch {epoch}: training has diverged", next_step=next_step
            )

    def score(epoch: int) -> float:
        model.eval()
        with torch.no_grad():
            return validate(mean)

    def keep_best() -> None:
        nonlocal kept
        if patience is not None:
            kept = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    with progress.stage(name, epochs, "epochs", brief=True) as advance:
        run_epochs(selection, epochs, patience or 0, train, score, keep_best, lambda: advance(1))
    if kept is not None:
        model.load_state_dict(kept)
    model.eval()
    return selection


def step(optimisers: Sequence[torch.optim.Optimizer], loss: Tensor) -> Tensor:
    """Make one update by the gradient of a loss; return the loss without its graph."""
    torch.autograd.backward(loss)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return loss.detach()


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers a model has to learn."""
    return sum(each.numel() for each in model.parameters())
