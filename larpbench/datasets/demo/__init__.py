"""The embedded `demo` data set: a seeded, procedurally made world of tracks, words, sounds and playlists.

It shows that the pipeline works; it is no evidence about any encoder on real music.
"""

from __future__ import annotations

ORACLE_FILE = "oracle.npz"
"""The vectors that drew the playlists, in the folder of the data set."""
