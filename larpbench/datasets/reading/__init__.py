"""Readers of the tables, texts and arrays that users bring."""
