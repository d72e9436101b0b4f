"""Where the labels of a plot go: beside their points, over no other label or point, and over few lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

HEIGHT = 13.0
"""Of a line of text of 12 pixels."""
_USUAL, _WIDE = 7.0, 12.0  # widths of a character of that size, generously
_ABOVE_BASE = 10.0
_GAP, _RADIUS = 8.0, 5.0
_STEPS = 16
_ON_TEXT, _ON_LINE = 20.0, 0.5
"""What a unit of area costs that a label covers, against a unit of distance from its point."""

Anchor = Literal["start", "end", "middle"]


@dataclass(frozen=True)
class Label:
    """The place of a label.

    Attributes:
        x: Where it begins, ends or has its middle.
        base: The line that it stands on.
        anchor: Which of these `x` is.
        leader: Where the line from its point ends, if it stands away from that.
    """

    x: float
    base: float
    anchor: Anchor
    leader: tuple[float, float] | None


def text_width(text: str) -> float:
    """Return how wide a text of 12 pixels is at most, in most fonts."""
    return sum(_WIDE if each in "mwMW@%" or unicodedata.east_asian_width(each) in "WF" else _USUAL for each in text)


def place_labels(
    spots: np.ndarray, ranges: np.ndarray, texts: Sequence[str], taken: np.ndarray, width: float, height: float
) -> list[Label | None]:
    """Return the place of each label, None where the text is empty; those of the highest points are placed first.

    Args:
        spots: (n, 2) positions of the points.
        ranges: (n, 2) upper and lower end of the vertical line through each.
        texts: n labels.
        taken: (m, 4) left, top, right and bottom of other texts.
        width: Of the plot.
        height: Of the plot.
    """
    x, y = spots.T
    points = np.stack([x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS], axis=1)
    lines = np.stack([x - 1, ranges[:, 0], x + 1, ranges[:, 1]], axis=1)
    taken = np.concatenate([taken, points])
    found: list[Label | None] = [None] * len(texts)
    for number in np.argsort(y, kind="stable").tolist():
        if not texts[number]:
            continue
        spot = (float(x[number]), float(y[number]))
        anchors, boxes, away = _candidates(spot, text_width(texts[number]))
        outside = np.maximum(-boxes[:, 0], 0) + np.maximum(boxes[:, 2] - width, 0)
        outside += np.maximum(-boxes[:, 1] - HEIGHT, 0) + np.maximum(boxes[:, 3] - height, 0)
        covered = _ON_TEXT * _overlap(boxes, taken) + _ON_LINE * _overlap(boxes, lines)
        best = int(np.argmin(away + covered + _ON_TEXT * HEIGHT * outside))
        taken = np.concatenate([taken, boxes[best : best + 1]])
        found[number] = _label(anchors[best], boxes[best], spot[1])
    return found


def _candidates(spot: tuple[float, float], span: float) -> tuple[list[Anchor], np.ndarray, np.ndarray]:
    """Return anchors, (c, 4) boxes around a point, and how far each is from the usual place, which is on the right."""
    x, y = spot
    sides: tuple[tuple[Anchor, float, float], ...] = (
        ("start", x + _GAP, 0.0),
        ("end", x - _GAP - span, 1.0),
        ("middle", x - span / 2, 3.0),
    )
    anchors, found, away = [], [], []
    for shift in (0.0, *(sign * step * HEIGHT for step in range(1, _STEPS) for sign in (1, -1))):
        for anchor, left, extra in sides:
            top = y - HEIGHT / 2 + shift
            anchors.append(anchor)
            found.append((left, top, left + span, top + HEIGHT))
            away.append(abs(shift) + extra)
    return anchors, np.array(found), np.array(away)


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how much of other boxes each box covers, (c,)."""
    across, down = (
        np.minimum(boxes[:, None, axis + 2], others[None, :, axis + 2])
        - np.maximum(boxes[:, None, axis], others[None, :, axis])
        for axis in (0, 1)
    )
    covered: np.ndarray = (np.maximum(across, 0) * np.maximum(down, 0)).sum(axis=1)
    return covered


def _label(anchor: Anchor, box: np.ndarray, y: float) -> Label:
    left, top, right, bottom = box.tolist()
    place = {"start": left, "end": right, "middle": (left + right) / 2}[anchor]
    middle = (top + bottom) / 2
    leader = None
    if abs(middle - y) > 1.5 * HEIGHT or (anchor != "middle" and abs(middle - y) > HEIGHT / 2):
        end = middle if anchor != "middle" else bottom if middle < y else top
        leader = (round(place, 1), round(end, 1))
    return Label(round(place, 1), round(top + _ABOVE_BASE, 1), anchor, leader)
