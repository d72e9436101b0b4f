"""For authors of plug-ins: does an encoder keep to what larpbench relies on?

    from larpbench.testing import check_encoder
    assert not [check for check in check_encoder(SPEC) if check.outcome == "fail"]

``larpbench check NAME`` prints the same as a table.
"""

from __future__ import annotations

from larpbench.testing.encoders import Check, check_encoder
from larpbench.testing.references import check_reference
from larpbench.testing.toys import toy_batch, toy_split

__all__ = ["Check", "check_encoder", "check_reference", "toy_batch", "toy_split"]
