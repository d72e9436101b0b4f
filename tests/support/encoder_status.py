"""The page of the status of all encoders, made of their cards: ``python tests/support/encoder_table.py`` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from larpbench.encoders.names import ENCODERS
from larpbench.encoders.spec import EncoderSpec

_LOOKED_UP = 50_000  # tracks a second: nothing is computed
PAGE = Path(__file__).parents[2] / "docs" / "encoders" / "status.md"
HEADER = (
    "encoder",
    "status",
    "compared with",
    "largest difference",
    "numbers",
    "rate",
    "tracks per CPU second",
    "parameters",
    "revision",
    "licence (code, weights)",
)
TEXT = """# Status of all encoders

This page is generated from the cards. `larpbench describe encoder NAME --json` prints a card with all its fields: also
windows, pooling, training data, known overlaps, paper and references.

* **verified**: compared with the original code on the same weights and input. The largest difference is stated, mostly
  as a part of a vector's length. **unverified**: an adapter of other code that was never compared with it. **own**:
  code of larpbench itself, with nothing to compare it with.
* Tracks per CPU second are the rough speed on one core from which `larpbench plan` estimates, until a run has measured
  its own; `-` where nothing is computed.
* Parameters are those of the whole published network; `unknown` where they depend on the model, the training or the
  data, or are not known.
* The revision is the commit that `larpbench fetch` asks for, or the version of the package that brings the weights. If
  it is not pinned, `fetch` records the commit and the digest of every file. A file that changes later under the same
  commit or address is refused.

"""


def status_page() -> str:
    """Return the page as the cards have it."""
    specs = [ENCODERS.get(name) for name in ENCODERS.names() if ENCODERS.origin(name).built_in]
    rows = [HEADER, tuple("---" for _ in HEADER), *map(_row, sorted(specs, key=lambda spec: spec.card.control))]
    return TEXT + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def difference(verification: str) -> str:
    """Return the number in the sentence on a verification."""
    if "no difference" in verification:
        return "0"
    found = re.search(r"difference (\d[\d.]*(?:e-\d+)?)", verification) or re.search(r"(\d[\d.]*e-\d+)", verification)
    return found[1] if found else "see its card"


def _row(spec: EncoderSpec) -> tuple[str, ...]:
    card = spec.card
    if card.original is None:
        status = "control" if card.control else "own"
    else:
        status = "unverified" if card.unverified else "verified"
    parameters = "unknown" if card.parameters is None else f"{card.parameters:,}"
    revision = spec.revision or ("not pinned" if spec.weights else "-")
    return (
        f"`{card.name}`",
        status,
        card.original or "-",
        difference(card.verification) if card.verification else "-",
        "varies" if card.dim is None else f"{card.dim:,}",
        f"{card.sample_rate:,} Hz" if card.sample_rate else "-",
        "-" if card.tracks_per_second >= _LOOKED_UP else f"{card.tracks_per_second:g}",
        parameters,
        f"`{revision[:12]}`" if spec.weights and spec.weights.pinned == revision else revision,
        card.licence,
    )
