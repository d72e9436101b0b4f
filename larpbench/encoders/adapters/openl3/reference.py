"""OpenL3: the package ``torchopenl3`` called as its documentation does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from larpbench.encoders.adapters.openl3.encoder import WEIGHTS_FILE
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

_FOLDER = Path(__file__).parent

_NOT_LEARNED = ("speclayer.", "num_batches_tracked")


def write_checkpoint(folder: Path) -> None:
    """Write a network of its true shape, 4.7 million weights."""
    model = _network()
    state = model.state_dict()
    for name, values in state.items():
        if not name.startswith(_NOT_LEARNED) and not name.endswith(_NOT_LEARNED):
            # Only the first normalisation sees decibels; the others divide by about 1, and weights must not add up.
            made_up = name if "normalization_1." in name else name.replace("running_var", "weight").replace("_mean", "")
            numbers = seeded(made_up, tuple(values.shape)) * (0.3 if values.ndim > 1 else 1.0)
            state[name] = torch.from_numpy(np.asarray(numbers, dtype=np.float32))
    torch.save(state, folder / WEIGHTS_FILE)


def run_openl3(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the mean over windows of 1 s side by side, (n, 512) float32."""
    import torchopenl3

    model = _network()
    model.load_state_dict(torch.load(folder / WEIGHTS_FILE, weights_only=True))
    windows, _ = torchopenl3.get_audio_embedding(
        batch.require_audio("OpenL3"), 48_000, model=model.eval(), hop_size=1.0, center=False, verbose=False
    )
    return windows.mean(dim=1).numpy()


def _network() -> torch.nn.Module:
    from torchopenl3.models import PytorchOpenl3

    return PytorchOpenl3(input_repr="mel256", content_type="music", embedding_size=512)


OPENL3 = Reference(_FOLDER / "openl3.npz", "torchopenl3 1.0.1", write_checkpoint, run_openl3, seconds=2.0)
