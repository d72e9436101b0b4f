"""The weight of what was learnt beside the frozen vectors: by the rule, and by the best of valid."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from larpbench import storage
from larpbench.benchmark.cells import PlannedCell
from larpbench.benchmark.plan import plan
from larpbench.benchmark.run import run
from larpbench.datasets.demo_large.build import build_demo_large
from larpbench.datasets.demo_large.world import LargeWorldSpec
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.encoder import TrackBatch, TrainableEncoder
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.evaluation.queries import queries_of
from larpbench.evaluation.selection import first_within_one_error
from larpbench.tasks.validation import ValidationRecall
from larpbench.training.settings import SETTINGS

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
LOSS = 0.002
"""A smaller difference of recall to the frozen vectors is no loss."""
_FULL = LargeWorldSpec()
_SHARES = (0.1, 0.2, 0.4, 1.0)


def weight_table(work: Path, seeds: Sequence[int], encoders: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return, for every world and encoder, the difference to the frozen vectors on test by both rules; and in short.

    Args:
        work: Folder for worlds and results.
        seeds: Of the worlds; their sizes are in turn a tenth, a fifth, two fifths and the whole of `demo-large`.
        encoders: Names of encoders that have a weight.
    """
    lines = []
    for number, seed in enumerate(seeds):
        share = _SHARES[number % len(_SHARES)]
        spec = replace(_FULL, seed=seed, artists=int(_FULL.artists * share), playlists=int(_FULL.playlists * share))
        dataset = build_demo_large(work / "worlds" / f"{seed}-of-{share}", spec)
        planned = plan(dataset, encoders=list(encoders), seeds=1, output=work / "results" / f"weights-{seed}")
        run(planned, lambda line: print(line, flush=True))
        for cell in planned.cells:
            lines.append({"world": seed, "share": share, **_line(planned.store, dataset, cell)})
    return {"lines": lines, "summary": [_summary(lines, name) for name in dict.fromkeys(x["encoder"] for x in lines)]}


def _line(store: EmbeddingStore, dataset: Dataset, cell: PlannedCell) -> dict[str, Any]:
    checkpoint = store.checkpoint(cell.spec, cell.cell.seed)
    chosen = json.loads((checkpoint / SETTINGS).read_text(encoding="utf-8"))["weight"]
    valid, test = (_recalls(store, dataset, cell, checkpoint, split) for split in ("valid", "test"))
    choice = first_within_one_error(valid)
    differences = test.mean(axis=1) - test[0].mean()
    return {
        "encoder": cell.cell.encoder.partition("@")[0],
        "playlists": test.shape[1],
        "frozen": float(test[0].mean()),
        "weight": chosen,
        "less_frozen": float(differences[WEIGHTS.index(chosen)]),
        "weight_by_best": WEIGHTS[choice.best],
        "less_frozen_by_best": float(differences[choice.best]),
    }


def _recalls(
    store: EmbeddingStore, dataset: Dataset, cell: PlannedCell, checkpoint: Path, split: SplitName
) -> np.ndarray:
    """Return the recall of each playlist with each weight, (weights, playlists)."""
    spec, data = cell.spec, dataset.split(split)
    score = ValidationRecall(queries_of(data))
    inputs = tuple(np.asarray(store.rows(each, dataset, split, cell.cell.seed)) for each in spec.inputs)
    batch = TrackBatch(data.track_ids, data.track_ids, inputs=inputs)
    found = []
    for weight in WEIGHTS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(shutil.copytree(checkpoint, Path(temporary) / "checkpoint"))
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            storage.write_text(folder / SETTINGS, json.dumps({**settings, "weight": weight}))
            encoder = spec.build(store.context(spec, dataset, cell.cell.seed))
            if not isinstance(encoder, TrainableEncoder):
                raise TypeError(f"{spec.identity} is not trained")
            encoder.load(folder)
            found.append(score.per_playlist(encoder.encode(batch)))
    return np.stack(found)


def _summary(lines: Sequence[dict[str, Any]], encoder: str) -> dict[str, Any]:
    ours = [each for each in lines if each["encoder"] == encoder]
    rule, best = (np.array([each[name] for each in ours]) for name in ("less_frozen", "less_frozen_by_best"))
    return {
        "encoder": encoder,
        "worlds": len(ours),
        "losses by the rule": int((rule < -LOSS).sum()),
        "worst by the rule": float(rule.min()),
        "mean by the rule": float(rule.mean()),
        "losses by the best": int((best < -LOSS).sum()),
        "worst by the best": float(best.min()),
        "mean by the best": float(best.mean()),
    }
