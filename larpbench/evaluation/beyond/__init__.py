"""Beyond accuracy: what ranked lists hold beside hits, and what a random ranking would hold (docs/metrics.md)."""
