"""XLM-R, the text side of several encoders: its configuration, which lies beside their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from larpbench.errors import DataError


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
