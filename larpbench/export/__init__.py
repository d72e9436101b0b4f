"""Data sets for other evaluation libraries."""
