"""The dense layers of a sentence encoder, with exactly the weights that its files have."""

from __future__ import annotations

import torch
from torch import nn

from larpbench.checkpoint_tensors import facts_of, require_tensors
from larpbench.encoders.adapters.text.sentence_files import DenseLayer
from larpbench.encoders.weights.stored import model_files, read_named, stored_tensors
from larpbench.errors import DataError, UsageError

_ACTIVATIONS = {each.__name__: each for each in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid)}


def load_dense(layer: DenseLayer, device: str) -> nn.Module:
    """Return a dense layer and its activation, in float32.

    Raises:
        UsageError: If the activation is unknown.
        DataError: If its weights are missing, damaged, or not exactly those of such a layer.
    """
    name = layer.activation.rpartition(".")[2]
    if not layer.activation.startswith("torch.nn.") or name not in _ACTIVATIONS:
        raise UsageError(
            f"a dense layer with {layer.activation!r} cannot be run",
            where=str(layer.folder),
            allowed=", ".join(_ACTIVATIONS),
        )
    linear = nn.Linear(layer.width, layer.dim, bias=layer.bias)
    expected = {f"linear.{key}": facts for key, facts in facts_of(linear.state_dict()).items()}
    files = model_files(layer.folder)[:1]
    if not files:
        raise DataError("a dense layer has no weights", where=str(layer.folder), allowed="model.safetensors")
    found = {key: facts for key, (facts, _) in stored_tensors(files).items()}
    require_tensors(found, expected, f"a dense layer {layer.width} -> {layer.dim}", files[0])
    tensors = read_named(files[0], list(expected))
    with torch.no_grad():
        for parameter, tensor in zip(linear.parameters(), tensors, strict=True):
            parameter.copy_(tensor)
    return nn.Sequential(linear, _ACTIVATIONS[name]()).to(device).eval()
