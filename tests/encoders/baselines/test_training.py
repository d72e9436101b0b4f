"""Training of the baselines on planted worlds: what playlists tell is found, what is not there is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.planted_world import GROUPS, LENGTH, split
from support.small_baselines import small

from larpbench.datasets.schema import Split
from larpbench.encoders.baselines.cnn import AudioCnn
from larpbench.encoders.baselines.settings import CnnRecipe, cnn, co_playlist
from larpbench.encoders.baselines.trainers import CnnTrainer
from larpbench.encoders.baselines.training import train_cnn
from larpbench.encoders.encoder import FitContext
from larpbench.encoders.towers.inputs import MelInputs
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.errors import DataError
from larpbench.evaluation.queries import queries_of
from larpbench.evaluation.selection import recall_at
from larpbench.recommenders.itemknn import ITEMKNN

BANDS, FRAMES = 16, 40
TRACKS = {"train": 240, "valid": 120, "test": 120}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class World:
    """Tracks of 8 timbres, and playlists of one timbre each.

    A timbre is a quiet pattern over the upper bands; the lower bands are loud, different in every track, and mean
    nothing: whoever compares spectrograms as they are hears those.

    Args:
        useful: Whether playlists follow the timbre.
    """

    def __init__(self, *, useful: bool) -> None:
        draw = np.random.default_rng(0)
        timbres = 4 * draw.normal(size=(GROUPS, BANDS // 2))
        self.rows: dict[str, np.ndarray] = {}
        self.splits: dict[str, Split] = {}
        for name, n in TRACKS.items():
            group = draw.integers(GROUPS, size=n)
            loud = 15 * draw.normal(size=(n, BANDS - BANDS // 2))
            envelope = np.concatenate([loud, timbres[group if useful else draw.permutation(group)]], axis=1)
            mels = -40 + envelope[:, None] + draw.normal(size=(n, FRAMES, BANDS))
            self.rows[name] = mels.reshape(n, -1).astype(np.float32)
            lists = [draw.permutation(np.flatnonzero(group == g % GROUPS))[:LENGTH] for g in range(n)]
            self.splits[name] = split(name, n, lists)

    def recall(self, name: str, vectors: np.ndarray) -> float:
        asked = queries_of(self.splits[name])
        return recall_at(ITEMKNN.query_vectors(asked.seeds, vectors), ITEMKNN.item_vectors(vectors), asked)

    def context(self, recipe: CnnRecipe, workdir, seed: int = 0) -> FitContext:
        return FitContext(
            settings=recipe.model_dump(mode="json"),
            seed=seed,
            device="cpu",
            workdir=workdir,
            start=None,
            inputs={"train": (self.rows["train"],), "valid": (self.rows["valid"],)},
            score=lambda vectors: self.recall("valid", vectors),
        )

    def encoded(self, model: AudioCnn) -> np.ndarray:
        mels = torch.from_numpy(self.rows["test"]).view(-1, 1, FRAMES, BANDS)
        with torch.inference_mode():
            return model.eval().encoded(mels).numpy()


CHANCE = 10 / (TRACKS["test"] - LENGTH / 2)


def quick(made: CnnRecipe, epochs: int) -> CnnRecipe:
    recipe = small(made)
    assert isinstance(recipe, CnnRecipe)
    training = recipe.training.model_copy(update={"epochs": epochs, "batch": 40, "learning_rate": 5e-3})
    return recipe.model_copy(update={"training": training})


def test_co_playlist_finds_a_timbre_that_playlists_share(tmp_path):
    world = World(useful=True)
    trained = train_cnn(world.splits["train"], world.context(quick(co_playlist("tiny"), 15), tmp_path))
    plain = world.rows["test"].reshape(-1, FRAMES, BANDS).mean(axis=1)
    found = world.recall("test", world.encoded(trained.model))
    assert found > 4 * CHANCE
    assert found > 2 * world.recall("test", plain - plain.mean(axis=0))
    assert trained.facts["best"] == max(entry["recall@10"] for entry in trained.history)
    assert trained.history[-1]["loss"]["nt_xent"] < trained.history[1]["loss"]["nt_xent"]


def test_playlists_that_sound_has_nothing_to_do_with_leave_co_playlist_at_chance(tmp_path):
    world = World(useful=False)
    trained = train_cnn(world.splits["train"], world.context(quick(co_playlist("tiny"), 4), tmp_path))
    assert 0.5 * CHANCE < world.recall("test", world.encoded(trained.model)) < 1.5 * CHANCE


@pytest.mark.parametrize("mixing", [None, (5.0, 2.0)])
def test_cnn_tells_tracks_from_each_other(tmp_path, mixing):
    world = World(useful=True)
    recipe = quick(cnn("tiny"), 5).model_copy(update={"mixing": mixing})
    trained = train_cnn(world.splits["train"], world.context(recipe, tmp_path))
    halves = torch.from_numpy(world.rows["test"]).view(-1, 2, FRAMES // 2, BANDS)
    with torch.inference_mode():
        one, other = (trained.model.projected(halves[:, half]) for half in (0, 1))
    nearest = (one @ other.T).argmax(dim=1)
    assert (nearest == torch.arange(len(one))).float().mean() > 0.4
    assert trained.history[-1]["loss"]["nt_xent"] < trained.history[1]["loss"]["nt_xent"] - 0.2


def test_selection_sees_valid_alone_and_draws_follow_the_seed(tmp_path):
    world = World(useful=True)
    recipe = quick(cnn("tiny"), 1)
    states = []
    for place, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(place)
        folder.mkdir()
        states.append(train_cnn(world.splits["train"], world.context(recipe, folder, seed)).model.state_dict())
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=0, atol=0)
    assert any(not torch.equal(states[2][name], tensor) for name, tensor in states[0].items())


def trainer(world: World, recipe: CnnRecipe, graph: PlaylistGraph | None) -> CnnTrainer:
    torch.manual_seed(0)
    return CnnTrainer("test", AudioCnn(recipe), MelInputs(world.rows["train"], recipe.mel), graph, seed=0)


def test_pairs_share_a_playlist_and_what_else_shares_one_is_no_negative(monkeypatch):
    from larpbench.encoders.baselines import trainers

    world, seen = World(useful=True), []
    graph = PlaylistGraph(world.splits["train"].interactions(), TRACKS["train"])
    made = trainer(world, quick(co_playlist("tiny"), 1), graph)
    monkeypatch.setattr(
        trainers, "nt_xent", lambda vectors, *rest: (seen.append((len(vectors), *rest)), vectors.sum())[1]
    )
    anchors = graph.paired_tracks[:20]
    made.losses(anchors, np.random.default_rng(7))
    partners = graph.sample(anchors, 0, np.random.default_rng(7)).partners
    rows = np.concatenate([anchors, partners])
    ((n, positive, _, ignored),) = seen
    assert n == 40
    np.testing.assert_array_equal(rows[positive], np.concatenate([partners, anchors]))
    assert graph.share_playlist(anchors, partners).diagonal().all()
    np.testing.assert_array_equal(ignored, (rows[:, None] == rows) | graph.share_playlist(rows, rows))


def test_both_crops_of_a_track_are_drawn(monkeypatch):
    world, seen = World(useful=True), []
    made = trainer(world, quick(cnn("tiny"), 1).model_copy(update={"mixing": None}), None)
    projected = made.model.projected
    monkeypatch.setattr(made.model, "projected", lambda crops: (seen.append(crops), projected(crops))[1])
    torch.manual_seed(5)
    made.losses(np.arange(10), np.random.default_rng(0))
    torch.manual_seed(5)
    made.losses(np.arange(10), np.random.default_rng(0))
    assert torch.equal(*seen)
    crops = seen[0]
    assert crops.shape == (20, 20, BANDS)
    assert not torch.equal(crops[:10], crops[10:])
    heard = torch.from_numpy(world.rows["train"]).view(-1, FRAMES, BANDS)
    for row, crop in enumerate(crops):
        places = (heard[row % 10].unfold(0, 20, 1).transpose(1, 2) == crop).all(dim=(1, 2))
        assert places.sum() == 1


def test_playlists_of_one_track_make_no_pairs(tmp_path):
    world = World(useful=True)
    alone = split("train", TRACKS["train"], [np.array([track]) for track in range(TRACKS["train"])])
    with pytest.raises(DataError, match="no two train tracks share a playlist"):
        train_cnn(alone, world.context(quick(co_playlist("tiny"), 1), tmp_path))
