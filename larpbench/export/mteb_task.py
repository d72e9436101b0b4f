"""Playlist continuation as a retrieval task of mteb, on the data set in the folder of this file.

Written by ``larpbench export mteb``. It needs mteb and what mteb needs, and not larpbench. The documents are the
captions of the test tracks. A query is a playlist, and is not encoded: its vector is the mean of the vectors of its
seed tracks, each scaled to length 1. Tracks are ranked by the inner product of this mean with their own vectors of
length 1, the seed tracks of the playlist excepted. This is the recommender ``itemknn`` of larpbench on the same
captions. ``README.md`` beside this file shows the call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import EncoderProtocol
from mteb.types import PromptType
from torch.utils.data import DataLoader

FOLDER = Path(__file__).resolve().parent
FACTS = json.loads((FOLDER / "task.json").read_text(encoding="utf-8"))
_BLOCK_BYTES = 100 * 2**20


class PlaylistContinuation(AbsTaskRetrieval):
    """Rank all test tracks for each test playlist; its held-out tracks should come first.

    Beside mteb's scores it reports ``chance_*`` and ``ceiling_*``: the expected score of a random order, and the score
    of a perfect one, on the same playlists.
    """

    data_loaded: bool
    metadata = TaskMetadata(**FACTS["metadata"])
    k_values = (1, 3, 5, 10, 20, 40, 100)
    _support_cross_encoder = False

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the documents, the queries and the relevant documents from the folder of this file."""
        if self.data_loaded:
            return
        relevant: dict[str, dict[str, int]] = {}
        for line in _lines("qrels"):
            relevant.setdefault(line["query-id"], {})[line["corpus-id"]] = line["score"]
        test = {
            "corpus": Dataset.from_list(_lines("corpus")),
            "queries": Dataset.from_list(_lines("queries")),
            "relevant_docs": relevant,
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": test}}
        self.data_loaded = True

    def evaluate(self, model: Any, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """Evaluate an encoder.

        Raises:
            TypeError: If the model encodes nothing: a playlist has no text that could be searched for.
        """
        if not isinstance(model, EncoderProtocol):
            raise TypeError(f"{self.metadata.name} needs a model with encode(), and {type(model).__name__} has none")
        return super().evaluate(PlaylistSearch(model), *args, **kwargs)

    def task_specific_scores(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the chance level and the ceiling of recall and NDCG."""
        return dict(FACTS["bounds"])


class PlaylistSearch:
    """Searches tracks by the mean of a playlist's seed tracks.

    Args:
        encoder: Encodes the captions.
    """

    def __init__(self, encoder: Any) -> None:
        self.mteb_model_meta = encoder.mteb_model_meta
        self._encoder = encoder

    def index(
        self, corpus: Dataset, *, encode_kwargs: Mapping[str, Any], num_proc: int | None = None, **task: Any
    ) -> None:
        """Encode all tracks, in the order of the corpus.

        Raises:
            ValueError: If a vector is missing, not finite or all zero: larpbench counts none of these either.
        """
        captions = DataLoader(corpus.select_columns(["text"]), batch_size=encode_kwargs.get("batch_size", 32))
        found = self._encoder.encode(captions, prompt_type=PromptType.document, **task, **encode_kwargs)
        vectors = torch.as_tensor(found).detach().float().cpu().numpy()
        if vectors.ndim != 2 or len(vectors) != len(corpus):
            raise ValueError(f"{len(corpus)} tracks need one vector each; the encoder gave an array {vectors.shape}")
        bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
        if bad.any():
            which = f"the first that of track {corpus['id'][int(bad.argmax())]!r}"
            raise ValueError(f"{int(bad.sum())} vectors are NaN, infinite or all zero, {which}")
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        self._tracks = vectors * (1.0 / lengths).astype(np.float32)[:, None]
        self._ids = list(corpus["id"])
        self._tie_order = np.array(corpus["tie_order"])

    def search(self, queries: Dataset, *, top_k: int, **others: Any) -> dict[str, dict[str, float]]:
        """Return the `top_k` tracks of each playlist with their scores; of equal scores the later ones are lowered.

        trec_eval orders equal scores by id. Lowered by the least step of float32, they keep the order of larpbench.
        """
        row_of = {track: row for row, track in enumerate(self._ids)}
        seeds = [np.array([row_of[track] for track in each]) for each in queries["seeds"]]
        means = np.array([self._tracks[rows].mean(axis=0, dtype=np.float64) for rows in seeds], dtype=np.float32)
        found: dict[str, dict[str, float]] = {}
        for query, rows, scores in zip(queries["id"], seeds, self._scores(means), strict=True):
            scores[rows] = -np.inf
            best = self._best(scores, min(top_k, len(scores) - len(rows)))
            values = scores[best]
            for place in range(1, len(values)):
                if values[place] >= values[place - 1]:
                    values[place] = np.nextafter(values[place - 1], np.float32(-np.inf))
            found[query] = {self._ids[row]: float(value) for row, value in zip(best, values, strict=True)}
        return found

    def _scores(self, means: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the inner products of each playlist with all tracks, in blocks of one shape as larpbench has them."""
        rows = 128
        while rows > 8 and rows * len(self._tracks) * 4 > _BLOCK_BYTES:
            rows //= 2
        transposed = torch.from_numpy(self._tracks).t()
        for start in range(0, len(means), rows):
            block = np.zeros((rows, means.shape[1]), dtype=np.float32)
            part = means[start : start + rows]
            block[: len(part)] = part
            yield from torch.mm(torch.from_numpy(block), transposed).numpy()[: len(part)]

    def _best(self, scores: np.ndarray, count: int) -> np.ndarray:
        """Return the rows of the largest scores, equal ones by the tie order."""
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        rows = np.flatnonzero(scores >= least)
        best: np.ndarray = rows[np.lexsort((self._tie_order[rows], -scores[rows]))][:count]
        return best


def _lines(name: str) -> list[dict[str, Any]]:
    with (FOLDER / f"{name}.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
