"""Track ids as people write them: Spotify's in three spellings, other addresses, file names."""

from __future__ import annotations

import polars as pl

PUBLISHED = r"^spotify:track:[0-9A-Za-z]{22}$"
"""An address of Spotify as collections publish it."""
_SPOTIFY_URI = r"^\s*spotify:track:([0-9A-Za-z]{22})(?:\?[^:]*)?\s*$"
_SPOTIFY_URL = (
    r"^\s*(?:https?://)?open\.spotify\.com/(?:intl-[a-z-]+/)?(?:embed/)?track/([0-9A-Za-z]{22})/?(?:[?#].*)?\s*$"
)
_LOCAL = r"(?i)^\s*spotify:local:"
_NO_TRACK = r"^\s*(?:spotify:track:)?\s*$|[\x00-\x1f\x7f]"
_ENDING = r"\.[A-Za-z][0-9A-Za-z]{0,4}$"
"""Of a file name: a dot, a letter, at most four letters or digits; ``1.5`` has none."""


def plain_ids(ids: pl.Series) -> pl.Series:
    """Return ids without spaces around them and in one form of Unicode (NFC); null stays null."""
    return ids.str.strip_chars().str.normalize("NFC")


def canonical_ids(ids: pl.Series) -> pl.Series:
    """Return track ids in one form of Unicode (NFC) without spaces around them, those of Spotify as 22 letters.

    ``spotify:track:<id>``, ``spotify:track:<id>?si=..`` and ``https://open.spotify.com/track/<id>?si=..`` mean the same
    track. ``spotify:local:..`` is a file on somebody's disk without such an id, and stays whole, as do all others.

    Args:
        ids: Text; null stays null.
    """
    name = ids.name
    plain = plain_ids(ids)
    found = pl.coalesce(plain.str.extract(_SPOTIFY_URI), plain.str.extract(_SPOTIFY_URL), plain)
    return pl.select(found.alias(name)).to_series()


def ids_of_uris(uris: pl.Series) -> pl.Series:
    """Return track ids out of what a collection has of its tracks, see `canonical_ids`; null where that is no id.

    A file on somebody's disk (``spotify:local:..``) is a track like others, with its whole address as id. No id are
    empty text, ``spotify:track:`` with nothing behind it, and text with control characters.

    Args:
        uris: Text; null stays null.
    """
    ids = uris.str.tail(22)
    usual = uris.str.contains(PUBLISHED)
    if not usual.all():
        other = (~usual.fill_null(value=False)).arg_true()
        ids = ids.scatter(other, _parsed(uris.gather(other)))
    return ids


def _parsed(uris: pl.Series) -> pl.Series:
    """Return the ids of addresses in any spelling."""
    different = uris.unique()
    ids = canonical_ids(different)
    ids = ids.set(ids.str.contains(_NO_TRACK).fill_null(value=False), None)
    return uris.replace_strict(different, ids, return_dtype=pl.String)


def last_parts(ids: pl.Series) -> pl.Series:
    """Return the last part of each id that is an address or a file name, without query and without the file's ending.

    ``spotify:track:<id>``, ``https://open.spotify.com/track/<id>?si=..`` and ``folder/<id>.npy`` give ``<id>``. An
    address of a local file (``spotify:local:..``) stays whole: its last part is a number of seconds.
    """
    name = ids.name
    shortened = (
        ids.str.strip_chars()
        .str.replace(r"[?#].*$", "")
        .str.strip_chars_end("/\\")
        .str.extract(r"([^:/\\]+)$")
        .str.replace(_ENDING, "")
    )
    whole = ids.str.contains(_LOCAL) | shortened.is_null() | (shortened == "")
    return pl.select(pl.when(whole).then(ids).otherwise(shortened).alias(name)).to_series()
