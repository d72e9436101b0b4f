from __future__ import annotations

import numpy as np
import pytest
from support.planted_world import planted

from larpbench.evaluation.selection import recall_at
from larpbench.recommenders import RECOMMENDERS


def test_it_is_recall_by_the_definition():
    world = planted(tracks=90, playlists=60)
    question, embeddings = world.test, world.test_embeddings
    itemknn = RECOMMENDERS.get("itemknn")
    queries, items = itemknn.query_vectors(question.seeds, embeddings), itemknn.item_vectors(embeddings)
    for k in (1, 10, 30):
        found = []
        for p in range(len(question.seeds)):
            scores = queries[p].astype(np.float64) @ items.T.astype(np.float64)
            seeds, held = (
                each.tracks[each.offsets[p] : each.offsets[p + 1]] for each in (question.seeds, question.heldout)
            )
            scores[seeds] = -np.inf
            found.append(np.isin(held, np.argsort(-scores)[:k]).mean())
        assert recall_at(queries, items, question, k) == pytest.approx(np.mean(found))
    assert recall_at(queries, items, question) == recall_at(queries, items, question, 10)


def test_valid_data_score_as_test_will_be_scored():
    world = planted(tracks=90, playlists=60)
    itemknn = RECOMMENDERS.get("itemknn")
    expected = recall_at(
        itemknn.query_vectors(world.valid.queries.seeds, world.valid.embeddings),
        itemknn.item_vectors(world.valid.embeddings),
        world.valid.queries,
    )
    assert world.valid.recall(itemknn) == expected
