"""Towers run by OpenVINO: the same arithmetic on a CPU in half the time or less.

OpenVINO is told which precision to compute in: left alone, it takes bfloat16 wherever the CPU has it. Its package for
statistics of use, which sends them over the network, is not let in.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from larpbench.encoders.towers.hub_models import quiet

ROWS = 8
"""Rows of each call: fixed, so that a row's numbers do not depend on how many come with it."""


def _without_telemetry() -> ModuleType:
    """Return OpenVINO, whose converter has its own stand-in for the package that sends statistics."""
    import openvino
    import openvino.tools.ovc.convert_impl
    from openvino.tools.ovc import telemetry_stub

    for name, module in list(sys.modules.items()):
        if name.startswith("openvino.tools.ovc.") and hasattr(module, "tm"):
            module.tm = telemetry_stub  # type: ignore[attr-defined]
    return openvino


class _Called(nn.Module):
    """A function of a model as a module, which is what OpenVINO converts."""

    def __init__(self, model: nn.Module, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._model, self._call = model, call

    def forward(self, inputs: Tensor) -> Tensor:
        return self._call(inputs)


class OpenVinoCall:
    """A function of a model's inputs, compiled on the first call.

    Args:
        model: Holds the weights, in float32 on the CPU.
        call: The function of its inputs.
        bfloat16: Whether to compute in bfloat16, where the CPU can.
    """

    def __init__(self, model: nn.Module, call: Callable[[Tensor], Tensor], bfloat16: bool) -> None:
        self._module, self._bfloat16 = _Called(model, call).eval(), bfloat16
        self._compiled: dict[tuple[int, ...], Callable[[np.ndarray], Sequence[np.ndarray]]] = {}

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 of (n, ...) float32."""
        parts = []
        for part in torch.split(inputs.float(), ROWS):
            filled = torch.zeros(ROWS, *part.shape[1:])
            filled[: len(part)] = part
            found = self._run(filled)[: len(part)]
            parts.append(torch.from_numpy(found.copy()))  # the next call fills the same buffer
        return torch.cat(parts)

    def _run(self, inputs: Tensor) -> np.ndarray:
        shape = tuple(inputs.shape)
        if shape not in self._compiled:
            self._compiled[shape] = self._compile(inputs)
        return self._compiled[shape](inputs.numpy())[0]

    def _compile(self, inputs: Tensor) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
        openvino = _without_telemetry()
        with warnings.catch_warnings(), quiet(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of the tracer: sizes are the same in every call
            converted = openvino.convert_model(self._module, example_input=inputs, input=list(inputs.shape))
        hint = "bf16" if self._bfloat16 else "f32"
        options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1}
        compiled: Callable[[np.ndarray], Sequence[np.ndarray]] = openvino.Core().compile_model(
            converted, "CPU", options
        )
        return compiled
