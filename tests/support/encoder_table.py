"""Fills the table of encoders in docs/encoders.md from their cards: ``python tests/support/encoder_table.py``."""

from __future__ import annotations

import re
from pathlib import Path

from larpbench.encoders.names import ENCODERS
from larpbench.encoders.spec import EncoderSpec

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "encoders.md"
BEGIN, END = "<!-- encoders: begin (generated, see tests/support/encoder_table.py) -->", "<!-- encoders: end -->"
HEADER = (
    "| encoder | reads | numbers | weights | licence (code, weights) | verified against |\n|---|---|---|---|---|---|"
)


def filled(page: str) -> str:
    """Return the page with the table as the cards have it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"the page lacks the marks {BEGIN} and {END}"
    specs = [ENCODERS.get(name) for name in ENCODERS.names() if ENCODERS.origin(name).built_in]
    rows = [_row(spec) for spec in sorted(specs, key=lambda spec: spec.card.control)]
    return f"{before}{BEGIN}\n\n" + "\n".join([HEADER, *rows]) + f"\n\n{END}{after}"


def _row(spec: EncoderSpec) -> str:
    card = spec.card
    takes = spec.takes or ""
    argument = (
        takes if takes.startswith("[@") else f"[:{takes[1:]}" if takes.startswith("[") else f":{takes}" if takes else ""
    )
    name = f"`{card.name}{argument}`".replace("|", "\\|")
    page = _page(card.name)
    verified = card.original if card.verification else "unverified" if card.original else ""
    cells = [
        f"[{name}]({page})" if page else name,
        ", ".join("caption" if view == "text" else view for view in card.modalities),
        "varies" if card.dim is None else f"{card.dim:,}",
        card.weights + (f", {spec.weights.size_text}" if spec.weights else ""),
        card.licence,
        (verified or "") + (" (control)" if card.control else ""),
    ]
    return f"| {' | '.join(each.strip() for each in cells)} |"


def _page(name: str) -> str | None:
    """Return the page whose title names an encoder, or else that of its family's folder."""
    for path in sorted((DOCS / "encoders").glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0]
        if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", title):
            return path.relative_to(DOCS).as_posix()
    page = DOCS / f"{ENCODERS.origin(name).target.split('.')[2]}.md"
    return page.name if page.is_file() else None


if __name__ == "__main__":
    import encoder_status

    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    encoder_status.PAGE.write_text(encoder_status.status_page(), encoding="utf-8")
