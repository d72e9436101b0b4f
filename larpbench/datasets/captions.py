"""Captions: what a text encoder reads of a track, by named template."""

from __future__ import annotations

import polars as pl

from larpbench.errors import UsageError

DEFAULT_TEMPLATE = "paper"

TEMPLATES: dict[str, tuple[str, str]] = {
    "paper": ("The track {title} by {artist}", " on album {album}"),
    "release": ("{title} is a song by the artist {artist}", " on the album {album}"),
    "title-artist": ("{title} by {artist}", ""),
    "title": ("{title}", ""),
    "no-artist": ("The track {title}", " on album {album}"),
}
"""Name -> (text, part that is left out where the album is unknown). ``paper`` is LARP's, ``release`` that of its
authors' released data; ``no-artist`` is a control, since most of the text signal is the artist's name."""


def caption_column(template: str) -> pl.Expr:
    """Return the expression that makes the caption out of ``title``, ``artist`` and ``album``.

    Raises:
        UsageError: If no template has that name.
    """
    if template not in TEMPLATES:
        raise UsageError(f"unknown caption template {template!r}", allowed=", ".join(TEMPLATES))
    text, album_part = TEMPLATES[template]
    with_album = pl.when(pl.col("album") != "").then(_filled(album_part)).otherwise(pl.lit(""))
    return (pl.concat_str(_filled(text), with_album) if album_part else _filled(text)).alias("caption")


def _filled(pattern: str) -> pl.Expr:
    columns = [name for name in ("title", "artist", "album") if f"{{{name}}}" in pattern]
    plain = pattern
    for name in columns:
        plain = plain.replace(f"{{{name}}}", "{}")
    return pl.format(plain, *[pl.col(name) for name in columns])
