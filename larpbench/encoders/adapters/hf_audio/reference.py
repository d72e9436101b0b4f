"""HuBERT, wav2vec 2.0 and EnCodec: transformers' own feature extractor and model, called as documented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.adapters.hf_audio.mert_reference import MERT_95M_REFERENCE, MERT_330M_REFERENCE, run_mert
from larpbench.encoders.adapters.hf_audio.tower_reference import TOWER_REFERENCES
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, write_model

_FOLDER = Path(__file__).parent

_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def write_hubert(folder: Path) -> None:
    """Write a HuBERT of the shape of MERT-v0 and hubert-base, but small: normalisation after each layer."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    write_model(HubertModel(HubertConfig(**_SMALL)), folder)
    Wav2Vec2FeatureExtractor(sampling_rate=16_000, do_normalize=True).save_pretrained(folder)


def write_wav2vec2(folder: Path) -> None:
    """Write a wav2vec 2.0 of the shape of the large ones, but small: normalisation before each layer."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(**_SMALL, do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
    write_model(Wav2Vec2Model(config), folder)
    Wav2Vec2FeatureExtractor(sampling_rate=16_000, do_normalize=False).save_pretrained(folder)


def write_encodec(folder: Path) -> None:
    """Write an EnCodec of the shape of encodec_24khz, but small."""
    from transformers import EncodecConfig, EncodecFeatureExtractor, EncodecModel

    config = EncodecConfig(num_filters=2, hidden_size=16, codebook_size=16, codebook_dim=16)
    write_model(EncodecModel(config), folder)
    EncodecFeatureExtractor(feature_size=1, sampling_rate=24_000).save_pretrained(folder)


def run_layer(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the hidden states of a layer, mean over time, (n, dim) float32.

    Args:
        folder: Holds the checkpoint.
        batch: Clips at its rate.
        argument: Ends with ``@LAYER``, or the last layer is meant; of a codec, what its encoder gives.
    """
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    _, at, layer = (argument or "").rpartition("@")
    rows = []
    with torch.inference_mode():
        for clip in batch.require_audio("the model"):
            inputs = extractor(clip, sampling_rate=extractor.sampling_rate, return_tensors="pt")
            if model.config.model_type == "encodec":
                rows.append(model.encoder(inputs["input_values"])[0].T.mean(dim=0).numpy())
            else:
                states = model(**inputs, output_hidden_states=True).hidden_states[int(layer) if at else -1]
                rows.append(states[0].mean(dim=0).numpy())
    return np.stack(rows)


_ORIGINAL = "transformers 5.23.0"
HUBERT = Reference(_FOLDER / "hubert.npz", _ORIGINAL, write_hubert, run_layer, seconds=3.0, sample_rate=16_000)
WAV2VEC2 = Reference(_FOLDER / "wav2vec2.npz", _ORIGINAL, write_wav2vec2, run_layer, seconds=3.0, sample_rate=16_000)
ENCODEC = Reference(_FOLDER / "encodec.npz", _ORIGINAL, write_encodec, run_layer, seconds=3.0, sample_rate=24_000)
_REFERENCES = {("encodec", 24_000): ENCODEC, ("hubert", 16_000): HUBERT, ("wav2vec2", 16_000): WAV2VEC2}


def reference_of(config: Mapping[str, Any], sample_rate: int) -> Reference | None:
    """Return the stored reference of models of a kind, None if there is none.

    Args:
        config: The configuration of a checkpoint.
        sample_rate: In Hz.
    """
    if config.get("model_type") == "mert_model" and sample_rate == MERT_95M_REFERENCE.sample_rate:
        published = MERT_330M_REFERENCE if config.get("do_stable_layer_norm") else MERT_95M_REFERENCE
        return replace(published, run=partial(run_mert, -1), default=published.arguments[-1])
    if sample_rate == 16_000 and (tower := TOWER_REFERENCES.get(str(config.get("model_type")))):
        return tower
    return _REFERENCES.get((str(config.get("model_type")), sample_rate))
