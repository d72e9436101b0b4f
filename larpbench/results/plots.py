"""Figures: one style for all, written as SVG and PNG, byte for byte the same for the same numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from larpbench import storage

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito 2008: told apart by all kinds of colour vision, and in grey."""
CLOUD = "#B0B0B0"
_STYLE: Any = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.alpha": 0.3,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "larpbench",
}


_METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, whether pyplot is there or not."""

    def _repr_png_(self) -> bytes:
        return _rendered(self, "png", {"Software": None}, dpi=self.dpi)


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, in inches, and its axes row by row."""
    with mpl.rc_context(_STYLE):
        figure = ShownFigure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as ``NAME.svg`` and ``NAME.png``.

    Returns:
        The paths.

    Raises:
        StorageError: If the folder cannot be written.
    """
    storage.make_folder(folder)
    written = []
    for suffix in _METADATA:
        path = folder / f"{name}.{suffix}"
        with storage.atomic_file(path) as temporary:
            temporary.write_bytes(rendered(figure, suffix))
        written.append(path)
    return written


def rendered(figure: Figure, kind: str) -> bytes:
    """Return a figure as the content of a file: ``svg`` or ``png``."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name that holds a dollar sign is no formula
    return _rendered(figure, kind, _METADATA[kind])


def _rendered(figure: Figure, kind: str, metadata: dict[str, None], dpi: float | None = None) -> bytes:
    """Return a figure as the content of a file; `dpi` None is that of the style."""
    stream = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(stream, format=kind, metadata=metadata, dpi=dpi)
    return stream.getvalue()
