"""MuQ-MuLan (Zhu et al. 2025): MuQ and XLM-R, each followed by a small transformer and a projection into one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.checkpoint_tensors import Faults, TensorFacts, facts_of, not_floating, require_tensors, say_casts
from larpbench.encoders.adapters.muq.checkpoint import Checkpoint, network_of, read_json, read_statistics
from larpbench.encoders.adapters.muq.encoder import Conformer
from larpbench.encoders.adapters.muq.front_end import SAMPLE_RATE
from larpbench.encoders.adapters.muq.model import LAYERS
from larpbench.encoders.adapters.muq.mulan.files import CONFIG, MUQ_FOLDER, WEIGHTS
from larpbench.encoders.adapters.muq.mulan.transformer import Sizes, Transformer
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.hub_models import LONGEST, Tokens
from larpbench.encoders.towers.initial_weights import read_state
from larpbench.encoders.towers.sides import MeanOfSides
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER, read_xlm_r_config
from larpbench.errors import DataError
from larpbench.runtime import torch_device

_WINDOW, _SHORTEST = 10 * SAMPLE_RATE, SAMPLE_RATE  # samples
_MUQ, _XLM_R = "mulan.audio.model.model.", "mulan.text.model."
_UNUSED = ("mulan.audio.aggregator.*", "mulan.contrast.*", f"{_XLM_R}pooler.*")
"""Tensors that only training or another task uses."""
_READABLE = {
    ("mulan", "sr"): SAMPLE_RATE,
    ("mulan", "clip_secs"): _WINDOW // SAMPLE_RATE,
    ("audio_model", "use_layer_idx"): -1,
    ("text_model", "model_dim"): None,
}


class AudioSide:
    """From clips to the mean of projected windows, each of length 1.

    Args:
        checkpoint: Where the weights come from.
        device: Where to compute, as torch names it.
    """

    prefixes = ("mulan.audio.", "mulan.audio_to_latents.")

    def __init__(self, checkpoint: MuLanCheckpoint, device: str) -> None:
        network = network_of(checkpoint.muq(), "MuQ-MuLan", checkpoint.path)
        sizes = checkpoint.sizes("audio_transformer")
        self._project = nn.Linear(checkpoint.width_of("audio_model"), sizes.dim)
        self._transformer, self._to_latents = Transformer(sizes), nn.Linear(sizes.dim, checkpoint.dim)
        parts = {"mulan.audio.proj.": self._project, "mulan.audio.transformer.": self._transformer}
        checkpoint.fill(parts | {"mulan.audio_to_latents.": self._to_latents}, self.prefixes, device, (f"{_MUQ}*",))
        mean, deviation = read_statistics(checkpoint.path.parent / MUQ_FOLDER / CONFIG)
        self._muq = Conformer(Checkpoint(network, mean, deviation), device)

    def __call__(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) float32, of clips at 24 kHz.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        return torch.stack([self._of_clip(clip) for clip in batch.require_audio("muq-mulan")])

    def _of_clip(self, clip: np.ndarray) -> Tensor:
        vectors = [self._of_window(torch.from_numpy(window)) for window in windows_of(clip)]
        return torch.stack(vectors).mean(dim=0)

    def _of_window(self, window: Tensor) -> Tensor:
        states = self._project(self._muq.states(window, LAYERS)[LAYERS][None])
        found = self._to_latents(self._transformer(states).mean(dim=1))
        return functional.normalize(found, dim=1)[0]


class TextSide:
    """From captions to projected vectors of length 1.

    Args:
        checkpoint: Where the weights come from.
        device: Where to compute, as torch names it.
    """

    prefixes = ("mulan.text.", "mulan.text_to_latents.")

    def __init__(self, checkpoint: MuLanCheckpoint, device: str) -> None:
        from transformers import XLMRobertaModel

        folder = checkpoint.path.parent / XLM_R_FOLDER
        config = read_xlm_r_config(folder / CONFIG)
        self._tokens, self._device = Tokens(folder, LONGEST), device
        with torch.random.fork_rng(devices=[]):
            self._model: Any = XLMRobertaModel(config, add_pooling_layer=False)
        sizes = checkpoint.sizes("text_transformer")
        self._transformer, self._to_latents = Transformer(sizes), nn.Linear(sizes.dim, checkpoint.dim)
        parts = {_XLM_R: self._model, "mulan.text.transformer.": self._transformer}
        checkpoint.fill(parts | {"mulan.text_to_latents.": self._to_latents}, self.prefixes, device)

    def __call__(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) float32, rows of length 1."""
        return self._tokens.apply(batch.captions, self._of_tokens)

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self._device)
        states = self._model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        return functional.normalize(self._to_latents(self._transformer(states).mean(dim=1)), dim=1)


class MuLanCheckpoint:
    """Configuration and tensors of a folder.

    Args:
        folder: Holds them.

    Attributes:
        path: The file of weights.
        dim: Numbers of a vector.

    Raises:
        DataError: If they cannot be read, are of another design, or a tensor is not floating.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self._config_path = folder / WEIGHTS, folder / CONFIG
        self._config = read_json(self._config_path)
        for (part, name), value in _READABLE.items():
            if (found := self._fact(part, name)) != value:
                raise DataError(
                    f"this is not the design of MuQ-MuLan: {part}.{name} is {found!r}",
                    where=str(self._config_path),
                    allowed=f"{name}: {value!r}",
                )
        self._state = read_state(self.path)
        Faults(other=not_floating(facts_of(self._state))).refuse("MuQ-MuLan", self.path)
        self.dim = self._size("mulan", "dim_latent")

    def muq(self) -> dict[str, Tensor]:
        """Return the tensors of MuQ, by their names there."""
        return {name.removeprefix(_MUQ): each for name, each in self._state.items() if name.startswith(_MUQ)}

    def sizes(self, part: str) -> Sizes:
        """Return the sizes of ``audio_transformer`` or ``text_transformer``."""
        return Sizes(**{each.name: self._size(part, each.name) for each in fields(Sizes)})

    def width_of(self, part: str) -> int:
        """Return the width of a pretrained model's states."""
        return self._size(part, "model_dim")

    def fill(
        self, parts: Mapping[str, nn.Module], prefixes: tuple[str, ...], device: str, other: Sequence[str] = ()
    ) -> None:
        """Load the weights of modules, and move them to a device.

        Args:
            parts: The modules of one side, by what their tensors' names begin with.
            prefixes: What the names of all tensors of that side begin with.
            device: As torch names it.
            other: Patterns of the names of tensors of that side that are read elsewhere.

        Raises:
            DataError: If the tensors of that side are not exactly those of the modules.
        """
        expected: dict[str, TensorFacts] = {
            f"{prefix}{name}": facts
            for prefix, part in parts.items()
            for name, facts in facts_of(part.state_dict()).items()
        }
        sides = {side.prefixes for side in (AudioSide, TextSide)} - {prefixes}
        skipped = tuple(f"{each}*" for side in sides for each in side)
        require_tensors(facts_of(self._state), expected, "MuQ-MuLan", self.path, unused=(*_UNUSED, *skipped, *other))
        for prefix, part in parts.items():
            own = part.state_dict()
            part.load_state_dict({name: self._state.get(f"{prefix}{name}", each) for name, each in own.items()})
            part.to(device).eval().requires_grad_(False)

    def say_casts(self, prefixes: tuple[str, ...]) -> None:
        """Say which of the tensors whose names begin so are cast."""
        facts = facts_of(self._state)
        say_casts({name: each for name, each in facts.items() if name.startswith(prefixes)}, self.path)

    def _fact(self, part: str, name: str) -> Any:  # noqa: ANN401 - a value of JSON
        facts = self._config.get(part)
        return facts.get(name) if isinstance(facts, dict) else None

    def _size(self, part: str, name: str) -> int:
        value = self._fact(part, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < (name != "tf_depth"):
            raise DataError(
                f"the configuration has no {part}.{name}: it is {value!r}",
                where=str(self._config_path),
                allowed="a positive whole number",
                next_step="fetch the weights again",
            )
        return value


def load_mulan(folder: Path, audio: bool, text: bool) -> MeanOfSides:
    """Return the sides that are asked for, with the weights of a folder.

    Raises:
        DataError: If they are not exactly those of MuQ-MuLan.
    """
    checkpoint, device = MuLanCheckpoint(folder), torch_device()
    kinds: list[type[AudioSide] | type[TextSide]] = [AudioSide] * audio + [TextSide] * text
    sides = [kind(checkpoint, device) for kind in kinds]
    checkpoint.say_casts(tuple(prefix for kind in kinds for prefix in kind.prefixes))
    return MeanOfSides(sides)


def windows_of(clip: np.ndarray) -> list[np.ndarray]:
    """Return the windows of a clip, (samples,) float32 at 24 kHz.

    They are 10 s long. What is left at the end is followed by the beginning of the clip, once. A clip shorter than a
    second is repeated first.
    """
    wave = np.resize(clip, max(len(clip), _SHORTEST)).astype(np.float32, copy=False)
    windows = [wave[start : start + _WINDOW] for start in range(0, len(wave), _WINDOW)]
    windows[-1] = np.concatenate([windows[-1], wave[: _WINDOW - len(windows[-1])]])
    return windows
