"""The training loop with early stopping, for all that learns by gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from larpbench import progress
from larpbench.errors import TrainingError
from larpbench.vectors import unit_rows

Model = TypeVar("Model", bound=nn.Module)
Ended = Literal["epochs", "patience", "collapse"]
COLLAPSED = 0.2
"""Share of the start's spread below which vectors have collapsed."""
COLLAPSED_EPOCHS = 2
_NO_SPREAD = 0.01  # a start that is one point already cannot collapse


@dataclass(frozen=True)
class Validation:
    """What validation finds of a model.

    Attributes:
        score: What epochs are selected by; higher is better.
        spread: Of the vectors of the valid split, see `spread_of`; None if nothing watches it.
    """

    score: float
    spread: float | None = None


@dataclass
class Selection:
    """What validation has found so far, and what follows from it.

    Attributes:
        scores: Of the start, which is epoch 0, and of each epoch.
        spreads: Likewise.
        ended: Why training ended: all epochs are done, patience, or a collapse; None before that.
    """

    scores: list[float] = field(default_factory=list)
    spreads: list[float | None] = field(default_factory=list)
    ended: Ended | None = None

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained."""
        return max(len(self.scores) - 1, 0)

    @property
    def best(self) -> float:
        """The highest score."""
        return max(self.scores, default=-math.inf)

    @property
    def best_epoch(self) -> int:
        """The first epoch with that score; 0 is the start."""
        return self.scores.index(self.best) if self.scores else 0

    @property
    def last_gain(self) -> int:
        """The last epoch that was better than all epochs before it; the start, which nothing was learnt in, is none."""
        trained = self.scores[1:]
        return 1 + trained.index(max(trained)) if trained else 0

    @property
    def collapsed(self) -> bool:
        """Whether the spread of each of the last two epochs is below a fifth of the start's."""
        start, *later = self.spreads or [None]
        if start is None or start < _NO_SPREAD or len(later) < COLLAPSED_EPOCHS:
            return False
        return all(each is not None and each < COLLAPSED * start for each in later[-COLLAPSED_EPOCHS:])


@dataclass(frozen=True)
class TrainedModel(Generic[Model]):
    """The result of a training.

    Attributes:
        model: With the weights of the selected epoch.
        history: One entry per epoch, the first of the start.
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
    validate: Callable[[int], Validation],
    keep_best: Callable[[], None],
    close: Callable[[], None],
    warm_up: int = 0,
) -> None:
    """Validate the start, then train epoch by epoch until validation no longer improves or the vectors collapse.

    Args:
        selection: Updated in place; what an earlier run has put there is not done again.
        epochs: Maximum number of epochs.
        patience: Epochs after the warm-up without a better score than all epochs before, until training ends; 0: no
            early stopping.
        train: Trains one epoch, given its number from 1.
        validate: Validates what that epoch has come to; epoch 0 is the start.
        keep_best: Called whenever the score is the highest so far.
        close: Called at the end of every epoch.
        warm_up: Epochs of warm-up, which patience does not count.
    """
    while selection.ended is None:
        epoch = len(selection.scores)
        if selection.collapsed:
            selection.ended = "collapse"
        elif epoch > epochs:
            selection.ended = "epochs"
        elif epoch - 1 - max(selection.last_gain, warm_up) >= patience > 0:
            selection.ended = "patience"
        else:
            if epoch:
                train(epoch)
            found = validate(epoch)
            better = found.score > selection.best
            selection.scores.append(found.score)
            selection.spreads.append(found.spread)
            if better:
                keep_best()
            close()


def warn_of_collapse(name: str, selection: Selection, next_step: str) -> None:
    """Print what has happened and what to do, if the vectors have collapsed.

    Args:
        name: Of what was trained.
        selection: Of its training.
        next_step: What to do.
    """
    if selection.ended == "collapse":
        kept = f"epoch {selection.best_epoch}" if selection.best_epoch else "the start"
        progress.say(
            f"warning: the vectors of {name} have collapsed: their spread fell from {selection.spreads[0]:.3f} to "
            f"{selection.spreads[-1]:.3f} in {selection.epochs} epochs. The training ends here, and {kept} is kept; "
            f"{next_step}"
        )


def spread_of(vectors: np.ndarray) -> float:
    """Return 1 less the mean cosine of two rows of (n, dim): near 0 where all have collapsed to one point."""
    return float(1 - np.square(unit_rows(vectors, double=False).mean(axis=0, dtype=np.float64)).sum())


class InMemoryFit:
    """A training whose best weights fit into memory: it can stop after any epoch, and go on as if it had not.

    Args:
        name: Name of the model, for progress and messages.
        model: Trained in place.
        optimisers: Step together.
        patience: Epochs without a better score before training ends; None: no early stopping and no selection, the
            last epoch counts.
        next_step: Advice where the loss is not finite, or the vectors collapse.

    Attributes:
        selection: The scores of the epochs so far, and why training ended.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        optimisers: Sequence[torch.optim.Optimizer],
        patience: int | None,
        next_step: str,
    ) -> None:
        self.selection = Selection()
        self._name, self._model, self._optimisers = name, model, optimisers
        self._patience, self._next_step = patience, next_step
        self._best: dict[str, Tensor] | None = None

    def advance(
        self, losses: Callable[[], Iterable[Tensor]], validate: Callable[[float | None], Validation], epochs: int
    ) -> None:
        """Train until so many epochs are done in all, or training ends; the start is epoch 0.

        Args:
            losses: Yields the loss of each batch of one epoch.
            validate: Given the mean loss of the epoch (None: of the start), validates the model; called without
                gradients, in eval mode.
            epochs: Number of epochs, those of earlier calls included.

        Raises:
            TrainingError: If the mean loss of an epoch is not finite.
        """
        selection, model, mean = self.selection, self._model, None
        if selection.ended in ("patience", "collapse"):
            return
        selection.ended = None

        def train(epoch: int) -> None:
            nonlocal mean
            model.train()
            steps = [step(self._optimisers, loss) for loss in losses()]
            mean = float(torch.stack(steps).mean())
            if not math.isfinite(mean):
                raise TrainingError(
                    f"the loss of {self._name} is not finite in epoch {epoch}: training has diverged",
                    next_step=self._next_step,
                )

        def measure(epoch: int) -> Validation:
            model.eval()
            with torch.no_grad():
                found = validate(mean)
            return found if self._patience is not None else Validation(found.score)  # nothing ends what is not selected

        def keep_best() -> None:
            if self._patience is not None:
                self._best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

        with progress.stage(self._name, max(epochs - selection.epochs, 0), "epochs", brief=True) as show:
            run_epochs(
                selection,
                epochs,
                self._patience or 0,
                train,
                measure,
                keep_best,
                lambda: show(min(selection.epochs, 1)),
            )
        warn_of_collapse(self._name, selection, self._next_step)

    def finish(self) -> None:
        """Leave the model in eval mode with the weights of the best epoch: the start's, if no epoch is better."""
        if self._best is not None:
            self._model.load_state_dict(self._best)
        self._model.eval()


def fit_in_memory(
    name: str,
    model: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    losses: Callable[[], Iterable[Tensor]],
    validate: Callable[[float | None], Validation],
    epochs: int,
    patience: int | None,
    next_step: str,
) -> Selection:
    """Train a model from the start to the end; see `InMemoryFit` for the arguments.

    Returns:
        The scores of the epochs, and the best of them.

    Raises:
        TrainingError: If the mean loss of an epoch is not finite.
    """
    fit = InMemoryFit(name, model, optimisers, patience, next_step)
    fit.advance(losses, validate, epochs)
    fit.finish()
    return fit.selection


def step(
    optimisers: Sequence[torch.optim.Optimizer], loss: Tensor, combine: Callable[[], None] = lambda: None
) -> Tensor:
    """Make one update by the gradient of a loss; return the loss without its graph.

    Args:
        optimisers: Step together.
        loss: 0-d.
        combine: Called before they step; may change the gradients.
    """
    torch.autograd.backward(loss)
    combine()
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return loss.detach()


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers a model has to learn."""
    return sum(each.numel() for each in model.parameters())
