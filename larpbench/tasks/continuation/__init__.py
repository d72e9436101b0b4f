"""Playlist continuation on cold playlists and cold tracks."""
