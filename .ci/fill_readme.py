"""Puts the committed tables into the README, between ``<!-- table: FILE -->`` and ``<!-- /table -->``."""

from __future__ import annotations

import re
from pathlib import Path

_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def filled(text: str, root: Path) -> str:
    """Return `text` with every marked table replaced by the file that the mark names."""
    return _MARKED.sub(
        lambda found: f"{found[1]}{(root / found[2]).read_text(encoding='utf-8').strip()}\n{found[3]}", text
    )


if __name__ == "__main__":
    readme = Path(__file__).parent.parent / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), readme.parent), encoding="utf-8")
