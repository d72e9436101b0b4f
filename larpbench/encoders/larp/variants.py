"""What may follow the colon in the name of a LARP encoder: ``[size][:jN][:VIEW+VIEW][:audio|:text]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from larpbench.encoders.card import VIEWS, View
from larpbench.encoders.larp.settings import DEFAULT_NEIGHBOURS, SIZES, Size
from larpbench.encoders.names import ENCODERS, is_file_name, parse_name
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import UsageError

_NEIGHBOURS = re.compile("j[1-9][0-9]{0,3}")
_ON_FROZEN_VIEWS = ("heads", "heads-plain")


@dataclass(frozen=True)
class Variant:
    """Parts of what follows the colon.

    Attributes:
        size: None where none is named.
        neighbours: J; None where none is named.
        views: As they are written, joined by plus signs; None where none is named.
        side: The side that is read; None for both.
    """

    size: Size | None = None
    neighbours: int | None = None
    views: str | None = None
    side: View | None = None

    @classmethod
    def of(cls, argument: str) -> Variant:
        """Split what follows the colon; what is neither size nor J nor side is taken for views."""
        words = argument.split(":")
        size = words.pop(0) if words[0] in SIZES else None
        neighbours = int(words.pop(0)[1:]) if words and _NEIGHBOURS.fullmatch(words[0]) else None
        side = words.pop() if words and words[-1] in VIEWS else None
        return cls(cast("Size | None", size), neighbours, ":".join(words) if words else None, cast("View | None", side))

    @property
    def text(self) -> str | None:
        """What follows the colon in a name in results; None if all is as by default."""
        parts = (
            self.size if self.size != "heads" else None,
            f"j{self.neighbours}" if self.neighbours not in (None, DEFAULT_NEIGHBOURS) else None,
            self.views,
            self.side,
        )
        return ":".join(each for each in parts if each) or None


def adds_views(argument: str) -> bool:
    """Whether a plus sign after this adds a view: where views are named, and no side after them."""
    variant = Variant.of(argument)
    return bool(variant.views) and variant.side is None


def takes(with_playlists: bool) -> str:
    """Return what may follow the colon, for messages and lists."""
    return f"[{'|'.join(SIZES)}]{'[:jN]' if with_playlists else ''}[:VIEW+VIEW][:audio|:text]"


def parse(spec: EncoderSpec, argument: str, with_playlists: bool) -> tuple[Variant, tuple[str, ...] | None]:
    """Return the variant that a name asks for, and the names of its views.

    Args:
        spec: The encoder, for messages.
        argument: What follows the colon.
        with_playlists: Whether a stage fuses playlists, so that J matters.

    Raises:
        UsageError: If a part is unknown or out of place.
    """
    variant = Variant.of(argument)
    parts = parse_name(variant.views) if variant.views else ()
    unknown = len(parts) == 1 and parts[0].base not in ENCODERS.names() and not is_file_name(parts[0].written)
    misplaced = (
        variant.views == ""
        or (variant.neighbours is not None and not with_playlists)
        or (variant.views is not None and variant.size not in (None, *_ON_FROZEN_VIEWS))
    )
    if unknown or misplaced:
        name = spec.card.name
        raise UsageError(f"encoder {name!r} has no variant {argument!r}", allowed=f"{name}:{spec.takes}, in this order")
    views = tuple(each.written for each in parts) or None
    if views and len(views) < len(VIEWS) and variant.side:
        raise UsageError(
            f"one view has no sides, and {variant.side!r} was asked for",
            where=f"{spec.card.name}:{argument}",
            allowed="an audio and a text view, or no side",
        )
    return variant, views
