"""OpenL3 (Cramer et al. 2019): what sound and picture of a video have in common, seen from the sound; music weights.

The package ``torchopenl3`` ports the published network to torch: mel spectrogram of 256 bands, 512 numbers a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.encoders.adapters.openl3.reference import REFERENCE, WEIGHTS_FILE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import WeightFile, Weights
from larpbench.encoders.weights.stored import read_torch

SAMPLE_RATE = 48_000
"""Hz."""
DIM = 512
_HOP_S = 1.0  # windows of 1 s side by side


class OpenL3Encoder:
    """Mean over windows of 1 s, side by side, of the network's 512 numbers.

    Args:
        path: The weights.

    Raises:
        DataError: If the file holds no weights of this network.
    """

    def __init__(self, path: Path) -> None:
        from torchopenl3.models import PytorchOpenl3

        self._model = PytorchOpenl3(input_repr="mel256", content_type="music", embedding_size=DIM)
        state = read_torch(path)
        facts = facts_of(state)
        require_tensors(facts, facts_of(self._model.state_dict()), "OpenL3 (mel256, 512)", path)
        say_casts(facts, path)
        self._model.load_state_dict(state, strict=False)  # what it may lack are counters of training
        self._model.eval()

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 512) float32 of `batch.audio`, (n, samples) float32 at 48 kHz.

        A last window that is not full, and a clip of less than 1 s, are filled up with zeros, as the package does.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        from torchopenl3 import get_audio_embedding

        audio = batch.require_audio("openl3")
        vectors = np.empty((len(batch), DIM), dtype=np.float32)
        for row, clip in enumerate(audio):
            windows, _ = get_audio_embedding(clip, SAMPLE_RATE, model=self._model, center=False, hop_size=_HOP_S)
            vectors[row] = windows[0].mean(dim=0).cpu().numpy()
        return vectors


def build_openl3(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the fetched weights."""
    return OpenL3Encoder(context.weights_folder / WEIGHTS_FILE)


OPENL3 = EncoderSpec(
    EncoderCard(
        name="openl3",
        version=1,
        summary="OpenL3 (Cramer et al. 2019), music",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=1.0,
        pooling="mean over windows of 1 s, side by side",
        weights="pretrained: mel256, music, 512 (torchopenl3)",
        licence="MIT, CC-BY-4.0",
        training_data="music videos of AudioSet: sound and picture",
        paper="Cramer et al. 2019, Look, Listen and Learn More: Design Choices for Deep Audio Embeddings",
        original="torchopenl3 1.0.1",
        verification="the package called literally, true shape, random weights: no difference",
        parameters=4_700_000,  # to two digits
        citation=("cramer2019openl3",),
        tracks_per_second=0.4,
    ),
    factory=build_openl3,
    reference=REFERENCE,
    requires=("torchopenl3", "pkg_resources"),
    extra="openl3",
    weights=Weights(
        "openl3-music-mel256-512",
        licence="CC-BY-4.0",
        size=37_000_000,
        files=(
            WeightFile(WEIGHTS_FILE, f"https://github.com/torchopenl3/torchopenl3-models/raw/master/{WEIGHTS_FILE}"),
        ),
        elsewhere=("~/.cache/torch/hub/checkpoints",),
    ),
)
