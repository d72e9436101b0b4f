"""The dense layers of a sentence encoder, with exactly the weights that its files have."""

from __future__ import annotations

import pickle

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from larpbench.encoders.adapters.text.sentence_files import DenseLayer
from larpbench.errors import DataError, UsageError

_ACTIVATIONS = {each.__name__: each for each in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid)}
_FILES = ("model.safetensors", "pytorch_model.bin")


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
    expected = {f"linear.{key}": tensor for key, tensor in linear.state_dict().items()}
    stored = _stored(layer)
    faults = [
        *(f"{key!r} is missing" for key in expected if key not in stored),
        *(f"{key!r} is unexpected" for key in stored if key not in expected),
        *(
            f"{key!r} is {tuple(stored[key].shape)} of {stored[key].dtype}, and should be {tuple(tensor.shape)}"
            for key, tensor in expected.items()
            if key in stored and (stored[key].shape != tensor.shape or not stored[key].is_floating_point())
        ),
    ]
    if faults:
        raise DataError(
            f"the weights are not those of this dense layer: {'; '.join(faults)}",
            where=str(layer.folder),
            next_step="fetch the weights again, or name another model",
        )
    linear.load_state_dict({key.removeprefix("linear."): tensor.float() for key, tensor in stored.items()})
    return nn.Sequential(linear, _ACTIVATIONS[name]()).to(device).eval()


def _stored(layer: DenseLayer) -> dict[str, Tensor]:
    path = next((layer.folder / name for name in _FILES if (layer.folder / name).is_file()), None)
    if path is None:
        raise DataError("a dense layer has no weights", where=str(layer.folder), allowed=" or ".join(_FILES))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise DataError(f"the weights of a dense layer cannot be read: {error}", where=str(path)) from error
