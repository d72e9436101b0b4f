"""Data sets: tracks and playlists in three splits that share nothing (protocol rules 1 to 4)."""
