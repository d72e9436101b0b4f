"""Slices: the same results, counted for some of the held-out tracks only."""
