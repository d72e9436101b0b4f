"""Encoder adapters: one file or folder for each family."""
