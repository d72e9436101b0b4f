"""Rank and score with LensKit: its item lists, its top N, its metrics; the scores are the same inner products.

    python benchmarks/peer_lenskit.py PROBLEM.npz      # in an environment that has lenskit

Prints CPU seconds and the means, as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from lenskit.data import ItemList, ItemListCollection, UserIDKey, Vocabulary
from lenskit.metrics import NDCG, LogRankWeight, Recall, RunAnalysis


def main() -> None:
    """Measure."""
    data = np.load(sys.argv[1])
    queries, items = data["queries"], data["items"]
    masked, seeds = data["masked_offsets"], data["masked_items"]
    held, wanted = data["heldout_offsets"], data["heldout_items"]
    vocabulary = Vocabulary(np.arange(len(items)), name="item")
    numbers = np.arange(len(items), dtype=np.int32)
    test = ItemListCollection.from_dict(
        {
            user: ItemList(item_nums=wanted[held[user] : held[user + 1]], vocabulary=vocabulary)
            for user in range(len(queries))
        },
        UserIDKey,
    )
    began = time.process_time()
    lists = {}
    for user, query in enumerate(queries):
        scores = items @ query
        candidates = np.delete(numbers, seeds[masked[user] : masked[user + 1]])
        lists[user] = ItemList(item_nums=candidates, vocabulary=vocabulary, scores=scores[candidates]).top_n(40)
    weight = LogRankWeight(offset=1)  # its default gives ranks 1 and 2 the same weight
    metrics = [each for k in (10, 20, 40) for each in (Recall(k), NDCG(k, weight=weight))]
    analysis = RunAnalysis(*metrics)
    result = analysis.measure(ItemListCollection.from_dict(lists, UserIDKey), test)
    means = result.list_metrics().mean().tolist()
    print(json.dumps({"cpu_s": time.process_time() - began, "means": means}))


main()
