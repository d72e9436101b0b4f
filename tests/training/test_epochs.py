"""Which epoch is kept and when training ends: the start is a candidate, warm-up is not counted, a collapse is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larpbench.training.loop import Selection, Validation, fit_in_memory, run_epochs, spread_of
from larpbench.training.settings import LoopSettings
from larpbench.training.trainer import Trainer

RECALLS = st.lists(st.floats(0, 1), min_size=1, max_size=14)


def run(scores, patience=0, warm_up=0, spreads=None, selection=None, stop=None):
    """Train epochs of which the scores are known; return the selection, what was trained and what was kept."""
    selection, trained, kept = selection or Selection(), [], []
    spreads = spreads or [None] * len(scores)

    def close():
        if stop is not None and selection.epochs == stop:
            raise KeyboardInterrupt

    run_epochs(
        selection,
        len(scores) - 1,
        patience,
        trained.append,
        lambda epoch: Validation(scores[epoch], spreads[epoch]),
        lambda: kept.append(len(selection.scores) - 1),
        close,
        warm_up,
    )
    return selection, trained, kept


@given(RECALLS, st.integers(0, 4), st.integers(0, 4))
def test_the_kept_epoch_is_the_best_of_all_and_never_worse_than_the_start(scores, patience, warm_up):
    selection, trained, kept = run(scores, patience, warm_up)
    assert trained == list(range(1, selection.epochs + 1))
    assert selection.scores == scores[: selection.epochs + 1]
    assert selection.best == max(selection.scores) >= scores[0]
    assert kept[0] == 0
    assert kept[-1] == selection.best_epoch == selection.scores.index(selection.best)
    if selection.ended == "patience":
        since = max(1 + int(np.argmax(selection.scores[1:])) if trained else 0, warm_up)
        assert selection.epochs - since == patience
    else:
        assert selection.epochs == len(scores) - 1


@given(RECALLS, st.integers(0, 3), st.integers(0, 3), st.data())
def test_a_training_that_is_cut_off_ends_as_if_it_had_not_been(scores, patience, warm_up, data):
    spreads = data.draw(st.lists(st.floats(0, 1), min_size=len(scores), max_size=len(scores)))
    whole, trained, _ = run(scores, patience, warm_up, spreads)
    cut = Selection()
    with pytest.raises(KeyboardInterrupt):
        run(scores, patience, warm_up, spreads, cut, stop=data.draw(st.integers(0, whole.epochs)))
    again, later, _ = run(scores, patience, warm_up, spreads, cut)
    assert again == whole
    assert [*range(1, whole.epochs - len(later) + 1), *later] == trained


def test_epochs_of_the_warm_up_do_not_count():
    falling = [0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert run(falling, patience=2)[1] == [1, 2, 3]
    assert run(falling, patience=2, warm_up=4)[1] == [1, 2, 3, 4, 5, 6]
    assert run(falling, patience=2, warm_up=4)[0].best_epoch == 0


@pytest.mark.parametrize(
    ("spreads", "epochs", "ended"),
    [
        ([0.5, 0.4, 0.09, 0.08, 0.07, 0.06], 3, "collapse"),
        ([0.5, 0.09, 0.11, 0.09, 0.11, 0.09], 5, "epochs"),  # never two in a row
        ([0.5, 0.4, 0.4, 0.4, 0.09, 0.09], 5, "collapse"),  # told although nothing is left to stop
        ([0.005, 0.0, 0.0, 0.0, 0.0, 0.0], 5, "epochs"),  # one point from the start
        ([None] * 6, 5, "epochs"),
    ],
)
def test_a_collapse_ends_the_training(spreads, epochs, ended):
    selection, _, _ = run([0.1, 0.2, 0.3, 0.3, 0.3, 0.3], spreads=spreads)
    assert (selection.epochs, selection.ended) == (epochs, ended)
    assert selection.best_epoch == 2


def test_the_spread_of_vectors():
    draw = np.random.default_rng(0)
    assert spread_of(draw.normal(size=(500, 64)).astype(np.float32)) == pytest.approx(1, abs=0.01)
    assert spread_of(np.ones((9, 4), dtype=np.float32) * draw.uniform(1, 2, size=(9, 1)).astype(np.float32)) < 1e-6


class Line(Trainer[torch.nn.Linear]):
    """One number that every update makes larger."""

    def losses(self, anchors, draw):
        return {"loss": -self.model.weight.sum()}


@pytest.mark.parametrize(
    ("warm_up", "epochs", "expected"),
    [(3_000, 40, 4), (3_000, 9, 1), (0, 40, 0), (1, 40, 0), (2, 40, 1), (5, 40, 1), (6, 40, 2)],
)
def test_an_epoch_is_warm_up_if_one_of_its_updates_is(warm_up, epochs, expected):
    settings = LoopSettings(batch=2, epochs=epochs, warm_up=warm_up)
    trainer = Line(torch.nn.Linear(1, 1), settings, np.arange(9), 0, "cpu", "line")  # 4 updates an epoch
    rates = [trainer.learning_rate(update) / settings.learning_rate for update in range(trainer.updates)]
    assert trainer.warm_up_epochs == expected
    assert expected == -(-rates.index(max(rates)) // 4)  # epochs with an update before the first at the full rate


@pytest.mark.parametrize(("rate", "kept"), [(0.1, 0.0), (-0.1, 1.2)])
def test_weights_in_memory_are_those_of_the_best_epoch_or_of_the_start(rate, kept, capsys):
    """A weight that grows is worse where the score is its negative: then the start is kept, to the bit."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []

    def validate(loss):
        seen.append(loss)
        return Validation(-np.sign(rate) * model.weight.item(), 0.5)

    selection = fit_in_memory("line", model, [optimiser], lambda: [-model.weight.sum()], validate, 12, 20, "nothing")
    assert model.weight.item() == pytest.approx(kept)
    assert seen[0] is None
    assert None not in seen[1:]
    assert selection.best_epoch == (0 if rate > 0 else 12)
    assert not model.training
    assert "collapsed" not in capsys.readouterr().err


def test_a_collapse_in_memory_is_told_with_what_to_do(capsys):
    model = torch.nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    spreads = iter([0.5, 0.3, 0.01, 0.01])
    selection = fit_in_memory(
        "line", model, [optimiser], lambda: [model.weight.sum()], lambda loss: Validation(0.5, next(spreads)), 9, 5,
        "take another line",
    )  # fmt: skip
    assert selection.ended == "collapse"
    said = capsys.readouterr().err
    assert "the vectors of line have collapsed: their spread fell from 0.500 to 0.010 in 3 epochs" in said
    assert "the start is kept; take another line" in said
    unselected = [0.5, 0.0, 0.0, 0.0, 0.0]
    left = iter(unselected)
    selection = fit_in_memory(
        "line", model, [optimiser], lambda: [model.weight.sum()], lambda loss: Validation(0.5, next(left)), 4, None, "",
    )  # fmt: skip
    assert (selection.ended, selection.epochs) == ("epochs", 4)  # the last epoch counts: nothing ends it
