"""The draw of the splits where all playlists are at hand: shares or numbers of them, in the order of the rule."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import SplitName
from larpbench.datasets.splits import rules
from larpbench.datasets.splits.builder import SHORTEST_TRAIN, SplitBuilder


def draw(builder: SplitBuilder, apart: int = 0) -> None:
    """Assign the splits, by shares of all playlists or by the numbers that the rule names.

    Args:
        builder: The builder, before anything but single tracks is assigned.
        apart: So many of the last playlists are those that test is drawn from, and no other split; 0: all are alike.
    """
    rule, playlists = builder.rule, builder.playlists
    if rule.rule != "paper" and rule.train_fraction is not None:
        builder.draw_shares(apart)
        return
    own = len(playlists) - apart
    order = np.argsort(rules.uniforms(rule.seed, names=playlists.ids), kind="stable")
    together, for_test = order[order < own], order[order >= own]
    for_train = np.arange(len(playlists)) < own

    def take(split: SplitName, count: int | None) -> None:
        rows = for_test if split == "test" and apart else together[for_train[together]]
        for_train[builder.take(split, iter(rows.tolist()), count)] = False

    if rule.rule == "paper":
        builder.draw_train(rule.train_tracks or 0)
        take("valid", rule.valid_playlists)
        take("test", rule.test_playlists)
    else:
        take("test", rule.test_playlists)
        take("valid", rule.valid_playlists)
        if rule.train_tracks is None:
            builder.assign("train", np.flatnonzero(builder.free()))
            builder.keep_train(for_train, rule.min_length or 1)
            return
        builder.draw_train(rule.train_tracks)
    builder.keep_train(for_train, SHORTEST_TRAIN)
