"""A training that can be stopped and resumed: updates on batches of anchors, keyed by (seed, update)."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor, nn

from larpbench.errors import TrainingError, UsageError
from larpbench.runtime import gains_from_bfloat16
from larpbench.training.loop import Model, Selection, Validation, run_epochs, step
from larpbench.training.ranks import current
from larpbench.training.settings import LoopSettings


@dataclass
class Progress(Selection):
    """The state of a training; all that a resumed run needs beside the weights.

    Attributes:
        update: Updates done.
        sums: Of the loss's terms in the current epoch.
        history: One entry per epoch, the first of the start.
    """

    update: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer(nn.Module, ABC, Generic[Model]):
    """A model in training that can be stopped and resumed; the memory of its losses is in submodules and buffers.

    Every update draws from generators keyed by (seed, update), so that a resumed run makes the same draws.

    Args:
        model: Trained in place.
        settings: Of the loop.
        anchors: (n,) int64, rows of the train tracks; an epoch takes each once.
        seed: Drives everything random.
        device: Where to compute.
        label: Name of what is trained, for messages: such as ``stage wtc``.

    Attributes:
        ranks: The processes that train it together. All have the same batches, losses and weights.

    Raises:
        UsageError: If there are more processes than anchors in a batch.
    """

    def __init__(
        self, model: Model, settings: LoopSettings, anchors: np.ndarray, seed: int, device: str, label: str
    ) -> None:
        super().__init__()
        self.loop, self.seed, self.device, self.label = settings, seed, device, label
        self.ranks = current()
        if self.ranks.count > settings.batch:
            raise UsageError(
                f"{self.ranks.count} processes share batches of {settings.batch} in {label}",
                allowed=f"at most {settings.batch} processes",
            )
        self.mixed_precision = settings.precision == "bfloat16" and gains_from_bfloat16(device)
        self.model = model.to(device)
        self.optimiser = torch.optim.Adam(
            model.parameters(), lr=settings.learning_rate, betas=settings.betas, fused=True
        )
        self.progress = Progress()
        self._anchors = anchors

    @abstractmethod
    def losses(self, anchors: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Return the terms of the loss for a batch, 0-d each; their sum is minimised.

        Args:
            anchors: (n,) int64.
            draw: Source of all that is drawn with numpy; torch's own generator is seeded as well.
        """

    def log_fields(self) -> dict[str, Any]:
        """Return further fields of an entry of the history, beside epoch, losses and validation, as JSON."""
        return {}

    def prepare(self) -> None:
        """Get ready for the first update."""

    def before_update(self) -> None:
        """Called at the start of every update, in train mode."""

    def after_update(self) -> None:
        """Called when the weights have changed."""

    @property
    def updates_per_epoch(self) -> int:
        """Number of updates in an epoch."""
        return max(len(self._anchors) // self.loop.batch, 1)

    @property
    def updates(self) -> int:
        """Number of updates in the training, if nothing ends it early."""
        loop = self.loop
        epochs = loop.epochs if loop.updates is None else math.ceil(loop.updates / self.updates_per_epoch)
        return epochs * self.updates_per_epoch

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, but for `progress`."""
        tensors = {f"module.{name}": tensor for name, tensor in self.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Go back to where `tensors` and `progress` were taken."""
        self.load_state_dict({name.removeprefix("module."): t for name, t in tensors.items() if name[0] == "m"})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, number, part = name.split(".")
                state.setdefault(int(number), {})[part] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.progress = progress

    def learning_rate(self, update: int) -> float:
        """Return the learning rate of an update: linear warm-up, then half a cosine down to 0."""
        total, warm_up = self.updates, self._full_rate_after
        if update < warm_up:
            return self.loop.learning_rate * (update + 1) / warm_up
        return self.loop.learning_rate * 0.5 * (1 + math.cos(math.pi * (update - warm_up) / (total - warm_up)))

    @property
    def warm_up_epochs(self) -> int:
        """Number of epochs that have an update below the full learning rate because of the warm-up."""
        return math.ceil((self._full_rate_after - 1) / self.updates_per_epoch)

    @property
    def _full_rate_after(self) -> int:
        return max(min(self.loop.warm_up, self.updates // 10), 1)

    def run(
        self,
        evaluate: Callable[[Model], dict[str, float]],
        keep_best: Callable[[Model], None],
        checkpoint: Callable[[], None],
        advance: Callable[[int], None],
    ) -> None:
        """Train until validation recall no longer improves; a restored state is continued.

        The start is epoch 0, and a candidate like all others. Epochs of the warm-up do not count for patience.

        Args:
            evaluate: Returns at least ``recall@10`` on the validation playlists; ``spread`` tells of a collapse.
            keep_best: Called with the model whenever that recall is the highest so far.
            checkpoint: Called after every update; may save the state.
            advance: Receives the number of updates just done, for progress.

        Raises:
            TrainingError: If the loss is no longer a number.
        """
        done = self.progress
        if not done.update:
            self.prepare()
        per_epoch = self.updates_per_epoch
        started = 0.0

        def train(epoch: int) -> None:
            nonlocal started
            started = time.perf_counter()
            order = list(batches(self._anchors, self.loop.batch, np.random.default_rng([self.seed, epoch - 1])))
            for anchors in order[done.update % per_epoch : per_epoch]:
                for name, value in self._update(anchors).items():
                    done.sums[name] = done.sums.get(name, 0.0) + value
                done.update += 1
                advance(1)
                if done.update % per_epoch:
                    checkpoint()

        def validate(epoch: int) -> Validation:
            seconds = time.perf_counter() - started if epoch else 0.0
            measured = evaluate(self.model)
            done.history.append(
                {
                    **self.log_fields(),
                    "epoch": epoch,
                    "update": done.update,
                    "loss": {name: value / per_epoch for name, value in done.sums.items()},
                    "learning_rate": self.learning_rate(done.update - 1) if epoch else 0.0,
                    **measured,
                    "seconds": round(seconds, 3),
                }
            )
            done.sums = {}
            return Validation(measured["recall@10"], measured.get("spread"))

        run_epochs(
            done,
            self.updates // per_epoch,
            self.loop.patience,
            train,
            validate,
            lambda: keep_best(self.model),
            checkpoint,
            self.warm_up_epochs,
        )

    def _update(self, anchors: np.ndarray) -> dict[str, float]:
        draw = np.random.default_rng([self.seed, 1, self.progress.update])
        self.ranks.seed(int(draw.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(self.progress.update)
        self.train()
        self.before_update()
        terms = self.losses(anchors, draw)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total.detach()):
            raise TrainingError(
                f"the loss of {self.label} is {float(total.detach())} at update {self.progress.update}",
                next_step="train with a lower learning rate",
            )
        step([self.optimiser], total, lambda: self.ranks.average(self.model.parameters()))
        self.after_update()
        return {name: float(value.detach()) for name, value in terms.items()}


def batches(anchors: np.ndarray, size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield anchors in random order, `size` at a time; a smaller last batch is left out unless it is the only one."""
    order = generator.permutation(anchors)
    for start in range(0, max(len(order) - size + 1, 1), size):
        yield order[start : start + size]
