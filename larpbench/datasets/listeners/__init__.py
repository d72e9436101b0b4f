"""Listeners and their tracks, of which some are cold: data sets of kind ``listeners``, for the task ``cold-tracks``."""
