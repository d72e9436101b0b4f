"""One stage of training: its loss, early stopping on validation, and a state that survives a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from larpbench.encoders.larp.losses import Features, cross_modal, track_playlist
from larpbench.encoders.larp.memory import LookupTable, TrackQueue
from larpbench.encoders.larp.model import Larp, MomentumCopy
from larpbench.encoders.larp.sampling import PlaylistGraph, batches
from larpbench.encoders.larp.settings import TrainingSettings
from larpbench.errors import TrainingError
from larpbench.runtime import gains_from_bfloat16

_SOFT_TARGET_EPOCHS = 2  # epochs over which the soft targets' share grows to its full size
_EVALUATED_AT_ONCE = 64
_TEMPERATURES = (0.001, 0.5)  # bounds of a temperature that is learnt, as in the authors' code


class SideInputs(Protocol):
    """What one tower reads of the tracks of a split."""

    def __len__(self) -> int:
        """Return the number of tracks."""
        ...

    def take(self, rows: np.ndarray, training: bool) -> tuple[Tensor, ...]:
        """Return the tower's arguments for some tracks, (n,) int64; `training` allows random crops."""
        ...


@dataclass(frozen=True)
class TrackInputs:
    """What both towers read of the tracks of a split."""

    audio: SideInputs
    text: SideInputs

    def __len__(self) -> int:
        return len(self.audio)


@dataclass
class Progress:
    """How far a stage has come; all that a resumed run must know beside the weights.

    Attributes:
        update: Updates done.
        best: Highest validation recall.
        best_epoch: After which epoch; 0 before the first.
        sums: Of the loss's terms in the epoch that is under way.
        history: One entry an epoch.
    """

    update: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class StageTrainer(nn.Module):
    """The model that learns, its momentum copy, the queue and the lookup table of one stage.

    Every update draws from generators keyed by (seed, update), so that a resumed run makes the same draws.

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
        super().__init__()
        self.settings, self.tracks, self.graph, self.seed, self.device = settings, tracks, graph, seed, device
        self.model = model.to(device)
        self.model.audio.chunk = self.model.text.chunk = settings.chunk
        self.momentum = MomentumCopy(model, settings.momentum)
        self._anchors = np.arange(len(tracks)) if settings.stage == "wtc" else graph.paired_tracks
        self._rows = settings.batch if settings.stage == "wtc" else 2 * settings.batch
        dim = model.settings.dim
        length = min(settings.queue, len(tracks) // 2) // self._rows * self._rows
        self.queue = TrackQueue(length, dim).to(device)
        self.lookup = LookupTable(len(tracks) if settings.stage == "tpc" else 0, dim).to(device)
        self.optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=settings.betas)
        self.progress = Progress()
        self._bfloat16 = settings.precision == "bfloat16" and gains_from_bfloat16(device)

    @property
    def updates_per_epoch(self) -> int:
        """How many updates an epoch has."""
        return max(len(self._anchors) // self.settings.batch, 1)

    @property
    def updates(self) -> int:
        """How many updates the stage has if nothing ends it early."""
        settings = self.settings
        epochs = settings.epochs if settings.updates is None else math.ceil(settings.updates / self.updates_per_epoch)
        return epochs * self.updates_per_epoch

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, but for `progress`."""
        found = {f"module.{name}": tensor for name, tensor in self.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
        return found

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
        """Return the learning rate of an update: linear warm-up, then half a cosine down to 0 (section 4.1.3)."""
        total = self.updates
        warm_up = max(min(self.settings.warm_up, total // 10), 1)
        if update < warm_up:
            return self.settings.learning_rate * (update + 1) / warm_up
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (update - warm_up) / (total - warm_up)))

    def run(
        self,
        evaluate: Callable[[Larp], dict[str, float]],
        keep_best: Callable[[Larp], None],
        checkpoint: Callable[[], None],
        advance: Callable[[int], None],
    ) -> None:
        """Train until validation recall no longer rises; goes on from where a loaded state stands.

        Args:
            evaluate: Returns at least ``recall@10`` on the validation playlists.
            keep_best: Called with the model whenever that recall is the highest so far.
            checkpoint: Called after every update; may save the state.
            advance: Counts updates, for progress.

        Raises:
            TrainingError: If the loss is no longer a number.
        """
        settings, progress = self.settings, self.progress
        if settings.stage == "tpc" and not progress.update:
            self._fill_lookup()
        while not self._ended():
            epoch = progress.update // self.updates_per_epoch
            done = progress.update % self.updates_per_epoch
            order = list(batches(self._anchors, settings.batch, np.random.default_rng([self.seed, epoch])))
            started = time.perf_counter()
            for anchors in order[done:]:
                for name, value in self._update(anchors).items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                progress.update += 1
                advance(1)
                if progress.update % self.updates_per_epoch:
                    checkpoint()
            self._close_epoch(epoch + 1, evaluate, keep_best, time.perf_counter() - started)
            checkpoint()

    def _ended(self) -> bool:
        update, best = self.progress.update, self.progress.best_epoch
        if update % self.updates_per_epoch:
            return False
        return update >= self.updates or update // self.updates_per_epoch - best >= self.settings.patience > 0

    def _close_epoch(
        self,
        epoch: int,
        evaluate: Callable[[Larp], dict[str, float]],
        keep_best: Callable[[Larp], None],
        seconds: float,
    ) -> None:
        progress = self.progress
        measured = evaluate(self.model)
        if measured["recall@10"] > progress.best:
            progress.best, progress.best_epoch = measured["recall@10"], epoch
            keep_best(self.model)
        progress.history.append(
            {
                "stage": self.settings.stage,
                "epoch": epoch,
                "update": progress.update,
                "loss": {name: value / self.updates_per_epoch for name, value in progress.sums.items()},
                "learning_rate": self.learning_rate(progress.update - 1),
                "temperature": float(self.model.temperature.detach()),
                **measured,
                "seconds": round(seconds, 3),
            }
        )
        progress.sums = {}

    def _update(self, anchors: np.ndarray) -> dict[str, float]:
        draw = np.random.default_rng([self.seed, 1, self.progress.update])
        torch.manual_seed(int(draw.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(self.progress.update)
        self.train()
        self.momentum.follow(self.model)
        self.optimiser.zero_grad(set_to_none=True)
        terms = self.losses(anchors, draw)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total.detach()):
            raise TrainingError(
                f"the loss of stage {self.settings.stage} is {float(total.detach())} at update {self.progress.update}",
                next_step="train with a lower learning rate",
            )
        total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if isinstance(self.model.temperature, nn.Parameter):
            self.model.temperature.data.clamp_(*_TEMPERATURES)
        return {name: float(value.detach()) for name, value in terms.items()}

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
        return features(model, self.tracks, rows, self.device, self._bfloat16)

    def _fill_lookup(self) -> None:
        self.eval()
        with torch.no_grad():
            for start in range(0, len(self.tracks), _EVALUATED_AT_ONCE):
                rows = np.arange(start, min(start + _EVALUATED_AT_ONCE, len(self.tracks)))
                self.lookup.update(self._features(self.model, rows), self._tensor(rows))

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.as_tensor(numbers, device=self.device)


def features(model: Larp, tracks: TrackInputs, rows: np.ndarray, device: str, bfloat16: bool) -> Features:
    """Return the features of some tracks, in the mode that the model is in."""
    audio = tuple(each.to(device) for each in tracks.audio.take(rows, model.training))
    text = tuple(each.to(device) for each in tracks.text.take(rows, model.training))
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16):
        return Features(model.audio_features(*audio), model.text_features(*text))


@torch.inference_mode()
def embed(model: Larp, tracks: TrackInputs, device: str) -> np.ndarray:
    """Return e = mean(a, t) of all tracks in eval mode, (n, dim) float32 (equation 11)."""
    model.eval()
    parts = []
    for start in range(0, len(tracks), _EVALUATED_AT_ONCE):
        rows = np.arange(start, min(start + _EVALUATED_AT_ONCE, len(tracks)))
        audio, text = features(model, tracks, rows, device, bfloat16=False)
        parts.append(((audio + text) / 2).cpu().numpy())
    return np.concatenate(parts)
