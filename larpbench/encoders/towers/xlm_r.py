"""XLM-R, the text side of several encoders: its configuration and tokenizer, which lie beside their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from larpbench.encoders.weights.finder import WeightFile
from larpbench.errors import DataError

XLM_R_FOLDER = "xlm-roberta-base"
"""Holds them, in the folder of the weights."""
_MODEL, _REVISION = "FacebookAI/xlm-roberta-base", "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089"


def xlm_r_files() -> tuple[WeightFile, ...]:
    """Return the files of XLM-R that lie beside weights which hold its tensors: configuration and tokenizer."""
    names = ("config.json", "tokenizer.json", "tokenizer_config.json")
    return tuple(WeightFile.of_hub(_MODEL, _REVISION, name, f"{XLM_R_FOLDER}/") for name in names)


def read_xlm_r_config(path: Path) -> Any:  # noqa: ANN401 - an XLMRobertaConfig
    """Return the configuration of XLM-R in a ``config.json``.

    Raises:
        DataError: If it cannot be read, or is of another model.
    """
    from transformers import XLMRobertaConfig

    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (kind := facts.get("model_type")) != XLMRobertaConfig.model_type:
            raise ValueError(f"it is of type {kind!r}")
        return XLMRobertaConfig.from_dict(facts)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"no configuration of XLM-R can be read: {error}", where=str(path), next_step="fetch the weights again"
        ) from error
