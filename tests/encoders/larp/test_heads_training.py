"""Training of heads: what they find beside the frozen vectors, and that no stage is ever worse than its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.head_worlds import head_world, train_chain

from larpbench.encoders.frozen_views import frozen_vectors


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


@pytest.mark.parametrize("block", range(5))
def test_no_stage_is_worse_on_valid_than_its_start_nor_than_the_frozen_vectors(tmp_path, block):
    """Over 50 random worlds, with rates at which a training may also go wrong."""
    for number in range(10 * block, 10 * block + 10):
        world = random_world(number)
        frozen = before = world.recall(frozen_vectors(world.views["valid"]))
        rate = (2e-3, 3e-2, 1.0)[number % 3]
        for trained in train_chain(world, tmp_path / f"{number}", number, width=4, epochs=2, learning_rate=rate):
            found = world.recall(trained.vectors(world))
            valid = trained.facts["valid"]
            assert found >= before >= frozen, (number, trained.stage)
            assert (valid["frozen"], valid["start"], valid["best"]) == (frozen, before, found)
            before = found
