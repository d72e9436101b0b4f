"""The papers' tables and figures, from the folder that ``larpbench reproduce --output`` writes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from larpbench.errors import UsageError, shell_word
from larpbench.results.sheet import Sheet
from larpbench.results.writers import read_json
from larpbench.storage import storage_errors

_LARGEST_FIGURE = 2 << 20


@dataclass(frozen=True)
class PaperTable:
    """One table or figure.

    Attributes:
        sheet: The table, or the numbers of the figure.
        figure: The figure as a ``data:`` address: shown as an image, where nothing in it can run. None: there is none.
    """

    sheet: Sheet
    figure: str | None


def read_reproduced(folder: Path) -> list[PaperTable]:
    """Return all tables and figures of a folder.

    Raises:
        UsageError: If it holds none, or only those of an earlier version, without JSON.
        DataError: If one cannot be read.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        earlier = any(folder.glob("*.md"))
        raise UsageError(
            "the reproduced tables are of an earlier version, which wrote no JSON files"
            if earlier
            else "there are no reproduced tables or figures",
            where=str(folder),
            next_step=f"larpbench reproduce all --output {shell_word(folder)}"
            + (" (results that are kept stay)" if earlier else ""),
        )
    return [PaperTable(sheet, _figure(path.with_suffix(".svg"))) for path in paths for sheet in read_json(path)]


def _figure(path: Path) -> str | None:
    if not path.is_file() or path.stat().st_size > _LARGEST_FIGURE:
        return None
    with storage_errors(path, "read"):
        return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"
