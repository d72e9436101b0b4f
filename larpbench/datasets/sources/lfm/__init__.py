"""LFM-1b and LFM-2b: listening histories from the user's own copy."""
