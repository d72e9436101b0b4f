"""What the configurations of audio-language models say of their audio towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_QWEN = "qwen2_audio"
TOWERS = (_QWEN, f"{_QWEN}_encoder", "audioflamingo3", "audioflamingo3_encoder", "musicflamingo")
"""Types of model, as their configurations name them, of which the audio tower can be run."""
_DEPTH, _WIDTH = 32, 1_280  # where a configuration leaves them out, as published ones may
FRAMES = ", of frames of 40 ms without padding"
WINDOWS = ", then {} windows of {:g} s, the last of which ends with the clip"
WINDOW_S = 30.0
"""Seconds in a window, where the feature extractor does not say."""

OF_TOWERS = {
    "summary": "audio tower of Qwen2-Audio, Audio Flamingo 3 or Music Flamingo",
    "original": "the audio tower, written out; computed by Qwen2AudioEncoder or AudioFlamingo3Encoder of transformers",
    "verification": "an independent forward pass in float64, with its own log-mel, mask and pooling; published names, "
    "narrow, made-up weights: largest difference 2e-6 of a vector's length over all layers; the authors' own code and "
    "the published weights have not been run",
}
"""What the card of every tower says."""


def is_qwen(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of Qwen2-Audio."""
    return str(config.get("model_type")).startswith(_QWEN)


def tower_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the audio tower alone."""
    return dict(config.get("audio_config", config))


def depth_of(config: Mapping[str, Any]) -> int:
    """Return the number of the last layer of any model of ``hf-audio``."""
    if config.get("model_type") not in TOWERS:
        return int(config["num_hidden_layers"])
    tower = tower_config(config)
    return int(tower.get("num_hidden_layers", tower.get("encoder_layers", _DEPTH)))


def width_of_tower(config: Mapping[str, Any]) -> int:
    """Return how many numbers a state of the tower has."""
    tower = tower_config(config)
    return int(tower.get("hidden_size", tower.get("d_model", _WIDTH)))
