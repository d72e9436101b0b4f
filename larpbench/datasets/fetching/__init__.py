"""Fetching public collections: what there is of each, how large it is, and where it is put."""
