"""The positional convolution of HuBERT and wav2vec 2.0: its weight must be the stored one.

It is stored as a direction and a length, under names that changed with torch 2. A library that does not know the older
ones fills the convolution with random numbers and may not say so: no tensor is then missing by its new name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from larpbench.encoders.weights.stored import model_files, read_named, stored_tensors
from larpbench.errors import DataError, named

_SPELLINGS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""Length and direction, by older and by newer versions of torch."""
_ALIKE = 1e-5  # of a weight's length: the same numbers in another order of operations


def require_stored_weights(model: Any, folder: Path) -> int:  # noqa: ANN401 - transformers' classes
    """Check the weights of all convolutions that are stored as length and direction, in float32.

    Args:
        model: A model of transformers, loaded from `folder`.
        folder: Holds its weights.

    Returns:
        How many weights were checked.

    Raises:
        DataError: If one is not the stored one, is not stored, or is stored twice.
    """
    modules = [
        name for name, module in model.named_modules() if torch.nn.utils.parametrize.is_parametrized(module, "weight")
    ]
    stored = stored_tensors(model_files(folder)) if modules else {}
    for module in modules:
        pairs = [
            (length, length.removesuffix(first) + second)
            for first, second in _SPELLINGS
            for length in stored
            if f".{length}".endswith(f".{module}.{first}")
        ]
        if len(pairs) != 1 or pairs[0][1] not in stored:
            found = [each for each in stored if module in each]
            raise DataError(
                f"the weight of {module!r} is not stored once, as length and direction: there are {named(found)}",
                where=str(folder),
                allowed=" or ".join(f"{module}.{first} and {second}" for first, second in _SPELLINGS),
                next_step="fetch the weights again",
            )
        length, direction = (read_named(stored[name][1], [name])[0].double() for name in pairs[0])
        axes = [axis for axis, size in enumerate(length.shape) if size == 1]
        expected = length * direction / direction.pow(2).sum(dim=axes, keepdim=True).sqrt()
        weight = model.get_submodule(module).weight.detach().cpu().double()
        if weight.shape != expected.shape or (weight - expected).norm() > _ALIKE * expected.norm():
            raise DataError(
                f"the weight of {module!r} is not the stored one after loading: the installed version of transformers "
                "does not read it",
                where=str(stored[pairs[0][0]][1]),
                next_step="install the versions of constraints.txt: pip install -c constraints.txt larpbench",
            )
    return len(modules)
