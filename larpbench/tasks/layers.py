"""Which layer of a model is best: recall@10 of `itemknn` on the valid split, and nothing of test (protocol rule 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset
from larpbench.encoders.run.keys import selection_splits
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.together import Need, encode_together
from larpbench.encoders.spec import EncoderSpec
from larpbench.evaluation.bounds import chance
from larpbench.evaluation.queries import listener_queries, queries_of
from larpbench.evaluation.selection import SELECTION_CUTOFF, recalls_at
from larpbench.recommenders.itemknn import ITEMKNN


@dataclass(frozen=True)
class LayerRecalls:
    """Recall@10 of the valid playlists, or of valid's cold tracks for known listeners, by layer.

    Attributes:
        values: (layers, queries) float64.
        chance: Expected recall@10 of a random ranking.
    """

    values: np.ndarray
    chance: float

    @property
    def means(self) -> np.ndarray:
        """(layers,) float64."""
        return np.asarray(self.values.mean(axis=1))

    @property
    def best(self) -> int:
        """Number of the layer with the highest mean, the first of several."""
        return int(self.means.argmax())


def layer_recalls(store: EmbeddingStore, layers: Sequence[EncoderSpec], dataset: Dataset, seed: int) -> LayerRecalls:
    """Return the recall of each layer, all encoded in one pass.

    Args:
        store: Where embeddings are kept.
        layers: Encoders.
        dataset: The data set; its test split is not read.
        seed: The seed.

    Raises:
        ProtocolError: If no query of valid has both known and held-out tracks.
    """
    known, valid = selection_splits(dataset)[0], dataset.split("valid")
    queries = listener_queries(known, valid) if dataset.manifest.kind == LISTENERS else queries_of(valid)
    encode_together(
        store, [Need(each, dataset, name, seed) for name in dict.fromkeys((known.name, "valid")) for each in layers]
    )
    rows = []
    for each in layers:
        items = store.embed(each, dataset, "valid", seed).vectors
        seeds = items if known.name == "valid" else store.embed(each, dataset, known.name, seed).vectors
        vectors = ITEMKNN.query_vectors(queries.seeds, seeds)
        rows.append(recalls_at(vectors, ITEMKNN.item_vectors(items), queries))
    expected = chance(queries.candidates, queries.heldout.lengths, (SELECTION_CUTOFF,))
    return LayerRecalls(np.stack(rows), float(expected[f"recall@{SELECTION_CUTOFF}"].mean()))


def choose_layers(
    store: EmbeddingStore, spec: EncoderSpec, dataset: Dataset, seed: int
) -> dict[EncoderSpec, LayerRecalls]:
    """Choose the best layer of each part of an encoder that is one; the store then has its vectors.

    Args:
        store: Where embeddings are kept, and what has been chosen.
        spec: The encoder.
        dataset: The data set that is tested.
        seed: The seed.

    Returns:
        The parts that are the best layer of a model, with the recalls of all layers.
    """
    found: dict[EncoderSpec, LayerRecalls] = {}
    for part in spec.inputs if spec.combined else ():
        found |= choose_layers(store, part, dataset, spec.seed_of_inputs(seed))
    if spec.choice == "best":
        spec.require_possible(dataset, ["valid"])
        found[spec] = layer_recalls(store, spec.inputs, dataset, seed)
        store.best_layers[store.keys.choice(spec, dataset, seed)] = found[spec].best
    return found


def chooses(spec: EncoderSpec) -> bool:
    """Return whether an encoder, or a part of a combination, is the best layer of a model."""
    return spec.choice == "best" or (spec.combined and any(map(chooses, spec.inputs)))
