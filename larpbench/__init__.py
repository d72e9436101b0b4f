"""larpbench: how good is a music encoder for tracks and playlists that nobody has played yet?

The public API; everything is imported on first use.

    >>> import larpbench
    >>> plan = larpbench.plan(larpbench.load_dataset("demo"), encoders=["tfidf"], output="results")
    >>> summary = larpbench.run(plan)
    >>> tables = larpbench.load_results("results")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders import get_encoder, list_encoders
    from larpbench.planning import make_plan as plan
    from larpbench.results.tables import load_tables as load_results
    from larpbench.runner import carry_out as run

_WHERE = {
    "get_encoder": "larpbench.encoders:get_encoder",
    "list_encoders": "larpbench.encoders:list_encoders",
    "load_dataset": "larpbench.datasets.catalogue:load_dataset",
    "load_results": "larpbench.results.tables:load_tables",
    "plan": "larpbench.planning:make_plan",
    "run": "larpbench.runner:carry_out",
}
__all__ = ["get_encoder", "list_encoders", "load_dataset", "load_results", "plan", "run"]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
