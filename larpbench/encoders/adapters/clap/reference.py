"""CLAP and HTS-AT: transformers' own feature extractor and model, called as their documentation does."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, write_model, write_tokenizer
from larpbench.encoders.towers.hub_models import quiet

_FOLDER = Path(__file__).parent

_WINDOW_S = 10


def write_checkpoint(folder: Path) -> None:
    """Write a CLAP of about 60,000 weights."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    tokens = write_tokenizer(folder)
    text = {
        "vocab_size": tokens,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 140,
        "pad_token_id": 0,
    }
    audio = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 64,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 2, 4],
        "enable_fusion": False,
    }
    write_model(ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=16)), folder)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)


def run_clap(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return what transformers makes of clips and captions, one at a time, (n, dim) float32.

    A clip is handed over in windows of 10 s, the last one ending with the clip: of a longer one, the extractor would
    crop 10 s at random.
    """
    import torch

    view = next((each for each in ("audio", "text") if each in (argument or "").split(":")), "both")
    rows = []
    for row, caption in enumerate(batch.captions):
        sides = []
        with torch.inference_mode():
            if view in ("audio", "both") and batch.audio is not None:
                sides.append(_unit(np.mean([_audio(folder, window) for window in _windows(batch.audio[row])], axis=0)))
            if view in ("text", "both"):
                sides.append(_text(folder, str(caption)))
        rows.append(np.mean(sides, axis=0))
    return np.stack(rows).astype(np.float32)


def run_htsat(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the pooled output of the audio tower, mean over windows, (n, dim) float32."""
    import torch

    model, inputs = _loaded(folder), _extracted
    with torch.inference_mode():
        rows = [
            np.mean([model.audio_model(**inputs(folder, window)).pooler_output[0].numpy() for window in windows], 0)
            for windows in map(_windows, batch.require_audio("HTS-AT"))
        ]
    return np.stack(rows).astype(np.float32)


def _audio(folder: Path, window: np.ndarray) -> np.ndarray:
    features = _loaded(folder).get_audio_features(**_extracted(folder, window))
    return np.asarray(getattr(features, "pooler_output", features)[0])


def _text(folder: Path, caption: str) -> np.ndarray:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokens = tokenizer([caption], truncation=True, return_tensors="pt")
    features = _loaded(folder).get_text_features(**{name: tokens[name] for name in ("input_ids", "attention_mask")})
    return np.asarray(getattr(features, "pooler_output", features)[0])


def _extracted(folder: Path, window: np.ndarray) -> dict[str, object]:
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
    inputs = extractor(window, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return {name: inputs[name] for name in ("input_features", "is_longer")}


@functools.lru_cache(maxsize=1)
def _loaded(folder: Path) -> Any:  # noqa: ANN401 - a ClapModel
    from transformers import ClapModel

    with quiet():
        model: Any = ClapModel.from_pretrained(folder, local_files_only=True)
    return model.eval()


def _windows(clip: np.ndarray) -> list[np.ndarray]:
    length = _WINDOW_S * 48_000
    starts = [*range(0, max(len(clip) - length, 0), length), max(len(clip) - length, 0)]
    return [clip[start : start + length] for start in starts]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


_ORIGINAL = "transformers 5.23.0"
CLAP = Reference(_FOLDER / "clap.npz", _ORIGINAL, write_checkpoint, run_clap)
HTSAT = Reference(_FOLDER / "htsat.npz", _ORIGINAL, write_checkpoint, run_htsat)
