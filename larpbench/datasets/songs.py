"""When two tracks of different data sets are the same song, though their ids differ (protocol rule 13)."""

from __future__ import annotations

import polars as pl

_FEATURING = (
    r"(?i)\s*[(\[](?:feat|ft|featuring)\b[^)\]]*[)\]]"  # (feat. Somebody)
    r"|\s+(?:feat\.|ft\.|featuring\s).*$"
)
_BESIDE_REMASTER = r"(?:\d+|digital|digitally|bit|version|edition|album|single|mono|stereo|the)"
_REMASTER = (
    rf"(?i)(?:\s+-\s+|\s*[(\[])(?:{_BESIDE_REMASTER}[\s/,-]*)*"  # - 2011 Remaster, (Remastered Version)
    rf"remaster(?:ed)?(?:[\s/,-]*{_BESIDE_REMASTER})*[)\]]?\s*$"
)
# Accents of Latin, Greek and Cyrillic go; in other scripts marks make another word.
_NO_LETTER = r"[\x{300}-\x{36F}]+|[^\pL\pM\pN]+"


def song_keys(tracks: pl.DataFrame) -> pl.Series:
    """Return a key that tracks of the same artist and title share; null where either is empty.

    Unicode forms (NFKD), case, accents, punctuation and spaces do not count, nor who is featured, nor that the
    recording was remastered. Live recordings, remixes and other versions are other songs.

    Args:
        tracks: Columns ``artist`` and ``title``.
    """
    artists, titles = _folded(tracks["artist"], _FEATURING), _folded(tracks["title"], _FEATURING, _REMASTER)
    return pl.select(pl.concat_str(artists, titles, separator="\t")).to_series().rename("song")


def _folded(text: pl.Series, *asides: str) -> pl.Series:
    plain = text.fill_null("").str.normalize("NFKD")
    shortened = plain
    for aside in asides:
        shortened = shortened.str.replace_all(aside, "")
    folded = _letters(shortened)
    if (folded == "").any():
        symbols = plain.str.replace_all(r"\s+", "")  # a song may be called "+", or "(feat. Somebody)"
        for other in (_letters(plain), symbols):
            folded = folded.zip_with(folded != "", other)
    return folded.replace("", None)


def _letters(text: pl.Series) -> pl.Series:
    folded = text.str.to_uppercase().str.to_lowercase()  # ß and ss, and the two small sigmas, meet in capitals
    return folded.str.replace_all(_NO_LETTER, "")
