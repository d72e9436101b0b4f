"""Rank and score with RecPack: its top K of a score matrix, its metrics; the scores are the same inner products.

    python benchmarks/peer_recpack.py PROBLEM.npz      # in an environment that has recpack

Prints CPU seconds and the means, as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from recpack.metrics import NDCGK, RecallK
from recpack.util import get_top_K_values
from scipy.sparse import csr_matrix, vstack

_BLOCK = 250


def main() -> None:
    """Measure."""
    data = np.load(sys.argv[1])
    queries, items = data["queries"], data["items"]
    shape = (len(queries), len(items))
    seeds, wanted = (
        csr_matrix((np.ones(len(data[f"{name}_items"])), data[f"{name}_items"], data[f"{name}_offsets"]), shape)
        for name in ("masked", "heldout")
    )
    began = time.process_time()
    parts = []
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ items.T
        scores -= scores.min() - 1e-6  # RecPack takes what is above 0 for a prediction
        scores[seeds[start : start + _BLOCK].nonzero()] = 0
        parts.append(get_top_K_values(csr_matrix(scores), 40))
    lists = vstack(parts).tocsr()
    means = []
    for k in (10, 20, 40):
        for metric in (RecallK(k), NDCGK(k)):
            metric.calculate(wanted, lists)
            means.append(float(metric.value))
    print(json.dumps({"cpu_s": time.process_time() - began, "means": means}))


main()
