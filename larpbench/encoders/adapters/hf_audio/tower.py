"""Audio towers of audio-language models: Qwen2-Audio, Audio Flamingo 3, Music Flamingo, each like Whisper's encoder.

Only the tower's tensors are read from a checkpoint; those of the language model are not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.encoders.adapters.hf_audio.towers import is_qwen, tower_config
from larpbench.encoders.towers.hub_models import Place, quiet
from larpbench.encoders.weights.stored import model_files, read_named, stored_tensors
from larpbench.errors import DataError

_PREFIXES = ("model.audio_tower.", "audio_tower.")
"""Of the tower's tensors in a checkpoint with a language model, by newer and older versions of transformers."""
_UNUSED = ("*pos_emb.freqs",)
"""Of Music Flamingo's rotary time embedding, which stands behind the tower; some checkpoints keep it with the tower."""
_SHORTEST_S = 1.0  # a shorter clip is repeated


class AudioTower:
    """The audio side of an audio-language model; clips are cut into windows of 30 s.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.

    Raises:
        DataError: If it is damaged, or the tower's tensors are not exactly those of the model.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        from transformers import WhisperFeatureExtractor

        with quiet():
            try:
                self._extractor: Any = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
            except (OSError, ValueError, KeyError) as error:
                raise DataError(f"no feature extractor can be read: {error}", where=str(folder)) from error
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._qwen = is_qwen(config)
        self._model = load_tower(folder, config).to(device=place.device, dtype=place.dtype)
        self._device, self._dtype = place.device, place.dtype
        frames = self._extractor.n_samples // self._extractor.hop_length
        if frames != 2 * self._model.max_source_positions:
            raise DataError(
                f"a window of the feature extractor has {frames} frames",
                where=str(folder),
                allowed=f"{2 * self._model.max_source_positions}, twice max_source_positions",
            )

    def windows(self, clip: np.ndarray) -> list[Tensor]:
        """Return the windows of a clip, (samples,) float32; the last one ends with the clip."""
        rate, length = self._extractor.sampling_rate, self._extractor.n_samples
        wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * rate))).astype(np.float32, copy=False)
        starts = [*range(0, len(wave) - length, length), max(0, len(wave) - length)]
        return [torch.from_numpy(wave[start : start + length]) for start in starts]

    def states(self, window: Tensor, last: int) -> list[Tensor]:
        """Return hidden states 0 to `last` of one window, (frames, width) each, without those of padding.

        A frame is the mean of two of the model's, as at the end of the tower: 25 a second. State 0 enters the first
        layer, n is what the nth gives, and the last one is the tower's output, after its normalisation.
        """
        given = self._extractor(
            window.numpy(),
            sampling_rate=self._extractor.sampling_rate,
            return_attention_mask=True,
            return_tensors="pt",
        )
        mels, mask = given["input_features"].to(self._device, self._dtype), given["attention_mask"].to(self._device)
        model_frames = (int(mask.sum()) - 1) // 2 + 1
        frames = max(1, model_frames // 2)
        output = self._model(mels, **self._masked(mask, model_frames), output_hidden_states=True)
        layers = output.hidden_states[:-1]
        states = [each[0, : 2 * frames].unflatten(0, (frames, 2)).mean(dim=1) for each in layers[: last + 1]]
        return states if last < len(layers) else [*states, output.last_hidden_state[0, :frames]]

    def _masked(self, mask: Tensor, frames: int) -> dict[str, Tensor]:
        """Return what keeps the tower from attending to padding."""
        if not self._qwen:
            return {"input_features_mask": mask}
        length = self._model.max_source_positions
        hidden = torch.arange(length, device=self._device) >= frames
        added = torch.zeros(1, 1, length, length, device=self._device, dtype=self._dtype)
        return {"attention_mask": added.masked_fill(hidden, torch.finfo(self._dtype).min)}


def load_tower(folder: Path, config: dict[str, Any]) -> Any:  # noqa: ANN401 - transformers has no common type for it
    """Return the tower of a checkpoint, for inference.

    Args:
        folder: Holds the weights.
        config: What its ``config.json`` says.

    Raises:
        DataError: If the tensors are not exactly those of the tower.
    """
    from transformers import (
        AudioFlamingo3Encoder,
        AudioFlamingo3EncoderConfig,
        Qwen2AudioEncoder,
        Qwen2AudioEncoderConfig,
    )

    kinds: tuple[Any, Any] = (Qwen2AudioEncoder, Qwen2AudioEncoderConfig)
    if not is_qwen(config):
        kinds = (AudioFlamingo3Encoder, AudioFlamingo3EncoderConfig)
    sizes = {name: value for name, value in tower_config(config).items() if name not in ("model_type", "dtype")}
    with quiet(), torch.device("meta"):
        try:
            model: Any = kinds[0](kinds[1].from_dict(sizes))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"no model can be read: {error}", where=str(folder / "config.json")) from error

    stored = stored_tensors(model_files(folder))
    prefix = ""
    if "audio_config" in config:
        newer, older = _PREFIXES
        prefix = newer if any(name.startswith(newer) for name in stored) else older
    found = {name: facts for name, (facts, _) in stored.items() if name.startswith(prefix)}
    files = {stored[name][1] for name in found}
    where = files.pop() if len(files) == 1 else folder
    expected = {f"{prefix}{name}": facts for name, facts in facts_of(model.state_dict()).items()}
    require_tensors(found, expected, type(model).__name__, where, unused=_UNUSED)
    say_casts({name: found[name] for name in expected}, where)
    in_file = defaultdict(list)
    for name in expected:
        in_file[stored[name][1]].append(name)
    state = {
        name.removeprefix(prefix): tensor.float()
        for path, names in in_file.items()
        for name, tensor in zip(names, read_named(path, names), strict=True)
    }
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)
