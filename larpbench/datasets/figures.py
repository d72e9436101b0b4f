"""Figures of playlists, by which an invented world is compared with real ones: lengths, popularity, artists, words.

Each function takes entries (columns ``playlist_id`` and ``track_id``, no row twice), tracks (``track_id``, ``title``,
``artist``, ``album``), or both. A track without an artist is an artist of its own, and so is one without an album.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from larpbench.datasets.schema import SPLITS, Dataset

SUFFIX = r"\s(\(.+\)|\[.+\]|-\s.+)$"
"""What a title may end with: brackets, or a dash and what follows."""
_WORD = r"[\p{L}\p{N}']+"
_OFTEN = 5


def length_quantiles(entries: pl.DataFrame, quantiles: Sequence[float]) -> list[float]:
    """Return quantiles of the number of tracks of a playlist."""
    return _quantiles(entries.group_by("playlist_id").len()["len"], quantiles)


def popularity_quantiles(entries: pl.DataFrame, quantiles: Sequence[float]) -> list[float]:
    """Return quantiles of the number of playlists of a track, over the tracks that are in one."""
    return _quantiles(_popularity(entries), quantiles)


def entries_of_top_tracks(entries: pl.DataFrame, share: float) -> float:
    """Return the share of the entries that a share of the tracks hold, the most popular ones."""
    return _top_share(_popularity(entries), share)


def tracks_in_one_playlist(entries: pl.DataFrame) -> float:
    """Return the share of the tracks in playlists that are in one only."""
    return _mean(_popularity(entries) == 1)


def artist_count(tracks: pl.DataFrame) -> int:
    """Return the number of artists."""
    return tracks.select(_artist()).to_series().n_unique()


def one_track_artists(tracks: pl.DataFrame) -> float:
    """Return the share of the artists that have one track."""
    return _mean(_tracks_per_artist(tracks) == 1)


def tracks_of_top_artists(tracks: pl.DataFrame, share: float) -> float:
    """Return the share of the tracks that are by a share of the artists, those with most tracks."""
    return _top_share(_tracks_per_artist(tracks), share)


def tracks_per_album(tracks: pl.DataFrame) -> float:
    """Return the mean number of tracks of an album; two artists' albums of one name are two."""
    return tracks.height / max(1, tracks.select(_album()).to_series().n_unique())


def distinct_artist_quantiles(entries: pl.DataFrame, tracks: pl.DataFrame, quantiles: Sequence[float]) -> list[float]:
    """Return quantiles of the number of different artists of a playlist, divided by its number of tracks."""
    groups = _with(entries, tracks, _artist()).group_by("playlist_id").agg(pl.col("of").n_unique() / pl.len())
    return _quantiles(groups["of"], quantiles)


def same_artist_pairs(entries: pl.DataFrame, tracks: pl.DataFrame) -> float:
    """Return the share of pairs of tracks of a playlist that have the same artist, mean over playlists of 2 or more."""
    return _same_pairs(_with(entries, tracks, _artist()))


def same_artist_lift(entries: pl.DataFrame, tracks: pl.DataFrame) -> float:
    """Return `same_artist_pairs` over chance, which is the sum of the squared shares of artists in all entries."""
    held = _with(entries, tracks, _artist())
    shares = held.group_by("of").len()["len"] / max(1, held.height)
    base = float((shares**2).sum())
    return _same_pairs(held) / base if base else float("nan")


def same_album_pairs(entries: pl.DataFrame, tracks: pl.DataFrame) -> float:
    """Return the share of pairs of tracks of a playlist that have the same album, mean over playlists of 2 or more."""
    return _same_pairs(_with(entries, tracks, _album()))


def words_per_title(tracks: pl.DataFrame) -> float:
    """Return the mean number of words of a title."""
    return _mean(tracks["title"].str.count_matches(_WORD))


def words_in_titles(tracks: pl.DataFrame, titles: int = _OFTEN) -> int:
    """Return how many words, in lower case, are in so many titles or more."""
    words = tracks.select(word=pl.col("title").str.to_lowercase().str.extract_all(_WORD).list.unique()).explode("word")
    return words.drop_nulls().group_by("word").len().filter(pl.col("len") >= titles).height


def suffixed_titles(tracks: pl.DataFrame) -> float:
    """Return the share of titles that end with brackets, or with a dash and more."""
    return _mean(tracks["title"].str.contains(SUFFIX))


def playlist_figures(tracks: pl.DataFrame, entries: pl.DataFrame) -> dict[str, float]:
    """Return all figures by name.

    Args:
        tracks: ``track_id``, ``title``, ``artist``, ``album``.
        entries: ``playlist_id``, ``track_id``; every track is in `tracks`.
    """
    levels, popular, artists = (0.05, 0.25, 0.5, 0.75, 0.95), (0.25, 0.5, 0.75, 0.9, 0.99), (0.1, 0.5, 0.9)
    distinct = distinct_artist_quantiles(entries, tracks, artists)
    found: dict[str, float] = {
        **_named("playlist length", levels, length_quantiles(entries, levels)),
        **_named("playlists per track", popular, popularity_quantiles(entries, popular)),
        "entries held by the top 1 % of tracks": entries_of_top_tracks(entries, 0.01),
        "entries held by the top 10 % of tracks": entries_of_top_tracks(entries, 0.1),
        "tracks in one playlist only": tracks_in_one_playlist(entries),
        "artists": artist_count(tracks),
        "artists with one track": one_track_artists(tracks),
        "tracks by the top 10 % of artists": tracks_of_top_artists(tracks, 0.1),
        "tracks per album": tracks_per_album(tracks),
        **_named("distinct artists per entry", artists, distinct),
        "pairs with the same artist": same_artist_pairs(entries, tracks),
        "pairs with the same artist, over chance": same_artist_lift(entries, tracks),
        "pairs with the same album": same_album_pairs(entries, tracks),
        "words per title": words_per_title(tracks),
        "words in 5 titles or more": words_in_titles(tracks),
        "titles with a suffix": suffixed_titles(tracks),
    }
    return found


def figures_by_split(dataset: Dataset) -> pl.DataFrame:
    """Return one row a figure, columns ``figure``, ``train``, ``valid``, ``test``; NaN if there is no playlist."""
    parts = [dataset.split(name) for name in SPLITS]
    found = [playlist_figures(part.tracks, part.entries) for part in parts]
    columns = {name: list(map(float, each.values())) for name, each in zip(SPLITS, found, strict=True)}
    return pl.DataFrame(columns).insert_column(0, pl.Series("figure", list(found[0])))


def _named(what: str, quantiles: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    return {f"{what}, quantile {each:g}": value for each, value in zip(quantiles, values, strict=True)}


def _artist() -> pl.Expr:
    return (
        pl.when(pl.col("artist") != "").then("artist").otherwise(pl.concat_str(pl.lit("\x1f"), "track_id")).alias("of")
    )


def _album() -> pl.Expr:
    named = pl.concat_str("artist", pl.lit("\x1f"), "album")
    return pl.when(pl.col("album") != "").then(named).otherwise(pl.concat_str(pl.lit("\x1f"), "track_id")).alias("of")


def _with(entries: pl.DataFrame, tracks: pl.DataFrame, of: pl.Expr) -> pl.DataFrame:
    """Return the entries' playlists beside what their tracks belong to, ``of``."""
    known = tracks.with_columns(pl.col("artist", "album").fill_null("")).select("track_id", of)
    return entries.select("playlist_id", "track_id").join(known, on="track_id").select("playlist_id", "of")


def _same_pairs(held: pl.DataFrame) -> float:
    counts = held.group_by("playlist_id", "of").len(name="n")
    each = counts.group_by("playlist_id").agg(same=(pl.col("n") * (pl.col("n") - 1)).sum(), n=pl.col("n").sum())
    pairs = each.filter(pl.col("n") > 1).select(pl.col("same") / (pl.col("n") * (pl.col("n") - 1)))
    return _mean(pairs.to_series())


def _popularity(entries: pl.DataFrame) -> pl.Series:
    return entries.group_by("track_id").len()["len"]


def _tracks_per_artist(tracks: pl.DataFrame) -> pl.Series:
    return tracks.with_columns(pl.col("artist").fill_null("")).group_by(_artist()).len()["len"]


def _top_share(counts: pl.Series, share: float) -> float:
    values = np.sort(counts.to_numpy())[::-1]
    return float(values[: round(share * len(values))].sum() / values.sum()) if len(values) else float("nan")


def _quantiles(values: pl.Series, quantiles: Sequence[float]) -> list[float]:
    found: list[float] = (
        np.quantile(values.to_numpy(), quantiles).tolist() if len(values) else [float("nan")] * len(quantiles)
    )
    return found


def _mean(values: pl.Series) -> float:
    return float(values.mean()) if len(values) else float("nan")  # type: ignore[arg-type]
