"""Where the pieces of a run are computed: in this process, or on the machines of a Ray cluster.

Below everything that computes: an engine knows functions and items, and neither encoders nor playlists.
"""
