"""The embedded `demo` data set: a seeded, procedurally made world of tracks, words, sounds and playlists.

It proves that the pipeline works, not that an encoder is good at real music.
"""
