"""``A+0.5*B`` and parentheses: combinations with weights, and words that stand before a whole combination."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_data import build_split_tables

from larpbench.encoders.combined import side_by_side
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.errors import UnknownNameError, UsageError
from larpbench.vectors import unit_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return build_split_tables(tmp_path_factory.mktemp("data") / "one")


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("tfidf+1*random", "tfidf+random"),
        ("tfidf+.5*random", "tfidf+0.5*random"),
        ("2*tfidf+precomputed:a+b.npz", "2*tfidf+precomputed:a+b.npz"),
        ("centred:(tfidf+0.5*random)", "centred:(tfidf+0.5*random)"),
        ("shuffled:(tfidf+random)", "shuffled:(tfidf+random)"),
        ("shuffled:(centred:(tfidf+random))", "shuffled:centred:(tfidf+random)"),
        ("0.5*shuffled:(tfidf+random)+tfidf", "0.5*shuffled:(tfidf+random)+tfidf"),
        ("shuffled:tfidf+random", "shuffled:tfidf+random"),
        ("centred:(tfidf)", "centred:tfidf"),
        ("shuffled:(factors:tfidf+minilm)", "shuffled:factors:tfidf+minilm"),
        ("shuffled:factors:tfidf+minilm", "shuffled:factors:tfidf+minilm"),
        ("mine=0.3*tfidf+0.7*random", "mine"),
    ],
)
def test_names(name, full):
    spec = get_encoder(name)
    assert spec.identity == full
    if spec.label is None and "precomputed" not in full:
        assert get_encoder(full).name == full


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("0.5*tfidf", "one of several"),
        ("0*tfidf+random", "above 0"),
        ("5000*tfidf+random", "above 0 and below 1000"),
        ("centred:(tfidf+random", "not closed"),
        ("centred:(c=tfidf+random)", "allowed: c=centred:\\(tfidf\\+random\\)"),
        ("shuffled:(shuffled:tfidf)", "shuffled once"),
    ],
)
def test_names_that_make_no_sense(name, says):
    with pytest.raises(UsageError, match=says):
        get_encoder(name)


def test_other_numbers_are_no_weights():
    for name in ("-1*tfidf+random", "nan*tfidf+random", "1e3*tfidf+random"):
        with pytest.raises(UnknownNameError):
            get_encoder(name)


@settings(max_examples=40, deadline=None)
@given(weights=st.lists(st.floats(1e-3, 999), min_size=2, max_size=4), seed=st.integers(0, 999))
def test_an_inner_product_is_the_weighted_mean_of_the_cosines(weights, seed):
    draw = np.random.default_rng(seed)
    blocks = [draw.normal(size=(5, dim + 2)).astype(np.float32) for dim in range(len(weights))]
    joined = side_by_side(blocks, weights).astype(np.float64)
    cosines = [unit_rows(each.astype(np.float64)) for each in blocks]
    expected = sum(w * (rows @ rows.T) for w, rows in zip(weights, cosines, strict=True)) / sum(weights)
    assert np.allclose(joined @ joined.T, expected, atol=1e-5)


def test_weights_and_groups_in_a_store(data, tmp_path):
    store = EmbeddingStore(tmp_path / "store")

    def vectors(name):
        return store.embed(get_encoder(name), data, "test", 0).vectors

    equal, weighted, same = (vectors(name) for name in ("tfidf+random", "tfidf+0.25*random", "3*tfidf+3*random"))
    assert np.array_equal(equal, same)
    width = vectors("tfidf").shape[1]
    assert np.allclose(np.linalg.norm(weighted[:, :width], axis=1), np.sqrt(0.8), atol=1e-6)
    grouped = vectors("centred:(tfidf+0.25*random)")
    train = store.embed(get_encoder("tfidf+0.25*random"), data, "train", 0).vectors.astype(np.float64)
    assert np.allclose(grouped, unit_rows(weighted - train.mean(axis=0)), atol=1e-6)
    shuffled = vectors("shuffled:(tfidf+0.25*random)")
    assert not np.array_equal(shuffled, weighted)
    assert sorted(map(tuple, shuffled.tolist())) == sorted(map(tuple, weighted.tolist()))


def test_a_run(cli, data, tmp_path):
    names = "tfidf+0.5*random,centred:(tfidf+0.5*random)"
    done = cli("run", "--dataset", data.folder, "--encoders", names, "--output", tmp_path / "r", "--seeds", "2")
    assert done.code == 0, done.err
    rows = done.out.replace("\\*", "*")  # Markdown's sign of emphasis is escaped
    assert "| tfidf+0.5*random " in rows
    assert "| centred:(tfidf+0.5*random) " in rows
    shown = cli("describe", "encoder", "tfidf+0.5*random")
    assert "lengths by weight" in shown.out
