"""A small data set, a store of its own, and a toy encoder that remembers nothing of other tests."""

from __future__ import annotations

import pytest
from support.small_data import build_split_tables
from support.toy_training import ENCODED, FITS

from larpbench.encoders.run.store import EmbeddingStore


@pytest.fixture(autouse=True)
def forget():
    FITS.clear()
    ENCODED.clear()


@pytest.fixture
def data(tmp_path):
    return build_split_tables(tmp_path / "one")


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "home" / "embeddings")
