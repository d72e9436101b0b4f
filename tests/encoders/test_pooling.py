"""One vector of many states, against numpy, and its spelling in names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larpbench.encoders.names import parse_name
from larpbench.encoders.pooling import OF_SENTENCES, POOLINGS, pooled, split_pooling, width_of
from larpbench.errors import UsageError

IN_NUMPY = {
    "mean": lambda rows: rows.mean(axis=0),
    "max": lambda rows: rows.max(axis=0),
    "mean+std": lambda rows: np.concatenate([rows.mean(axis=0), rows.std(axis=0)]),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "weighted-mean": lambda rows: np.average(rows, axis=0, weights=np.arange(1, len(rows) + 1)),
    "mean-sqrt": lambda rows: rows.sum(axis=0) / np.sqrt(len(rows)),
}


@given(st.sampled_from(POOLINGS + OF_SENTENCES), st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
def test_against_numpy(pooling, count, width, seed):
    """Alone, and in a batch: the same vector."""
    states = np.random.RandomState(seed).standard_normal((3, count, width))
    found = pooled(torch.from_numpy(states), pooling).numpy()
    assert found.shape == (3, width_of(pooling, width))
    for row, vector in zip(states, found, strict=True):
        np.testing.assert_allclose(vector, IN_NUMPY[pooling](row), atol=1e-12)
        np.testing.assert_allclose(pooled(torch.from_numpy(row), pooling).numpy(), vector, atol=1e-12)


def test_another_word():
    with pytest.raises(ValueError, match="unknown pooling"):
        pooled(torch.ones(2, 3), "median")


@pytest.mark.parametrize("how", POOLINGS)
def test_in_names(how):
    assert split_pooling(f"maker/model@3:pool={how}") == ("maker/model@3", how)
    assert split_pooling("maker/model@3") == ("maker/model@3", None)
    written = f"text:maker/model@3:pool={how}"
    assert [each.written for each in parse_name(f"tfidf+{written}+bert")] == ["tfidf", written, "bert"]


@pytest.mark.parametrize("argument", ["a/b:pool=", "a/b:pool=median", ":pool=mean", "a/b:pool=mean@3", "a:pool=mean:x"])
def test_what_makes_no_sense(argument):
    with pytest.raises(UsageError, match="is no pooling") as caught:
        split_pooling(argument)
    assert "mean|max|mean+std|first|last" in caught.value.allowed
