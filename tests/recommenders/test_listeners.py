from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.listener_world import planted_listeners

from larpbench.datasets.schema import Interactions
from larpbench.errors import ProtocolError, UsageError
from larpbench.recommenders.itemknn import ITEMKNN, ITEMKNN_LOG
from larpbench.recommenders.listeners import dropoutnet
from larpbench.recommenders.listeners.clcrec import ListenerCLCRec
from larpbench.recommenders.listeners.controls import UNKNOWN, ArtistMean, PopularArtist
from larpbench.recommenders.listeners.data import ListenerValidData
from larpbench.recommenders.listeners.dropoutnet import ListenerContentTowers, ListenerDropoutNet
from larpbench.recommenders.listeners.ridge import ListenerRidge
from larpbench.recommenders.vectors import playlist_means
from larpbench.recommenders.wmf import Factors, train_factors

KINDS = [ListenerRidge, ListenerDropoutNet, ListenerContentTowers, ListenerCLCRec]


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    """So many are enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("larpbench.recommenders.training.GradientRecommender.epochs", 6)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Listeners with planted tastes."""
    return planted_listeners(tmp_path_factory.mktemp("world") / "w")


@pytest.fixture(scope="module")
def ready(world):
    """One fitted recommender of each kind."""
    return {kind: fitted(kind, world) for kind in KINDS}


def fitted(kind, world):
    recommender = kind()
    recommender.fit(world.train, world.valid)
    return recommender


@pytest.mark.parametrize("kind", KINDS)
def test_planted_tastes_are_found(world, ready, kind):
    assert world.recall(ready[kind]) > 2 * world.chance


@pytest.mark.parametrize("kind", [ListenerRidge, ListenerCLCRec])
def test_two_fits_are_the_same(world, ready, kind):
    assert world.recall(ready[kind]) == world.recall(fitted(kind, world))


def test_vectors_alone_find_them_too(world):
    assert world.recall(ITEMKNN) > 2 * world.chance


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_listeners_are_an_error(world, ready, kind):
    found = ready[kind]
    profiles = world.test.seeds
    strangers = replace(profiles, playlist_ids=np.char.add(profiles.playlist_ids, "x"))
    with pytest.raises(ProtocolError, match="listeners are unknown: 'u000x'"):
        found.query_vectors(strangers, world.vectors["train"])


@pytest.mark.parametrize("kind", KINDS)
def test_some_listeners_have_the_vectors_that_they_have_among_all(world, ready, kind):
    found, profiles = ready[kind], world.test.seeds
    rows = np.arange(len(profiles))[::-7]
    some = found.query_vectors(profiles.select(rows), world.vectors["train"])
    np.testing.assert_allclose(some, found.query_vectors(profiles, world.vectors["train"])[rows], rtol=0, atol=1e-5)


def test_dropoutnet_content_has_no_track_factor_as_input(world, ready, monkeypatch):
    """Permuted as an input they change no bit; what is to be predicted stays as it was."""

    def same(one, other):
        pairs = ((side.tower.state_dict().values() for side in each._sides) for each in (one, other))
        states = [[value for values in sides for value in values] for sides in pairs]
        tests = [each.item_vectors(world.vectors["test"]) for each in (one, other)]
        return np.array_equal(*tests) and all(torch.equal(a, b) for a, b in zip(*states, strict=True))

    made = dropoutnet.Side

    def permuted(factors, content, dropout):
        side = made(factors, content, dropout)
        if len(factors) == len(world.vectors["train"]):
            order = torch.from_numpy(np.random.default_rng(0).permutation(len(factors)))
            side._preferences = side._preferences[order]
            side._cold = side._preferences.mean(dim=0)
        return side

    monkeypatch.setattr(dropoutnet, "Side", permuted)
    assert same(ready[ListenerContentTowers], fitted(ListenerContentTowers, world))
    assert not same(ready[ListenerDropoutNet], fitted(ListenerDropoutNet, world))


@pytest.mark.parametrize("kind", [ListenerRidge, ListenerDropoutNet])
def test_the_listeners_factor_matters(world, ready, kind, monkeypatch):
    def mixed_up(train, params, seed):
        found = train_factors(train, params, seed)
        order = np.random.default_rng(1).permutation(len(found.playlists))
        return Factors(found.playlists[order], found.tracks)

    for module in ("listeners.ridge", "dropoutnet"):
        monkeypatch.setattr(f"larpbench.recommenders.{module}.train_factors", mixed_up)
    assert world.recall(fitted(kind, world)) < world.recall(ready[kind]) - 0.05


def test_clcrec_keeps_listeners_and_network_of_the_selected_epoch(world, ready):
    found = ready[ListenerCLCRec]
    assert found.selection.best == pytest.approx(world.valid.recall(found), abs=1e-12)
    assert found.selection.best_epoch > 0


@pytest.mark.parametrize("kind", KINDS)
def test_valid_is_scored_with_profiles_and_no_mask(world, ready, kind):
    valid = world.valid
    assert len(valid.queries.masked.tracks) == 0
    assert valid.queries.candidates.tolist() == [len(world.vectors["valid"])] * len(valid.queries.seeds)
    assert valid.recall(ready[kind]) > 2 * 10 / len(world.vectors["valid"])


def test_test_data_cannot_be_handed_in(world):
    with pytest.raises(ProtocolError, match="test split was handed in as valid"):
        ListenerValidData(world.dataset.split("test"), world.vectors["test"], world.train)
    with pytest.raises(UsageError, match="no parameter"):
        ListenerRidge({"depth": 3})


def numbers(world):
    """Return the artists' numbers in the place of vectors, some of them unknown."""
    artists = world.dataset.tracks["artist"].str.slice(1).cast(int).to_numpy() + UNKNOWN + 1
    split = world.dataset.tracks["split"].to_numpy()
    return {name: artists[split == name].astype(np.float32)[:, None] for name in ("train", "valid", "test")}


def test_artist_mean_is_the_mean_factor_of_the_artist(world):
    known = replace(world, vectors=numbers(world))
    found = fitted(ArtistMean, known)
    factors = train_factors(known.train, found.params, 0)
    items = found.item_vectors(np.array([[UNKNOWN], [UNKNOWN + 4], [9_999]], dtype=np.float32))
    of_artist = known.vectors["train"][:, 0] == UNKNOWN + 4
    assert of_artist.sum() > 1
    np.testing.assert_allclose(items[1], factors.tracks[of_artist].mean(axis=0), atol=1e-5)
    for row in (0, 2):
        np.testing.assert_allclose(items[row], factors.tracks.mean(axis=0), atol=1e-5)


def test_popular_artist_ranks_by_plays_and_knows_no_listener(world):
    known = replace(world, vectors=numbers(world))
    found = PopularArtist()
    found.fit(known.train, known.valid)
    playlists = known.train.interactions
    artists = known.vectors["train"][:, 0]
    plays = {each: int((artists[playlists.tracks] == each).sum()) for each in np.unique(artists)}
    scores = found.item_vectors(np.array([[each] for each in plays], dtype=np.float32))[:, 0]
    order = np.argsort(list(plays.values()), kind="stable")
    assert (np.diff(scores[order]) >= 0).all()
    assert len(np.unique(scores)) == len(set(plays.values()))
    unknown = found.item_vectors(np.array([[UNKNOWN], [9_999]], dtype=np.float32))
    assert (unknown == 0).all()
    assert (scores > 0).all()
    assert not found.stochastic


def test_plays_weigh_logarithmically():
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]], dtype=np.float32)
    profiles = Interactions(np.array(["a", "b"]), np.array([0, 2, 3]), np.array([0, 1, 1]), np.array([1, 3, 7]))
    found = ITEMKNN_LOG.query_vectors(profiles, vectors)
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3], [0, 1]], atol=1e-6)
    with pytest.raises(ProtocolError, match="how often"):
        ITEMKNN_LOG.query_vectors(replace(profiles, counts=None), vectors)
    same = playlist_means(profiles, vectors, np.full(3, 5.0))
    np.testing.assert_allclose(same, playlist_means(profiles, vectors), atol=1e-6)
