"""LFM's files: what they are called, and their columns."""

from __future__ import annotations

import re

from larpbench.datasets.reading.packed_tables import ANYTHING, TIME, Column, Layout

_URI = re.compile(r"(.*[:/])?[0-9A-Za-z]{22}/?(\?.*)?|spotify:local:.*")

_USER, _TRACK = Column("user_id"), Column("track_id")
_ALBUM, _ARTIST = Column("album_id", wanted=False), Column("artist_id")
_WHEN = Column("timestamp", TIME)
_TITLE = Column("title", ANYTHING, ("track", "track_name"))
_ARTIST_NAME = Column("artist", ANYTHING, ("artist_name",))

EVENTS = Layout("listening-events.tsv", (_USER, _TRACK, _ALBUM, _WHEN))
COUNTS = Layout("listening-counts.tsv", (_USER, _TRACK, Column("count", wanted=False)))
URIS = Layout("spotify-uris.tsv", (_TRACK, Column("uri", _URI, ("spotify_uri",))))
TRACKS = Layout("tracks.tsv", (_TRACK, _ARTIST_NAME, _TITLE))
EVENTS_1B = Layout(
    "LFM-1b_LEs.txt", (_USER, Column("artist_id", wanted=False), _ALBUM, _TRACK, Column("timestamp", TIME))
)
TRACKS_1B = Layout("LFM-1b_tracks.txt", (_TRACK, _TITLE, _ARTIST))
ARTISTS_1B = Layout("LFM-1b_artists.txt", (_ARTIST, _ARTIST_NAME))
