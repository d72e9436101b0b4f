"""The files of MuQ-MuLan: its own, and beside them MuQ's statistics and what XLM-R needs besides weights."""

from __future__ import annotations

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
MUQ_FOLDER, TEXT_FOLDER = "MuQ-large-msd-iter", "xlm-roberta-base"
TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
