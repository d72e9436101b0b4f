"""Splits: the rules by which playlists and tracks become train, valid and test, and their presets."""
