"""The page of the status of all encoders, made of their cards: ``python tests/support/encoder_table.py`` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from larpbench.encoders.names import ENCODERS
from larpbench.encoders.spec import EncoderSpec

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "encoders" / "status.md"
COSTS = _ROOT / "benchmarks" / "encoder_costs.json"
HEADER = (
    "encoder",
    "status",
    "compared with",
    "largest difference",
    "numbers",
    "rate",
    "clips per CPU second",
    "peak memory",
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
* Clips per CPU second and peak memory were measured with made-up weights of the published size, on clips of 10 s with
  captions of 20 tokens: `benchmarks/encoder_costs.py`. Memory is the peak of the whole process: Python, torch, and the
  reading of the weights. What was not measured stands below the table; `-` where nothing is computed, or where it
  depends on the data set.
* Parameters are those of the whole published network; `unknown` where they depend on the model, the training or the
  data, or are not known.
* The revision is the commit that `larpbench fetch` asks for, or the version of the package that brings the weights. If
  it is not pinned, `fetch` records the commit and the digest of every file. A file that changes later under the same
  commit or address is refused.

"""


def status_page() -> str:
    """Return the page as the cards have it."""
    costs: dict[str, dict[str, Any]] = json.loads(COSTS.read_text(encoding="utf-8"))
    specs = [ENCODERS.get(name) for name in ENCODERS.names() if ENCODERS.origin(name).built_in]
    ordered = sorted(specs, key=lambda spec: spec.card.control)
    rows = [HEADER, tuple("---" for _ in HEADER), *(_row(spec, costs.get(spec.card.name, {})) for spec in ordered)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    measured = sorted(
        {f"{each['machine']}, {each['versions']}, {each['date']}" for each in costs.values() if "date" in each}
    )
    return (
        TEXT
        + table
        + "\n\nOn these figures:\n\n"
        + "\n".join([*(f"* Measured on {each}." for each in measured), *_below(costs)])
        + "\n"
    )


def _below(costs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return lines on what the table has no place for: which model was measured of several, and what was not."""
    lines = []
    for name, each in costs.items():
        if "model" in each:
            figures = f"{each['clips_per_cpu_second']:,g} clips per CPU second, {each['peak_mb'] / 1_000:.1f} GB"
            lines.append(f"* `{name.split()[0]}`, measured with {each['model']}: {figures}.")
        elif "skipped" in each:
            lines.append(f"* `{name}` was not measured: {each['skipped']}.")
    return lines


def difference(verification: str) -> str:
    """Return the number in the sentence on a verification."""
    if "no difference" in verification:
        return "0"
    found = re.search(r"difference (\d[\d.]*(?:e-\d+)?)", verification) or re.search(r"(\d[\d.]*e-\d+)", verification)
    return found[1] if found else "see its card"


def _row(spec: EncoderSpec, costs: Mapping[str, Any]) -> tuple[str, ...]:
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
        f"{costs['clips_per_cpu_second']:,g}" if "date" in costs else "-",
        f"{costs['peak_mb'] / 1_000:.1f} GB" if "date" in costs else "-",
        parameters,
        f"`{revision[:12]}`" if spec.weights and spec.weights.pinned == revision else revision,
        card.licence,
    )
