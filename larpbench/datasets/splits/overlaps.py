"""How cold the cold start is: what the splits share beside ids, and which tracks of a split are copies."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.datasets.songs import song_keys

SAME_AUDIO = "audio (same bytes)"
SAME_SONG = "artist and title (as in rule 13)"
_PAIRS: tuple[tuple[SplitName, SplitName], ...] = (("train", "valid"), ("train", "test"), ("valid", "test"))


def split_overlaps(dataset: Dataset) -> pl.DataFrame:
    """Count what two splits share: ids (must be none), artists, albums, titles, songs and files of audio.

    Letter case does not count in texts, and empty ones are left out; ids are compared as they are.

    Returns:
        Columns ``first``, ``second`` (splits), ``of``, ``shared`` (distinct values in both) and ``share`` (of the
        second split's tracks or playlists that have a value, the part whose value occurs in the first).
    """
    rows = []
    for of, keyed in _keys(dataset):
        in_split = {name: keyed.filter(pl.col("split") == name) for pair in _PAIRS for name in pair}
        for first, second in _PAIRS:
            theirs = in_split[second]
            found = theirs.join(in_split[first].select("key").unique(), on="key", how="semi")
            share = found.height / theirs.height if theirs.height else 0.0
            rows.append({"first": first, "second": second, "of": of, "shared": found["key"].n_unique(), "share": share})
    return pl.DataFrame(rows)


def copies_within(dataset: Dataset, split: SplitName = "test") -> pl.DataFrame:
    """Count the tracks of a split that are there under several ids: they tie, or are hits that count as misses.

    Returns:
        Columns ``split``, ``of`` (what they have in common), ``groups`` (values that several tracks carry), ``tracks``
        (that carry them), ``share`` (of the split's tracks) and ``example`` (the ids of one group, at most three).
    """
    rows = []
    for of, keyed in _keys(dataset):
        if of not in (SAME_AUDIO, SAME_SONG):
            continue
        mine = keyed.filter(pl.col("split") == split)
        groups = mine.group_by("key").agg(pl.col("track_id").sort()).filter(pl.col("track_id").list.len() > 1)
        tracks = int(groups["track_id"].list.len().sum())
        total = dataset.tracks.filter(pl.col("split") == split).height
        first = groups["track_id"].sort().head(1).to_list()
        rows.append(
            {
                "split": split,
                "of": of,
                "groups": groups.height,
                "tracks": tracks,
                "share": tracks / total if total else 0.0,
                "example": first[0][:3] if first else [],
            }
        )
    return pl.DataFrame(rows, schema_overrides={"example": pl.List(pl.String)})


def _keys(dataset: Dataset) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield kinds of things and what they are known by: columns ``key``, ``split`` and, of tracks, ``track_id``."""
    tracks = dataset.tracks
    yield "track_id", _keyed(tracks, tracks["track_id"])
    yield "playlist_id", dataset.playlists.select("split", key="playlist_id").unique()
    for of in (["artist"], ["artist", "album"], ["title"]):
        stated = pl.all_horizontal(pl.col(of) != "")
        text = pl.when(stated).then(pl.concat_str(pl.col(of).str.to_lowercase(), separator="\t"))
        yield " and ".join(of), _keyed(tracks, tracks.select(text).to_series())
    yield SAME_SONG, _keyed(tracks, song_keys(tracks))
    if dataset.audio is not None:
        files = dataset.audio.files.select("track_id", key="sha256").unique("track_id")
        joined = tracks.select("track_id", "split").join(files, on="track_id", how="inner")
        yield SAME_AUDIO, joined.drop_nulls("key")


def _keyed(tracks: pl.DataFrame, key: pl.Series) -> pl.DataFrame:
    return tracks.select("track_id", "split").with_columns(key.alias("key")).drop_nulls("key")
