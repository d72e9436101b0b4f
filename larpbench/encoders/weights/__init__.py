"""Pretrained weights: where they are looked for, and how they are fetched."""
