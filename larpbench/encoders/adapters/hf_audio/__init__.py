"""Models of the Hugging Face hub that read the waveform, at a layer: HuBERT, MERT, wav2vec 2.0, EnCodec and others."""

from __future__ import annotations

from larpbench.encoders.adapters.hf_audio.binding import bind_hf_audio, build_hf_audio, split_argument
from larpbench.encoders.adapters.hf_audio.mert import MERT_95M, MERT_330M
from larpbench.encoders.adapters.hf_audio.reference import HUBERT
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.layers import TAKES
from larpbench.encoders.spec import EncoderSpec

NAMES = ("hf-audio", "mert-330m", "mert-95m")
__all__ = ["HF_AUDIO", "MERT_95M", "MERT_330M", "split_argument"]

HF_AUDIO = EncoderSpec(
    EncoderCard(
        name="hf-audio",
        version=1,
        summary="HuBERT, MERT-v0, wav2vec 2.0 or EnCodec",
        modalities=("audio",),
        dim=None,
        pooling="mean over time of a layer's hidden states",
        weights="those of the checkpoint",
        licence="Apache-2.0, that of the model",
        training_data="that of the checkpoint",
        original="AutoModel of transformers 5.23.0",
        verification="transformers called literally, small configurations, random weights: 3e-7 of a vector's length",
        tracks_per_second=0.3,
    ),
    factory=build_hf_audio,
    reference=HUBERT,
    requires=("transformers",),
    takes=f"HF_NAME[{TAKES}]",
    binder=bind_hf_audio,
)
