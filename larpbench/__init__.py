"""larpbench: how good is a music encoder for tracks and playlists that nobody has played yet?

The public API; everything is imported on first use.

    >>> import larpbench
    >>> results = larpbench.evaluate({"mine": model, "tfidf": "tfidf"}, "demo")
    >>> results.compare("mine", "tfidf")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from larpbench.benchmark.evaluate import evaluate as evaluate
    from larpbench.benchmark.plan import plan as plan
    from larpbench.benchmark.registration import register as register
    from larpbench.benchmark.run import run as run
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.encoder import TrackBatch
    from larpbench.encoders.names import get_encoder, list_encoders
    from larpbench.encoders.objects import as_encoder
    from larpbench.results.results import Results, load_results
    from larpbench.results.results import compare as compare

    __version__: str

_WHERE = {
    "Results": "larpbench.results.results:Results",
    "TrackBatch": "larpbench.encoders.encoder:TrackBatch",
    "as_encoder": "larpbench.encoders.objects:as_encoder",
    "compare": "larpbench.results.results:compare",
    "evaluate": "larpbench.benchmark.evaluate:evaluate",
    "get_encoder": "larpbench.encoders.names:get_encoder",
    "list_encoders": "larpbench.encoders.names:list_encoders",
    "load_dataset": "larpbench.datasets.catalogue:load_dataset",
    "load_results": "larpbench.results.results:load_results",
    "plan": "larpbench.benchmark.plan:plan",
    "register": "larpbench.benchmark.registration:register",
    "run": "larpbench.benchmark.run:run",
}
__all__ = [
    "Results",
    "TrackBatch",
    "__version__",
    "as_encoder",
    "compare",
    "evaluate",
    "get_encoder",
    "list_encoders",
    "load_dataset",
    "load_results",
    "plan",
    "register",
    "run",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from larpbench.registry import own_version

        return own_version()
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE, "__version__"])
