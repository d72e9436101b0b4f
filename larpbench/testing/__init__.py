"""Conformance tests for authors of plug-ins: what larpbench relies on.

    from larpbench.testing import check_encoder
    assert not [check for check in check_encoder(SPEC) if check.outcome == "fail"]

``larpbench check`` prints the same as a table.
"""

from __future__ import annotations

from larpbench.testing.checks import Check
from larpbench.testing.datasets import check_dataset
from larpbench.testing.encoders import check_encoder
from larpbench.testing.recommenders import check_recommender
from larpbench.testing.references import check_reference
from larpbench.testing.tasks import check_task
from larpbench.testing.toys import toy_batch, toy_split
from larpbench.testing.worlds import toy_graph, toy_playlists

__all__ = [
    "Check",
    "check_dataset",
    "check_encoder",
    "check_recommender",
    "check_reference",
    "check_task",
    "toy_batch",
    "toy_graph",
    "toy_playlists",
    "toy_split",
]
