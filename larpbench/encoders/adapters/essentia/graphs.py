"""Essentia's published networks (``.pb`` graphs with a ``.json`` of the same name), run by ``essentia-tensorflow``.

Alonso-Jiménez et al. 2020, TensorFlow audio models in Essentia. The JSON file, which is published beside each graph,
says which algorithm feeds it, at which sampling rate, and which of its outputs is the embedding: nothing is guessed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from larpbench.encoders.adapters.essentia.nodes import check_nodes
from larpbench.encoders.encoder import TrackBatch
from larpbench.errors import DataError, EmbeddingError, MissingPartError, UsageError

ALGORITHMS = (
    "TensorflowPredictEffnetDiscogs",
    "TensorflowPredictFSDSINet",
    "TensorflowPredictMusiCNN",
    "TensorflowPredictVGGish",
)
"""Those that take audio and give one row a patch."""
_SHORTEST_S = 4.0  # more than one patch of any of them; a shorter clip is repeated


class Graph(NamedTuple):
    """What the JSON file says of a graph.

    Attributes:
        algorithm: Essentia's algorithm that feeds it.
        sample_rate: In Hz.
        output: Node that gives the embeddings.
        dim: Their length.
    """

    algorithm: str
    sample_rate: int
    output: str
    dim: int


class GraphEncoder:
    """Mean over patches of a graph's embeddings.

    Args:
        path: The ``.pb`` file.
        graph: What its JSON file says.
    """

    def __init__(self, path: Path, graph: Graph) -> None:
        import essentia
        import essentia.standard

        essentia.log.infoActive = essentia.log.warningActive = False
        self._predict = getattr(essentia.standard, graph.algorithm)(graphFilename=str(path), output=graph.output)
        self._graph = graph

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32 of `batch.audio`, (n, samples) float32 at the graph's rate.

        Raises:
            EmbeddingError: If the batch has no audio, or the graph gives another shape than its JSON file says.
        """
        audio = batch.require_audio("essentia-tf")
        vectors = np.empty((len(batch), self._graph.dim), dtype=np.float32)
        for row, clip in enumerate(audio):
            wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * self._graph.sample_rate))).astype(np.float32)
            patches = np.asarray(self._predict(wave))
            if patches.ndim != 2 or not len(patches) or patches.shape[1] != self._graph.dim:
                raise EmbeddingError(
                    f"the graph gives {patches.shape} for a clip", allowed=f"(patches, {self._graph.dim})"
                )
            vectors[row] = patches.mean(axis=0)
        return vectors


def read_graph(path: Path) -> Graph:
    """Return what the JSON file beside a graph says.

    Raises:
        MissingPartError: If one of the two files is not there.
        DataError: If the JSON file cannot be understood, or nodes of the graph are missing or no numbers.
        UsageError: If the graph has no embeddings, or takes no audio.
    """
    beside = path.with_suffix(".json")
    for each in (path, beside):
        if not each.is_file():
            raise MissingPartError(
                f"there is no {each.suffix or 'such'} file",
                where=str(each),
                allowed="MODEL.pb and, beside it, MODEL.json",
                next_step="download both from https://essentia.upf.edu/models/",
            )
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        algorithm, rate = str(facts["inference"]["algorithm"]), int(facts["inference"]["sample_rate"])
        if not 1_000 <= rate <= 384_000:
            raise ValueError(rate)
        outputs = [each for each in facts["schema"]["outputs"] if each.get("output_purpose") == "embeddings"]
        found = [Graph(algorithm, rate, str(each["name"]), int(each["shape"][-1])) for each in outputs]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError("this JSON file is no description of an Essentia model", where=str(beside)) from error
    if algorithm not in ALGORITHMS:
        raise UsageError(
            f"{algorithm} takes no audio, or gives no rows", where=str(path), allowed=", ".join(ALGORITHMS)
        )
    if len(found) != 1:
        raise UsageError(f"the graph has {len(found)} outputs that are embeddings", where=str(path), allowed="one")
    check_nodes(path, found[0].output)
    return found[0]
