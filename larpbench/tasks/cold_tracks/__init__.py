"""Cold tracks for known listeners: the listener has a history, the track has none."""
