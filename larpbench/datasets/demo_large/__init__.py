"""The embedded `demo-large` data set: a seeded, invented world of vectors and captions with the size of real playlists.

Its figures are fitted to those of real playlists; it says nothing of any encoder on real music.
"""
