"""LAION's own checkpoint of CLAP for music (Wu et al. 2023), in the format of its authors' code.

The code itself needs an old numpy, torchvision and network when it is imported. None of that is needed here: its audio
tower is the HTS-AT that larpbench has anyway, followed by two layers of projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.front_end import log_mel, windows
from larpbench.encoders.towers.initial_weights import NOT_LEARNED, audio_state, published_facts, read_state
from larpbench.encoders.towers.openvino import OpenVinoCall
from larpbench.encoders.towers.settings import SwinSettings
from larpbench.encoders.weights.stored import numpy_scalars
from larpbench.errors import DataError

SAMPLE_RATE = 48_000
"""Hz."""
DIM = 512
WEIGHTS_FILE = "music_audioset_epoch_15_esc_90.14.pt"
_TOWER, _PROJECTION = "audio_branch.", "audio_projection."
_NOT_AUDIO = (
    *("text_branch.*", "text_transform.*", "text_projection.*", "audio_transform.*", "logit_scale_a", "logit_scale_t"),
    *(f"{_TOWER}{part}.*" for part in ("spectrogram_extractor", "logmel_extractor", "tscam_conv", "head")),
)
"""The text side, and layers of training, in front of and beside the tower."""
_INT16 = 32_767  # the authors' code rounds waveforms to 16 bits


class LaionClapEncoder:
    """The projected audio vector of CLAP: mean over windows of 10 s, scaled to length 1.

    Args:
        path: The checkpoint.
        device: Where to compute, as torch names it.
        openvino: Whether OpenVINO computes, on the CPU.

    Raises:
        DataError: If the checkpoint is of another kind.
    """

    def __init__(self, path: Path, device: str, openvino: bool = False) -> None:
        state = read_checkpoint(path)
        settings = _settings(state, path)
        self._tower = AudioTower(settings)
        self._projection = nn.Sequential(nn.Linear(self._tower.width, DIM), nn.ReLU(), nn.Linear(DIM, DIM))
        expected = {f"{_TOWER}{name}": facts for name, facts in published_facts(self._tower).items()}
        expected |= {f"{_PROJECTION}{name}": facts for name, facts in facts_of(self._projection.state_dict()).items()}
        found = facts_of(state)
        require_tensors(found, expected, "the audio side of LAION's CLAP", path, unused=_NOT_AUDIO)
        say_casts({name: found[name] for name in expected}, path)
        tower = audio_state(state, _TOWER)
        fitting = {name: values for name, values in tower.items() if not name.endswith(NOT_LEARNED)}
        self._tower.load_state_dict(fitting, strict=False)
        projection = {name: values for name, values in state.items() if name.startswith(_PROJECTION)}
        self._projection.load_state_dict({name.removeprefix(_PROJECTION): each for name, each in projection.items()})
        for module in (self._tower, self._projection):
            module.eval().to(device)
        self._mel, self._device = settings.mel, device

        def forward(mels: Tensor) -> Tensor:
            found: Tensor = self._projection(self._tower(mels))
            return found

        both = nn.ModuleList([self._tower, self._projection])
        self._forward = OpenVinoCall(both, forward, bfloat16=False) if openvino else forward

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 512) float32, rows of length 1, of `batch.audio`, (n, samples) float32 at 48 kHz.

        A clip of less than 10 s is repeated as often as it fits in whole, then filled up with zeros, as in training.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        audio = batch.require_audio("laion-clap")
        vectors = np.empty((len(batch), DIM), dtype=np.float32)
        for row, clip in enumerate(audio):
            cut = windows(self._filled(clip), self._mel)[0]
            projected = self._forward(log_mel(cut.to(self._device), self._mel))
            vectors[row] = functional.normalize(projected.mean(dim=0), dim=0).cpu().numpy()
        return vectors

    def _filled(self, clip: np.ndarray) -> Tensor:
        rounded = (np.clip(clip, -1, 1) * _INT16).astype(np.int16).astype(np.float32) / _INT16
        length = round(self._mel.window_s * self._mel.sample_rate)
        if len(rounded) < length:
            rounded = np.tile(rounded, length // len(rounded))
            rounded = np.pad(rounded, (0, length - len(rounded)))
        return torch.from_numpy(rounded)[None]


def read_checkpoint(path: Path) -> Mapping[str, Tensor]:
    """Return the weights of a checkpoint; numpy numbers, which lie beside them, are let through, and nothing else is.

    Raises:
        DataError: If it is none, or holds what only executing it could read.
    """
    with torch.serialization.safe_globals(numpy_scalars()):
        return read_state(path)


def _settings(state: Mapping[str, Tensor], path: Path) -> SwinSettings:
    """Return the size of the tower, such as that of HTSAT-base for the music checkpoint."""
    tables = sorted(  # one a block: (positions, heads)
        (int(parts[0]), int(parts[2]), values.shape[1])
        for name, values in state.items()
        if (parts := name.removeprefix(f"{_TOWER}layers.").split("."))
        and name.startswith(f"{_TOWER}layers.")
        and name.endswith(".relative_position_bias_table")
    )
    stem = state.get(f"{_TOWER}patch_embed.proj.weight")
    if not tables or stem is None:
        raise DataError("this is no checkpoint of LAION's CLAP with an HTS-AT", where=str(path))
    stages = range(tables[-1][0] + 1)
    return SwinSettings(
        width=stem.shape[0],
        depths=tuple(sum(stage == each for each, _, _ in tables) for stage in stages),
        heads=tuple(next(heads for each, _, heads in tables if each == stage) for stage in stages),
    )
