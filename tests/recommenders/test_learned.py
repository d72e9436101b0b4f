"""What every recommender that learns must do, on worlds where the answer is known."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from support.planted_world import planted

from larpbench.errors import ProtocolError, UsageError
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import LearnedRecommender, TrainData, ValidData
from larpbench.recommenders.training import GradientRecommender

LEARNED = [name for name in RECOMMENDERS.names() if isinstance(RECOMMENDERS.get(name), LearnedRecommender)]
GRADIENT = [name for name in LEARNED if name != "ridge"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world():
    return planted()


@pytest.fixture(scope="module")
def on_world(world):
    """What a recommender has learned of the world with its defaults: ``on_world("ridge")``."""
    return functools.cache(lambda name: fitted(name, world))


@pytest.fixture
def few_epochs(monkeypatch):
    monkeypatch.setattr(GradientRecommender, "epochs", 4)


def fitted(name, world, seed=0, **params):
    recommender = RECOMMENDERS.get(name).built(params, seed)
    recommender.fit(world.train, world.valid)
    return recommender


def vectors(recommender, world):
    return (
        recommender.query_vectors(world.test.seeds, world.test_embeddings),
        recommender.item_vectors(world.test_embeddings),
    )


def test_which_learn():
    assert LEARNED == ["clcrec", "dropoutnet", "dropoutnet-content", "ridge"]


@pytest.mark.parametrize("name", LEARNED)
def test_what_is_planted_is_found(name, world, on_world):
    recommender = on_world(name)
    recall = world.recall(recommender)
    assert recall > 3 * world.chance
    queries, items = vectors(recommender, world)
    assert queries.dtype == items.dtype == np.float32
    assert queries.shape[1] == items.shape[1]
    some = recommender.item_vectors(world.test_embeddings[3:40])
    np.testing.assert_allclose(some, items[3:40], rtol=1e-4, atol=1e-6)  # a track's vector is its own affair


@pytest.mark.parametrize("name", ["ridge", "dropoutnet-content"])
def test_learning_beats_not_learning_where_only_some_directions_matter(name, world, on_world):
    assert world.recall(on_world(name)) > 1.3 * world.recall(RECOMMENDERS.get("itemknn"))


@pytest.mark.parametrize("name", LEARNED)
def test_useless_content_gives_chance(name):
    useless = planted(useless_seed := 5, tracks=160, playlists=160, useful=False)
    found = [useless.recall(fitted(name, useless, seed)) for seed in range(2)]
    assert np.mean(found) == pytest.approx(useless.chance, rel=0.35), useless_seed


@pytest.mark.usefixtures("few_epochs")
@pytest.mark.parametrize("name", LEARNED)
def test_the_same_seed_gives_the_same_vectors_to_the_bit(name):
    small = planted(tracks=60, playlists=30)
    first, again, other = (vectors(fitted(name, small, seed), small) for seed in (3, 3, 4))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


@pytest.mark.usefixtures("few_epochs")
@pytest.mark.parametrize("name", LEARNED)
def test_scaled_embeddings_rank_the_same(name):
    small = planted(tracks=60, playlists=30)
    large = (
        TrainData(small.train.split, small.train.embeddings * 64),
        ValidData(small.valid.split, small.valid.embeddings * 64),
    )
    recommender = RECOMMENDERS.get(name).built({}, 0)
    recommender.fit(*large)
    np.testing.assert_allclose(
        recommender.item_vectors(small.test_embeddings * 64),
        vectors(fitted(name, small), small)[1],
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.usefixtures("few_epochs")
@pytest.mark.parametrize("name", GRADIENT)
def test_a_fit_leaves_the_generators_of_others_alone(name):
    import torch

    small = planted(tracks=60, playlists=30)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    fitted(name, small)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", LEARNED)
def test_asked_before_it_was_fitted(name, world):
    with pytest.raises(ProtocolError, match="before it was fitted"):
        RECOMMENDERS.get(name).built({}, 0).item_vectors(world.test_embeddings)


@pytest.mark.parametrize("name", LEARNED)
def test_the_defaults_are_the_first_of_the_search_space(name):
    kind = RECOMMENDERS.get(name)
    assert kind.params == {parameter: values[0] for parameter, values in kind.search_space.items()}
    for values in kind.search_space.values():
        assert len(set(values)) == len(values) > 1
    with pytest.raises(UsageError, match="no parameter 'depth'"):
        kind.built({"depth": 3.0}, 0)


def test_test_data_cannot_be_handed_in(world):
    with pytest.raises(ProtocolError, match="the test split was handed in as train data"):
        TrainData(world.test_split, world.test_embeddings)
    with pytest.raises(ProtocolError, match="the test split was handed in as valid data"):
        ValidData(world.test_split, world.test_embeddings)
    with pytest.raises(ProtocolError, match="the valid split was handed in as train data"):
        TrainData(world.valid.split, world.valid.embeddings)
    with pytest.raises(ProtocolError, match="the train split was handed in as valid data"):
        ValidData(world.train.split, world.train.embeddings)
    with pytest.raises(ProtocolError, match="vectors were handed in"):
        TrainData(world.train.split, world.test_embeddings)
    with pytest.raises(ProtocolError, match="vectors were handed in"):
        ValidData(world.valid.split, world.train.embeddings)
    with pytest.raises(AttributeError):
        world.train.embeddings = world.test_embeddings


def test_the_type_checker_refuses_test_data_too(tmp_path):
    pytest.importorskip("mypy")
    program = """
        from larpbench.datasets.schema import Dataset
        from larpbench.evaluation.queries import queries_of
        from larpbench.recommenders.base import TrainData, ValidData
        from larpbench.recommenders.ridge import Ridge

        def wrong(dataset: Dataset, vectors: object, train: TrainData, valid: ValidData) -> None:
            Ridge().fit(train, valid)
            Ridge().fit(train, queries_of(dataset.split("test")))  # wrong 1
            Ridge().fit(dataset.split("test"), valid)  # wrong 2
            Ridge().fit(valid, train)  # wrong 3
            Ridge().fit(train, valid, vectors)  # wrong 4
    """
    path = tmp_path / "wrong.py"
    path.write_text(textwrap.dedent(program))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-site-packages", "--cache-dir", str(tmp_path),
         "--follow-imports", "silent", "--config-file", str(ROOT / "pyproject.toml"), str(path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    errors = [line for line in checked.stdout.splitlines() if "error:" in line]
    lines = {int(line.split(":")[1]) for line in errors}
    marked = {number for number, line in enumerate(path.read_text().splitlines(), 1) if "# wrong" in line}
    assert lines == marked, checked.stdout
