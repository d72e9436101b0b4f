"""Training of heads: what they find beside the frozen vectors, and that no stage is ever worse than its start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from support.head_worlds import head_world, train_chain
from support.resuming import Interrupter
from torch.nn import functional

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.frozen_views import WEIGHTS, frozen_vectors
from larpbench.encoders.larp.heads.encoder import HeadsEncoder
from larpbench.encoders.larp.heads.model import Heads
from larpbench.encoders.larp.heads.settings import HeadsSettings
from larpbench.encoders.larp.heads.trainer import HeadsTrainer
from larpbench.errors import TrainingError
from larpbench.training import resumable

QUICK = {"learning_rate": 2e-2, "least_updates": 8}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_world(number):
    """Small, of few or many groups, of views that tell much, little or nothing, with and without shuffled playlists."""
    draw = np.random.default_rng([7, number])
    return head_world(
        number,
        tracks=int(draw.integers(16, 60)),
        groups=int(draw.integers(2, 6)),
        length=int(draw.integers(3, 9)),
        views=1 + number % 2,
        telling=float(draw.choice([0.0, 0.3, 1.0, 3.0])),
        shuffled=bool(number % 5 == 0),
    )


@pytest.mark.parametrize("block", range(3))
def test_no_stage_is_worse_on_valid_than_its_start_nor_than_the_frozen_vectors(tmp_path, block):
    """Over 15 random worlds, with rates at which a training may also go wrong."""
    for number in range(5 * block, 5 * block + 5):
        world = random_world(number)
        frozen = before = world.recall(frozen_vectors(world.views["valid"]))
        rate = (2e-3, 3e-2, 1.0)[number % 3]
        for trained in train_chain(world, tmp_path / f"{number}", number, width=4, epochs=2, learning_rate=rate):
            found = world.recall(trained.vectors(world))
            valid = trained.facts["valid"]
            assert found >= before >= frozen, (number, trained.stage)
            assert (valid["frozen"], valid["start"], valid["best"]) == (frozen, before, found)
            before = found


class TestWhatTheyFind:
    """Views show what playlists follow behind louder numbers: a linear map finds it, the frozen cosine hardly does."""

    @pytest.mark.parametrize("views", [1, 2])
    def test_later_stages_find_what_playlists_follow(self, tmp_path, views):
        world = head_world(0, tracks=240, views=views)
        chain = list(train_chain(world, tmp_path, stages=("ttc", "tpc"), epochs=6, **QUICK))
        valid = [each.facts["valid"] for each in chain]
        assert chain[0].facts["weight"] == 0
        assert valid[0]["best"] == valid[0]["frozen"]
        assert chain[1].facts["weight"] > 0
        assert valid[1]["best"] > 1.3 * valid[1]["frozen"] > valid[1]["chance"]
        assert valid[2]["best"] >= valid[1]["best"]

    @pytest.mark.parametrize(
        "settings",
        [
            {"residual": False},
            {"playlists": "cross-modal"},
            {"playlists": "both"},
            {"candidates": 120},
        ],
    )
    def test_so_does_the_playlist_stage_alone_in_each_form(self, tmp_path, settings):
        world = head_world(1, tracks=240)
        _, stage = train_chain(world, tmp_path, stages=("tpc",), epochs=6, **QUICK, **settings)
        assert stage.facts["valid"]["best"] > 1.2 * stage.facts["valid"]["frozen"]
        losses = [entry["loss"]["tpc"] for entry in stage.facts["history"][1:]]
        assert losses[-1] < losses[0] - 0.2

    def test_where_playlists_are_shuffled_the_frozen_vectors_stay(self, tmp_path):
        weights = []
        for seed in range(5):
            world = head_world(seed, tracks=160, shuffled=True)
            *_, last = train_chain(world, tmp_path / f"{seed}", seed, epochs=3)
            weights.append(last.facts["weight"])
        assert weights.count(0.0) >= 4

    def test_the_first_stage_joins_views_that_show_the_same(self, tmp_path):
        """It never sees a playlist: what both views have in common is what remains of them."""
        draw = np.random.default_rng(0)
        world = head_world(2, tracks=240)
        rows = {}
        for name in ("train", "valid"):
            first = world.views[name][0]
            second = np.hstack([first[:, :6], 0.3 * draw.normal(size=(len(first), 12)).astype(np.float32)])
            rows[name] = (first, (second / np.linalg.norm(second, axis=1, keepdims=True)).astype(np.float32))
        _, stage = train_chain(replace(world, views=rows), tmp_path, stages=("wtc",), epochs=8, **QUICK)
        assert stage.facts["weight"] > 0
        assert stage.facts["valid"]["best"] > 1.2 * stage.facts["valid"]["frozen"]


class TestWhatIsKept:
    def test_the_record_says_how_the_weight_was_chosen(self, tmp_path):
        world = head_world(0, tracks=240)
        *_, stage = train_chain(world, tmp_path, stages=("ttc",), epochs=3, **QUICK)
        facts = stage.facts
        assert [each["weight"] for each in facts["weights"]] == list(WEIGHTS)
        chosen = next(each for each in facts["weights"] if each["weight"] == facts["weight"])
        assert chosen["recall@10"] == facts["valid"]["best"] == facts["best"]
        within = [each["below_best"] <= each["standard_error"] for each in facts["weights"]]
        assert facts["weight"] == facts["weights"][within.index(True)]["weight"]
        assert facts["weights"][0]["recall@10"] == facts["valid"]["frozen"]
        at_one = next(each["recall@10"] for each in facts["weights"] if each["weight"] == 1.0)
        assert max(each["recall@10"] for each in facts["history"]) == at_one
        assert 0 < facts["best_epoch"] <= facts["epochs"] == len(facts["history"]) - 1 == 3
        assert facts["frozen"] == ["a", "b"]
        assert facts["parameters"] == 2 * 18 * 16
        assert facts["updates"] == facts["updates_in_all"] > 0
        assert "weight" in facts["selected_by"]

    def test_a_start_that_is_better_stays_with_its_own_weight(self, tmp_path):
        """A second stage at a rate that destroys what the first has learnt leaves heads and weight as they were."""
        world = head_world(0, tracks=240)
        *_, first = train_chain(world, tmp_path / "a", stages=("ttc",), epochs=3, **QUICK)
        before = first.facts
        assert before["weight"] > 0
        *_, second = train_chain(
            world, tmp_path / "b", stages=("ttc",), start=first.folder, epochs=2, learning_rate=30.0
        )
        after = second.facts
        assert (after["weight"], after["best_epoch"]) == (before["weight"], 0)
        assert after["valid"]["start"] == after["valid"]["best"] == before["best"]
        assert after["updates"] > 0
        assert after["updates_in_all"] == before["updates_in_all"] + after["updates"]
        np.testing.assert_array_equal(second.vectors(world), first.vectors(world))

    def test_a_vector_is_the_frozen_one_and_the_weighted_mean_of_the_heads(self, tmp_path):
        world = head_world(0, tracks=240)
        *_, stage = train_chain(world, tmp_path, stages=("ttc",), epochs=3, **QUICK)
        views = world.views["valid"]
        weights = load_file(stage.folder / "model.safetensors")
        sides = [rows @ weights[f"heads.{number}.weight"].T for number, rows in enumerate(views)]
        sides = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in sides]
        weight = stage.facts["weight"]
        expected = np.hstack([*(each / np.sqrt(2) for each in views), weight * (sides[0] + sides[1]) / 2])
        np.testing.assert_allclose(stage.vectors(world), expected, atol=1e-5)
        ids = world.splits["valid"].track_ids
        for number, side in enumerate(("audio", "text")):
            encoder = HeadsEncoder(("a", "b"), side)
            encoder.load(stage.folder)
            found = encoder.encode(TrackBatch(ids, ids, inputs=(views[number],)))
            np.testing.assert_allclose(found, np.hstack([views[number], weight * sides[number]]), atol=1e-5)

    @pytest.mark.parametrize("stage", ["wtc", "ttc", "tpc"])
    def test_a_state_goes_on_as_if_nothing_had_happened(self, tmp_path, stage, monkeypatch):
        monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
        world = head_world(0, tracks=100)
        options = {"stages": (stage,), "epochs": 3, "fusion": "attention"}
        *_, whole = train_chain(world, tmp_path / "whole", **options)
        presses = Interrupter(monkeypatch, HeadsTrainer, 2, 6, 9)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                list(train_chain(world, tmp_path / "cut", **options))
        *_, again = train_chain(world, tmp_path / "cut", **options)
        assert presses.count == whole.facts["updates"] + 3, "no update was done twice but those that were cut off"
        for name, tensor in load_file(whole.folder / "model.safetensors").items():
            np.testing.assert_allclose(load_file(again.folder / "model.safetensors")[name], tensor, rtol=1e-6)
        for facts in (whole.facts, again.facts):
            for entry in facts["history"]:
                entry.pop("seconds")
        assert again.facts == whole.facts


def test_a_playlist_fused_by_attention_starts_near_its_mean():
    shape = {"views": ("a",), "dims": (4,), "width": 8, "hidden": 0, "dropout": 0.0, "weight": 1.0}
    torch.manual_seed(0)
    attention, mean = (Heads(HeadsSettings(fusion=each, **shape)).fusion for each in ("attention", "mean"))
    tracks = functional.normalize(torch.randn(5, 6, 8), dim=2)
    present = torch.arange(6) < torch.tensor([6, 5, 4, 2, 1])[:, None]
    found, expected = attention(tracks, present), mean(tracks, present)
    assert functional.cosine_similarity(found, expected).min() > 0.98


def test_a_loss_that_is_no_number_ends_the_training(tmp_path, monkeypatch):
    losses = HeadsTrainer.losses
    monkeypatch.setattr(
        HeadsTrainer, "losses", lambda *given: {name: each * np.nan for name, each in losses(*given).items()}
    )
    with pytest.raises(TrainingError, match="stage wtc is nan at update 0"):
        list(train_chain(head_world(0, tracks=40), tmp_path))


def test_heads_with_a_hidden_layer(tmp_path):
    world = head_world(0, tracks=60)
    *_, stage = train_chain(world, tmp_path, stages=("wtc",), hidden=12, epochs=1)
    assert {name.partition(".")[0] for name in load_file(stage.folder / "model.safetensors")} == {"heads"}
    assert stage.facts["parameters"] == 2 * (18 * 12 + 12 + 12 * 16)
    assert world.recall(stage.vectors(world)) == stage.facts["valid"]["best"]
