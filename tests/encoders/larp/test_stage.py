"""Training on planted worlds: what each stage can find, and what it must not fall into."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from larpbench.datasets.schema import Interactions
from larpbench.encoders.larp import stage as stage_module
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.recipes import recipe
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings, TrainingSettings
from larpbench.encoders.larp.stage import StageTrainer
from larpbench.encoders.towers.inputs import TrackInputs, VectorInputs, features
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.errors import TrainingError
from larpbench.training import trainer as trainer_module

GROUPS, DIM, LISTED = 8, 16, 12


class World:
    """Tracks whose audio shows one group and whose text shows another, and playlists that are made of groups.

    A playlist of group k holds tracks that sound like k and tracks that are titled like k.

    Args:
        agree: Whether a track's two groups are the same. If not, they are independent, and nothing but the playlists
            tells which sound belongs to which words.
        noise: Strength of causes that only one view has.
        offset: Length of a vector that all texts have in common.
        tracks: Of train; half as many in test.
    """

    def __init__(self, *, agree: bool, noise: float = 0.5, offset: float = 0.0, tracks: int = 240) -> None:
        draw = np.random.default_rng(0)
        codes = draw.normal(size=(2, GROUPS, DIM))
        common = draw.normal(size=DIM)
        self.groups, self.inputs = {}, {}
        for split, n in (("train", tracks), ("test", tracks // 2)):
            sound = draw.integers(0, GROUPS, n)
            words = sound if agree else draw.integers(0, GROUPS, n)
            audio = codes[0][sound] + noise * draw.normal(size=(n, DIM))
            text = codes[1][words] + noise * draw.normal(size=(n, DIM)) + offset * common
            self.groups[split] = sound, words
            self.inputs[split] = TrackInputs(*(VectorInputs(view.astype(np.float32)) for view in (audio, text)))
        sound, words = self.groups["train"]
        members = []
        for number in range(200):
            alike = [np.flatnonzero(view == number % GROUPS) for view in (sound, words)]
            members.append(np.unique(np.concatenate([draw.permutation(each)[: LISTED // 2] for each in alike])))
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in members])]).astype(np.int64)
        ids = np.array([f"p{n:03d}" for n in range(len(members))])
        self.graph = PlaylistGraph(Interactions(ids, offsets, np.concatenate(members)), tracks)

    def model(self, seed: int = 0, **settings) -> Larp:
        torch.manual_seed(seed)
        head = {"inputs": DIM, "hidden": 64, "dropout": 0.1}
        sides = {side: HeadSettings(encoder=side, **head) for side in ("audio", "text")}
        return Larp(ModelSettings(**sides, dim=32, **{"fusion": "mean", **settings}))

    def trainer(self, model: Larp, stage: str, seed: int = 0, **settings) -> StageTrainer:
        chosen = {"batch": 32, "epochs": 12, "patience": 0, "learning_rate": 1e-3, **settings}
        return StageTrainer(model, TrainingSettings(stage=stage, **chosen), self.inputs["train"], self.graph, seed)

    def train(self, model: Larp, stage: str, seed: int = 0, **settings) -> StageTrainer:
        trainer = self.trainer(model, stage, seed, **settings)
        trainer.run(lambda m: {"recall@10": 0.0}, lambda m: None, lambda: None, lambda n: None)
        return trainer

    def agreement(self, model: Larp) -> float:
        """Share of the ten texts nearest to each test audio that are of the group that it sounds like; chance .125."""
        sound, words = self.groups["test"]
        similarity = np.matmul(*(side if n == 0 else side.T for n, side in enumerate(self.sides(model))))
        nearest = np.argsort(-similarity, axis=1)[:, :10]
        return float((words[nearest] == sound[:, None]).mean())

    def sides(self, model: Larp) -> tuple[np.ndarray, np.ndarray]:
        model.eval()
        with torch.no_grad():
            made = features(model, self.inputs["test"], np.arange(len(self.groups["test"][0])), "cpu", bfloat16=False)
        return made.audio.numpy(), made.text.numpy()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_what_only_playlists_tell_is_found_by_ttc_and_not_by_wtc():
    world = World(agree=False)
    model = world.model()
    world.train(model, "wtc")
    assert world.agreement(model) < 0.25
    world.train(model, "ttc", epochs=20)
    assert world.agreement(model) > 0.6


def test_where_audio_and_text_share_everything_wtc_is_enough():
    world = World(agree=True)
    model = world.model()
    assert world.agreement(model) < 0.3
    world.train(model, "wtc")
    assert world.agreement(model) > 0.9


@pytest.mark.parametrize("fusion", ["mean", "attention"])
def test_tpc_finds_what_playlists_tell(fusion):
    world = World(agree=False)
    model = world.model(fusion=fusion)
    trainer = world.train(model, "tpc", epochs=20, neighbours=5)
    assert world.agreement(model) > 0.4
    losses = [entry["loss"] for entry in trainer.progress.history[1:]]
    assert set(losses[0]) == {"wtc", "ttc", "tpc"}
    assert losses[-1]["tpc"] < losses[0]["tpc"]


def spread(vectors: np.ndarray) -> float:
    """1 less the mean cosine of two rows of length 1."""
    return float(1 - np.square(vectors.mean(axis=0)).sum())


@pytest.mark.parametrize(
    ("momentum", "queue", "collapses"), [(0.9, 10**6, True), (0.5, 10**6, True), (0.9, 0, False), (0.995, 10**6, False)]
)
def test_a_queue_collapses_a_model_that_runs_ahead_of_it(momentum, queue, collapses):
    """All texts start nearly equal, as those of a random tower do, and the model moves fast.

    Keys of the queue can then be told from fresh ones by their age alone: that lowers the loss at first, both sides run
    after it, and end in one point each, where the loss is ln(number of keys). Without a queue, or with a momentum copy
    that is slow beside the queue's age, there is nothing to run after.
    """
    world = World(agree=True, offset=10, tracks=400)
    model = world.model()
    trainer = world.train(model, "wtc", momentum=momentum, queue=queue, learning_rate=1e-2)
    losses = [entry["loss"]["wtc"] for entry in trainer.progress.history[1:]]
    spreads = [spread(each) for each in world.sides(model)]
    if collapses:
        assert max(spreads) < 0.05
        assert losses[-1] > min(losses) + 0.5
        assert losses[-1] == pytest.approx(math.log(32 + len(trainer.queue.tracks)), abs=0.3)
    else:
        assert min(spreads) > 0.4
        assert losses[-1] < losses[0] - 0.8
        assert world.agreement(model) > 0.9


@pytest.mark.parametrize("size", ["heads-plain", "tiny", "paper"])
def test_no_size_has_a_queue_beside_a_momentum_copy_that_is_fast(size):
    settings = recipe(size, "wtc").training
    assert settings.queue == 0 or settings.momentum >= 0.99


def test_a_step_sees_every_track_of_its_pairs_and_masks_what_shares_a_playlist(monkeypatch):
    """The keys that leave TTC's denominator are the track itself and those that share a playlist with it."""
    world, seen = World(agree=False), []
    trainer = world.trainer(world.model(), "ttc", batch=8)
    monkeypatch.setattr(
        stage_module,
        "cross_modal",
        lambda tracks, keys, positive, tau, ignored, *rest: (seen.append((positive, ignored)), tau * 0)[1],
    )
    anchors = world.graph.paired_tracks[:8]
    trainer.losses(anchors, np.random.default_rng(0))
    trainer.losses(anchors, np.random.default_rng(1))  # now there is a queue
    pairs = world.graph.sample(anchors, 0, np.random.default_rng(1))
    rows = np.concatenate([pairs.tracks, pairs.partners])
    first = world.graph.sample(anchors, 0, np.random.default_rng(0))
    keys = np.concatenate([rows, first.tracks, first.partners])
    (own, same), (partner, related) = seen[2:]
    np.testing.assert_array_equal(own, np.arange(16))
    np.testing.assert_array_equal(rows[partner], np.concatenate([pairs.partners, pairs.tracks]))
    np.testing.assert_array_equal(same, rows[:, None] == keys)
    np.testing.assert_array_equal(related, (rows[:, None] == keys) | world.graph.share_playlist(rows, keys))


def test_the_learning_rate_warms_up_within_a_tenth_of_the_run_and_ends_at_zero():
    world = World(agree=True)
    trainer = world.trainer(world.model(), "wtc", epochs=10)
    total = 10 * trainer.updates_per_epoch
    rates = [trainer.learning_rate(update) for update in range(total)]
    top = int(np.argmax(rates))
    assert top <= total // 10
    assert rates[top] == pytest.approx(1e-3)
    assert all(np.diff(rates[: top + 1]) > 0)
    assert all(np.diff(rates[top:]) <= 0)
    assert rates[-1] < 1e-6


def test_training_stops_when_validation_no_longer_rises_and_keeps_the_best():
    world, model = World(agree=True), None
    model = world.model()
    scores = iter([0.05, 0.1, 0.3, 0.2, 0.3, 0.25, 0.9])
    trainer, kept = world.trainer(model, "wtc", patience=3), []
    trainer.run(
        lambda m: {"recall@10": next(scores)},
        lambda m: kept.append(trainer.progress.update // trainer.updates_per_epoch),
        lambda: None,
        lambda n: None,
    )
    assert kept == [0, 1, 2]  # an equal score is no better
    assert [entry["epoch"] for entry in trainer.progress.history] == [0, 1, 2, 3, 4, 5]
    assert (trainer.progress.best, trainer.progress.best_epoch) == (0.3, 2)


@pytest.mark.parametrize("stage", ["wtc", "ttc", "tpc"])
def test_a_state_goes_on_as_if_nothing_had_happened(stage):
    world = World(agree=False)
    whole = world.train(world.model(), stage, epochs=3, neighbours=3)
    saved = []

    def stop(trainer):
        if trainer.progress.update == trainer.updates_per_epoch + 5:
            state = {name: tensor.clone() for name, tensor in trainer.tensors().items()}
            saved.append((state, copy.deepcopy(trainer.progress)))

    first = world.trainer(world.model(), stage, epochs=3, neighbours=3)
    first.run(lambda m: {"recall@10": 0.0}, lambda m: None, lambda: stop(first), lambda n: None)
    again = world.trainer(world.model(seed=9), stage, epochs=3, neighbours=3)
    again.restore(*saved[0])
    again.run(lambda m: {"recall@10": 0.0}, lambda m: None, lambda: None, lambda n: None)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=1e-6, atol=1e-7)
    assert [e["loss"] for e in again.progress.history] == [e["loss"] for e in whole.progress.history]


def test_a_loss_that_is_no_number_ends_the_training():
    world = World(agree=True)
    trainer = world.trainer(world.model(), "wtc", learning_rate=1e30)
    with pytest.raises(TrainingError, match="stage wtc is nan at update"):
        trainer.run(lambda m: {"recall@10": 0.0}, lambda m: None, lambda: None, lambda n: None)


@pytest.mark.parametrize("stage", ["wtc", "ttc", "tpc"])
def test_bfloat16_towers_lose_about_the_same(stage, monkeypatch):
    monkeypatch.setattr(trainer_module, "gains_from_bfloat16", lambda device: True)
    world, losses = World(agree=False), {}
    for precision in ("float32", "bfloat16"):
        trainer = world.train(world.model(), stage, epochs=2, neighbours=3, precision=precision)
        losses[precision] = [entry["loss"] for entry in trainer.progress.history[1:]]
    for one, other in zip(*losses.values(), strict=True):
        assert one != other
        assert one == pytest.approx(other, rel=0.02)
