"""BibTeX entries of what larpbench brings or measures with, by key: those of ``citations.bib``.

Cards of encoders and data sets, tasks and recommenders hold keys, or whole entries where a plug-in brings them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from larpbench.errors import DataError

OWN = "larpbench"
"""Key of larpbench itself: what it brings and no paper describes is cited by it."""
_ENTRY = re.compile(r"^@\w+\{([^,\s]+),$.*?^\}$", re.MULTILINE | re.DOTALL)


@functools.cache
def entries() -> dict[str, str]:
    """Return key -> entry as it is printed, in the order of the file."""
    text = Path(__file__).with_suffix(".bib").read_text(encoding="ascii")
    return {found[1]: found[0] for found in _ENTRY.finditer(text)}


def bibtex(citations: Iterable[str]) -> list[str]:
    """Return the entries of keys, each once, in the order of the keys.

    Args:
        citations: Keys of `entries`, or whole BibTeX entries, which begin with ``@``.

    Raises:
        DataError: If a key has no entry.
    """
    found: list[str] = []
    for each in dict.fromkeys(text.strip() for text in citations):
        if not each.startswith("@") and each not in entries():
            raise DataError(
                f"there is no reference {each!r}", allowed="a key of larpbench's references, or a whole BibTeX entry"
            )
        found.append(each if each.startswith("@") else entries()[each])
    return found
