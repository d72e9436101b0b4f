"""The processes that train one model together, their ranks, and what they exchange.

Every rank makes the same updates on the same batches with the same weights. The costly part of an update, rows through
a tower, is shared: each rank computes some of the rows, and the results of all are gathered on every rank. The loss is
therefore that of one process with the whole batch, and so is the mean over ranks of the gradients (see `_Gather`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from larpbench.errors import TrainingError, clipped
from larpbench.training.draws import of_the_whole_batch

Value = TypeVar("Value")
_NUMBERS_AT_ONCE = 2**23
"""Gradients that are averaged in one exchange: 32 MiB of float32."""


class LostProcessError(TrainingError):
    """Another process of a training has ended before its time."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"another process of this training has ended or does not answer: {reason}",
            next_step="see what it printed; the same command continues from the last saved state, with any number of "
            "processes",
        )


class Ranks:
    """This process among those that train together; by itself it is the only one.

    Attributes:
        index: Its rank, from 0.
        count: How many processes there are.
    """

    index = 0
    count = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes files and scores."""
        return self.index == 0

    def share_of(self, total: int) -> slice:
        """Return which of `total` rows it computes; shares differ by one row at most."""
        return slice(self.index * total // self.count, (self.index + 1) * total // self.count)

    def agreed(self, value: Value) -> Value:
        """Return what the leading rank has as `value`, which JSON must be able to hold; every rank waits for all."""
        return value

    def copied(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the leading rank."""
        return tensors

    def seed(self, number: int) -> None:
        """Seed torch for an update; all ranks have the same number."""
        torch.manual_seed(number)

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the ranks."""

    def by_rows(self, run: Callable[..., Tensor], inputs: tuple[Tensor, ...], whole_draws: bool) -> Tensor:
        """Return ``run(*inputs)``, of which each rank computes its rows.

        Args:
            run: Treats rows independently.
            inputs: (n, ...) each, the same on all ranks.
            whole_draws: Whether random draws are those of one process that computes all rows; else each rank makes
                draws of its own.

        Returns:
            (n, ...), the same on all ranks.
        """
        return run(*inputs)


class JoinedRanks(Ranks):
    """This process among several, which torch's process group connects.

    Args:
        device: Where the process group exchanges tensors, as torch names it.
    """

    def __init__(self, device: str) -> None:
        self.index, self.count = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._device = device
        self._seed = self._shares = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> JoinedRanks:
        """Return itself: towers that are copied share rows with the same processes."""
        return self

    def agreed(self, value: Value) -> Value:
        """See `Ranks.agreed`."""
        text = json.dumps(value).encode() if self.leads else b""
        length = torch.tensor(len(text), device=self._device)
        with _watched():
            torch.distributed.broadcast(length, 0)
            empty = torch.empty(int(length), dtype=torch.uint8)
            content = (torch.frombuffer(bytearray(text), dtype=torch.uint8) if self.leads else empty).to(self._device)
            torch.distributed.broadcast(content, 0)
            torch.distributed.all_reduce(length)  # the leading rank would not wait for those that it tells
        return json.loads(content.cpu().numpy().tobytes())

    def copied(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Ranks.copied`."""
        kinds = {name: (str(each.dtype).removeprefix("torch."), [*each.shape]) for name, each in tensors.items()}
        found = {}
        for name, (dtype, shape) in self.agreed(kinds).items():
            tensor = tensors[name].detach() if self.leads else torch.empty(shape, dtype=getattr(torch, dtype))
            tensor = tensor.to(self._device).contiguous()
            with _watched():
                torch.distributed.broadcast(tensor, 0)
            found[name] = tensor.cpu()
        return found

    def seed(self, number: int) -> None:
        """See `Ranks.seed`."""
        torch.manual_seed(number)
        self._seed, self._shares = number, 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """See `Ranks.average`."""
        waiting: list[Tensor] = []
        for parameter in parameters:
            if parameter.grad is not None:
                waiting.append(parameter.grad)
                if sum(each.numel() for each in waiting) >= _NUMBERS_AT_ONCE:
                    self._average(waiting)
                    waiting = []
        self._average(waiting)

    def by_rows(self, run: Callable[..., Tensor], inputs: tuple[Tensor, ...], whole_draws: bool) -> Tensor:
        """See `Ranks.by_rows`."""
        total = len(inputs[0])
        if total < self.count:  # not a row for each: all compute all
            return run(*inputs)
        rows = self.share_of(total)
        with of_the_whole_batch(rows, total) if whole_draws else self._own_draws():
            own = run(*(each[rows] for each in inputs))
        return _Gather.apply(own, self, total)  # type: ignore[no-untyped-call]

    def gather(self, own: Tensor, total: int) -> Tensor:
        """Return the rows of all ranks, (total, ...), given those of this one."""
        longest = -(-total // self.count)
        padded = torch.cat([own, own.new_zeros(longest - len(own), *own.shape[1:])]).contiguous()
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        with _watched():
            torch.distributed.all_gather(parts, padded)
        lengths = [(rank + 1) * total // self.count - rank * total // self.count for rank in range(self.count)]
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def _average(self, gradients: list[Tensor]) -> None:
        if gradients:
            joined = torch.cat([each.flatten().float() for each in gradients])
            with _watched():
                torch.distributed.all_reduce(joined)
            joined /= self.count
            means = torch.split(joined, [each.numel() for each in gradients])
            for each, mean in zip(gradients, means, strict=True):
                each.copy_(mean.view_as(each))

    @contextmanager
    def _own_draws(self) -> Iterator[None]:
        """Draw from generators of this rank, seeded by the update's seed, and leave the common ones as they were."""
        self._shares += 1
        devices = [torch.device(self._device)] if self._device != "cpu" else []
        with torch.random.fork_rng(devices):
            key = np.random.SeedSequence([self._seed, self._shares, self.index])
            torch.manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1))
            yield


class _Gather(torch.autograd.Function):
    """Gathers rows of all ranks; on the way back each takes the gradient of its own, times the number of ranks.

    Every rank computes the whole loss, so that it has the whole gradient of what follows the gathering, and of what
    comes before only the part of its own rows. With the factor, the mean over ranks is right for both: the mean of
    equal gradients is that gradient, and the mean of n-fold parts is their sum.
    """

    @staticmethod
    def forward(context: Any, own: Tensor, ranks: JoinedRanks, total: int) -> Tensor:  # noqa: ANN401 - torch's
        context.rows, context.count = ranks.share_of(total), ranks.count
        return ranks.gather(own, total)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return gradient[context.rows] * context.count, None, None


@contextmanager
def _watched() -> Iterator[None]:
    """Turn a failed exchange into an error that says what to do."""
    try:
        yield
    except RuntimeError as error:
        where_in_gloo = r"^\[\S+\] "
        first = re.sub(where_in_gloo, "", str(error).strip()).partition("\n")[0]
        raise LostProcessError(clipped(first.partition(". ")[0])) from error


ALONE = Ranks()
"""A process that trains by itself."""
_current = [ALONE]


def current() -> Ranks:
    """Return this process among those that train together."""
    return _current[-1]


@contextmanager
def as_current(ranks: Ranks) -> Iterator[None]:
    """Let `current` return these inside the block."""
    _current.append(ranks)
    try:
        yield
    finally:
        _current.remove(ranks)
