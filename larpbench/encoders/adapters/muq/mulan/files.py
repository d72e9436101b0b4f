"""The files of MuQ-MuLan: its own, and the folder of MuQ's statistics beside them."""

from __future__ import annotations

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
MUQ_FOLDER = "MuQ-large-msd-iter"
