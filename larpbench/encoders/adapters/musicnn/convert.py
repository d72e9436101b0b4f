"""Makes the bundled weights out of the published package.

    pip download --no-deps musicnn==0.1.0
    python -m larpbench.encoders.adapters.musicnn.convert musicnn-0.1.0-py3-none-any.whl --output FOLDER

The wheel holds TensorFlow checkpoints. The weights of the network are kept, the optimiser's state is not.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from larpbench.encoders.adapters.musicnn.checkpoint import read_checkpoint
from larpbench.encoders.adapters.musicnn.model import Musicnn
from larpbench.errors import DataError, LarpbenchError
from larpbench.fingerprint import digest_file

WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
"""Of musicnn-0.1.0-py3-none-any.whl."""
_LICENCE = "musicnn-0.1.0.dist-info/LICENSE.md"


def convert(wheel: Path, output: Path) -> list[Path]:
    """Write ``msd.safetensors``, ``mtt.safetensors`` and the licence they come under.

    Args:
        wheel: The wheel of musicnn 0.1.0.
        output: Folder to write into; made if it is not there.

    Returns:
        The files written.

    Raises:
        DataError: If the wheel is another one.
    """
    digest = digest_file(wheel)
    if digest != WHEEL_SHA256:
        raise DataError(
            f"not the wheel of musicnn 0.1.0: its sha256 is {digest}",
            where=str(wheel),
            allowed=WHEEL_SHA256,
            next_step="pip download --no-deps musicnn==0.1.0",
        )
    output.mkdir(parents=True, exist_ok=True)
    written = []
    with zipfile.ZipFile(wheel) as archive:
        for name in ("msd", "mtt"):
            folder = f"musicnn/{name.upper()}_musicnn"
            index, data = archive.read(f"{folder}/.index"), archive.read(f"{folder}/.data-00000-of-00001")
            path = output / f"{name}.safetensors"
            path.write_bytes(save(network_of(read_checkpoint(index, data)).state_dict(), metadata={"licence": "ISC"}))
            written.append(path)
        written.append(output / "NOTICE")
        written[-1].write_text(_notice(archive.read(_LICENCE).decode()), encoding="utf-8")
    return written


def network_of(variables: dict[str, np.ndarray]) -> Musicnn:
    """Return the network with the variables of a TensorFlow checkpoint of musicnn."""
    model = Musicnn()
    state = model.state_dict()
    blocks = [*(f"front.{number}" for number in range(5)), *(f"mid.{number}" for number in range(3))]
    for scope, layers in {  # in the order in which the published code makes them
        "conv2d": [f"{block}.conv" for block in blocks],
        "batch_normalization": ["input_norm", *(f"{block}.norm" for block in blocks), "pool_norm", "dense_norm"],
        "dense": ["dense", "tags"],
    }.items():
        for number, layer in enumerate(layers):
            n_axes = state[f"{layer}.weight"].ndim
            for name, values in _parameters(variables, f"{scope}_{number}" if number else scope, n_axes).items():
                state[f"{layer}.{name}"] = torch.from_numpy(values.copy())
    model.load_state_dict(state)
    return model.eval()


def _parameters(variables: dict[str, np.ndarray], scope: str, n_axes: int) -> dict[str, np.ndarray]:
    """Return the parameters of a layer by torch's names; TensorFlow puts the outputs last, torch first."""
    if n_axes == 1:
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        return {ours: variables[f"{scope}/{theirs}"] for ours, theirs in names.items()}
    kernel = variables[f"{scope}/kernel"]  # dense (inputs, outputs), else (frames, bands, inputs, outputs)
    if n_axes == 3:
        kernel = kernel[:, :, 0]  # the mid-end's channels stand where the bands were
    order = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}[n_axes]
    return {"weight": kernel.transpose(order), "bias": variables[f"{scope}/bias"]}


def _notice(licence: str) -> str:
    return (
        "msd.safetensors and mtt.safetensors hold the weights of MSD_musicnn and MTT_musicnn of the Python package\n"
        "musicnn 0.1.0 (https://github.com/jordipons/musicnn) in another file format, under its licence, ISC:\n"
        f"\n{licence.strip()}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m larpbench.encoders.adapters.musicnn.convert", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("wheel", type=Path, metavar="WHEEL", help="musicnn-0.1.0-py3-none-any.whl")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    options = parser.parse_args(arguments)
    try:
        for path in convert(options.wheel, options.output):
            print(path)  # noqa: T201
    except LarpbenchError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
