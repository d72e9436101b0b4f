"""The losses of heads against dense references written here, and what is drawn where there are too many tracks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.head_worlds import head_world
from torch.nn import functional

from larpbench.datasets.schema import Interactions
from larpbench.encoders.larp.heads.batches import draw_batch
from larpbench.encoders.larp.heads.losses import Entries, draw_candidates, multi_positive, thin
from larpbench.encoders.larp.heads.model import Heads
from larpbench.encoders.larp.heads.settings import HeadsSettings, HeadsTraining
from larpbench.encoders.larp.heads.trainer import HeadsTrainer
from larpbench.encoders.towers.sampling import PlaylistGraph


def entries(table: np.ndarray) -> Entries:
    return Entries(*(torch.from_numpy(each) for each in np.nonzero(table)))


def dense(logits: np.ndarray, positives: np.ndarray, excluded: np.ndarray) -> float:
    """Equation 19 row by row: the mean over its positives of -log softmax over what is not excluded."""
    losses = []
    for row, good, gone in zip(logits.astype(np.float64), positives, excluded, strict=True):
        total = np.log(np.exp(row[~gone]).sum())
        losses.append(np.mean([total - each for each in row[good]]))
    return float(np.mean(losses))


@given(st.integers(0, 10**6))
def test_a_target_is_spread_evenly_over_the_positives_of_a_row(seed):
    draw = np.random.default_rng(seed)
    n, m = draw.integers(1, 6), draw.integers(3, 9)
    logits = 3 * draw.normal(size=(n, m)).astype(np.float32)
    positives = draw.random((n, m)) < 0.4
    positives[np.arange(n), draw.integers(m, size=n)] = True
    excluded = ~positives & (draw.random((n, m)) < 0.3)
    found = multi_positive(torch.from_numpy(logits), entries(positives), entries(excluded))
    assert float(found) == pytest.approx(dense(logits, positives, excluded), rel=1e-4, abs=1e-5)


def test_with_one_positive_a_row_it_is_the_cross_entropy():
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.tensor([3, 0, 6, 2, 2])
    found = multi_positive(logits, Entries(torch.arange(5), target))
    expected = functional.cross_entropy(logits, target)
    torch.testing.assert_close(found, expected)
    for one, other in zip(torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits), strict=True):
        torch.testing.assert_close(one, other)


def test_drawn_candidates_estimate_the_sum_over_all_tracks():
    """Their exponentials, each divided by its probability, have the mean of the whole sum; required ones count once."""
    draw = np.random.default_rng(0)
    scores = draw.normal(size=400)
    required = np.arange(0, 30)
    sums, losses = [], []
    exact_loss = np.log(np.exp(scores).sum()) - scores[3]
    for _ in range(400):
        tracks, logs = draw_candidates(400, required, 120, draw)
        assert len(tracks) == 120
        assert set(required) <= set(tracks)
        assert (logs[np.isin(tracks, required)] == 0).all()
        sums.append(np.exp(scores[tracks] - logs).sum())
        place = Entries(torch.tensor([0]), torch.from_numpy(np.flatnonzero(tracks == 3)))
        logits = torch.from_numpy(scores[tracks][None])
        losses.append(float(multi_positive(logits, place, None, torch.from_numpy(logs).double())))
    assert np.mean(sums) == pytest.approx(np.exp(scores).sum(), rel=0.01)
    assert np.mean(losses) == pytest.approx(exact_loss, abs=0.02)
    uncorrected = np.log(np.exp(scores[tracks]).sum()) - scores[3]
    assert abs(uncorrected - exact_loss) > 0.5


def test_all_tracks_are_candidates_up_to_the_limit_and_required_ones_always():
    draw = np.random.default_rng(0)
    tracks, logs = draw_candidates(50, np.array([3]), 50, draw)
    np.testing.assert_array_equal(tracks, np.arange(50))
    assert logs is None
    tracks, logs = draw_candidates(50, np.arange(48), 20, draw)  # too many are required
    np.testing.assert_array_equal(tracks, np.arange(50))
    assert np.exp(logs).min() == pytest.approx(1.0)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 5), st.integers(0, 99))
def test_positives_are_thinned_evenly(rows, most, seed):
    rows = np.sort(np.array(rows, dtype=np.int64))
    kept = thin(rows, most, np.random.default_rng(seed))
    for row in set(rows):
        assert kept[rows == row].sum() == min(most, (rows == row).sum())


@pytest.fixture(scope="module")
def world():
    """60 tracks in playlists of 5 groups, two views."""
    return head_world(3, tracks=60, groups=5, length=6)


def graph_of(world) -> PlaylistGraph:
    train = world.splits["train"]
    return PlaylistGraph(train.interactions(), len(train.track_ids))


def held(world) -> np.ndarray:
    """R, (playlists, tracks) bool."""
    train = world.splits["train"].interactions()
    table = np.zeros((len(train), 60), dtype=bool)
    table[np.repeat(np.arange(len(train)), train.lengths), train.tracks] = True
    return table[train.lengths > 1]


def trainer_of(world, stage, **settings) -> HeadsTrainer:
    dims = tuple(each.shape[1] for each in world.views["train"])
    shape = HeadsSettings(
        views=("a", "b")[: len(dims)], dims=dims, width=8, hidden=0, dropout=0.0, fusion="mean", weight=1.0
    )
    torch.manual_seed(0)
    training = HeadsTraining(stage=stage, **{"neighbours": 3, **settings})
    return HeadsTrainer(Heads(shape), training, world.views["train"], graph_of(world), 0)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("playlists", ["joint", "cross-modal", "both"])
@pytest.mark.parametrize("views", [1, 2])
def test_the_stages_losses_are_those_of_the_equations(residual, playlists, views):
    """WTC, TTC and TPC, from dense tables of O and R and one loop over their rows."""
    world = head_world(3, tracks=60, groups=5, length=6, views=views)
    trainer = trainer_of(world, "tpc", residual=residual, playlists=playlists)
    anchors = trainer.graph.paired_tracks[:7]
    with torch.no_grad():
        terms = trainer.losses(anchors, np.random.default_rng(5))
    batch = draw_batch(trainer.graph, trainer.settings, anchors, np.random.default_rng(5), "cpu")
    pairs = trainer.graph.sample(anchors, 3, np.random.default_rng(5))
    table = held(world)
    related = (table.T.astype(int) @ table.astype(int)) > 0
    rows = world.views["train"]
    frozen = np.hstack(rows) / np.sqrt(views)
    with torch.no_grad():
        sides = [each.numpy() for each in trainer.model.features([torch.from_numpy(each) for each in rows])]
    itself = np.eye(60, dtype=bool)[anchors]
    nothing = np.zeros((7, 60), dtype=bool)
    similar = frozen[anchors] @ frozen.T if residual else 0.0
    joint = (sides[0] + sides[1]) / 2
    crossed = [(sides[0], sides[1]), (sides[1], sides[0])]
    wtc = [dense(one[anchors] @ other.T / 0.1, itself, nothing) for one, other in crossed]
    ttc = [
        dense((one[anchors] @ other.T + similar) / 0.1, related[anchors] & ~itself, itself) for one, other in crossed
    ]
    assert float(terms["wtc"]) == pytest.approx(np.mean(wtc), rel=1e-4)
    assert float(terms["ttc"]) == pytest.approx(np.mean(ttc), rel=1e-4)

    taken = nothing.copy()
    for row, (tracks, present) in enumerate(zip(pairs.neighbours, pairs.present, strict=True)):
        taken[row, tracks[present]] = True
    others = table[pairs.playlists] & ~taken
    assert (others.sum(axis=1) >= 1).all()
    assert others[np.arange(7), anchors].all()
    compared = {"joint": [(joint, joint)], "cross-modal": crossed, "both": [(joint, joint), *crossed]}[playlists]
    similar = unit_mean(taken, frozen) @ frozen.T if residual else 0.0
    tpc = [dense((unit_mean(taken, one) @ other.T + similar) / 0.1, others, taken) for one, other in compared]
    assert float(terms["tpc"]) == pytest.approx(np.mean(tpc), rel=1e-4)
    assert batch.log_probability is None
    assert set(trainer_of(world, "ttc").losses(anchors, np.random.default_rng(5))) == {"wtc", "ttc"}
    assert set(trainer_of(world, "wtc").losses(anchors, np.random.default_rng(5))) == {"wtc"}


def unit_mean(taken, rows):
    means = taken.astype(np.float64) @ rows / taken.sum(axis=1, keepdims=True)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_losses_over_drawn_candidates_have_about_the_mean_of_those_over_all(world):
    exact = trainer_of(world, "tpc", temperature=0.5)
    drawn = trainer_of(world, "tpc", temperature=0.5, candidates=40)
    anchors = exact.graph.paired_tracks[:3]
    means = {}
    for name, trainer in (("exact", exact), ("drawn", drawn)):
        with torch.no_grad():
            found = [trainer.losses(anchors, np.random.default_rng([n])) for n in range(300)]
        means[name] = {term: np.mean([float(each[term]) for each in found]) for term in ("wtc", "ttc", "tpc")}
    assert means["drawn"] == pytest.approx(means["exact"], rel=0.03)
    assert draw_batch(drawn.graph, drawn.settings, anchors, np.random.default_rng(0), "cpu").log_probability is not None


def test_an_epoch_draws_its_anchors_anew_and_has_no_more_than_it_may(world, monkeypatch):
    trainer = trainer_of(world, "wtc", anchors=32, epochs=3, patience=0)
    assert (trainer.loop.batch, trainer.updates_per_epoch) == (8, 4)
    seen = []
    losses = trainer.losses
    monkeypatch.setattr(trainer, "losses", lambda anchors, draw: (seen.append(anchors), losses(anchors, draw))[1])
    trainer.run(lambda m: {"recall@10": 0.0}, lambda m: None, lambda: None, lambda n: None)
    epochs = [np.concatenate(seen[4 * n : 4 * n + 4]) for n in range(3)]
    assert [len(set(each)) for each in epochs] == [32] * 3
    assert len({tuple(sorted(each)) for each in epochs}) == 3


def test_few_tracks_still_make_enough_updates(world):
    assert trainer_of(world, "wtc").loop.batch == 8
    assert trainer_of(world, "wtc", least_updates=3).loop.batch == 20
    assert trainer_of(world, "wtc", least_updates=3, batch=10).loop.batch == 10


def test_the_graph_gives_rows_of_o_and_of_r(world):
    graph, table = graph_of(world), held(world)
    related = (table.T.astype(int) @ table.astype(int)) > 0
    some = np.array([4, 0, 4])
    np.testing.assert_array_equal(graph.related(some).toarray(), related[some])
    np.testing.assert_array_equal(graph.holding(some).toarray(), table[some])
    alone = PlaylistGraph(Interactions(np.array(["p"]), np.array([0, 1]), np.array([1])), 3)
    assert alone.related(np.array([1, 2])).nnz == 0
