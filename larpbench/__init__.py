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
    from larpbench.benchmark.plan import plan as plan
    from larpbench.benchmark.run import run as run
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.names import get_encoder, list_encoders
    from larpbench.results.table import load_results as load_results

_WHERE = {
    "get_encoder": "larpbench.encoders.names:get_encoder",
    "list_encoders": "larpbench.encoders.names:list_encoders",
    "load_dataset": "larpbench.datasets.catalogue:load_dataset",
    "load_results": "larpbench.results.table:load_results",
    "plan": "larpbench.benchmark.plan:plan",
    "run": "larpbench.benchmark.run:run",
}
__all__ = ["get_encoder", "list_encoders", "load_dataset", "load_results", "plan", "run"]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
