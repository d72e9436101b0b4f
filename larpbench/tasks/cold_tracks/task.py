"""Cold tracks for known listeners, protocol ``cold-tracks-v1``.

1. Warm tracks are those of train, cold tracks those of valid or test; the three sets are disjoint, and listeners may
   stand in all three. A tested listener needs a profile: one train track at least.
2. The profile is all train tracks of the listener; held out are the test tracks; candidates are all test tracks, and
   none is masked.
3. The rest is that of ``cold-start-v1``: ranking, ties, metrics, chance, ceiling, intervals, comparisons, checks, and
   tuning on valid only: on its tracks, for the profiles in train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from larpbench.datasets.listeners.limited import first_listeners
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UnknownNameError, UsageError
from larpbench.evaluation.metrics import COLD_CUTOFFS, metrics_at
from larpbench.evaluation.queries import listener_queries
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import Recommender, Scorer, TrainData, ValidData
from larpbench.recommenders.listeners.controls import ArtistControl
from larpbench.recommenders.listeners.data import ListenerValidData
from larpbench.tasks.base import Task
from larpbench.tasks.cold_tracks.artists import NO_ENCODER, artists_known
from larpbench.tasks.cold_tracks.recommenders import LISTENER_RECOMMENDERS
from larpbench.tasks.result import TaskResult
from larpbench.tasks.track_lists import score_lists

CONTROLS = ("artist-mean", "popular-artist")
_SHOWN = COLD_CUTOFFS[:3]


class ColdTracksTask(Task[Recommender]):
    """Given all that a listener has played so far, rank tracks that nobody has played."""

    name = "cold-tracks"
    version = 1
    summary = "recommend tracks that nobody has played to listeners who are known (data sets of kind listeners)"
    protocol = "cold-tracks-v1"
    citation = ("tamm2026pretrained", "tamm2026acarec")
    metrics = metrics_at(COLD_CUTOFFS)
    splits: tuple[SplitName, ...] = ("train", "test")
    kind = LISTENERS
    query = "listener"
    ranks_tracks = True
    shown = tuple(f"{name}@{k}" for name in ("recall", "ndcg") for k in _SHOWN)
    default_dataset = "demo-listeners"
    default_encoders = ("random", "tfidf")
    default_recommenders = ("itemknn", "ridge")

    def check_protocol(self, draws: int, removes: bool) -> None:
        """Refuse draws: what is held out follows from the split of the tracks."""
        if draws > 1:
            raise UsageError(
                f"--draws is {draws}", allowed="1: what is held out of a listener follows from the split of the tracks"
            )

    def first_queries(self, dataset: Dataset, limit: int) -> Dataset:
        """Return the first listeners, and their tracks."""
        return first_listeners(dataset, limit)

    def valid_data(self, train: TrainData, dataset: Dataset, embeddings: np.ndarray) -> ValidData:
        """Return valid's cold tracks with the profiles in train."""
        return ListenerValidData(dataset.split("valid"), embeddings, train)

    def encoders(self, names: Sequence[str], load: Callable[[], Dataset]) -> dict[str, EncoderSpec | MissingPartError]:
        """Return encoders; by default also the artist alone, as a code and as numbers for the controls, if known."""
        others = [name for name in names if name != NO_ENCODER.card.name]
        found = super().encoders(others, load)
        found = {name: _usable(name, spec) for name, spec in found.items()}
        default = "default" in names
        if default and artists_known(load()):
            found |= super().encoders(["same-artist"], load) | {NO_ENCODER.card.name: NO_ENCODER}
        elif NO_ENCODER.card.name in names:
            found[NO_ENCODER.card.name] = NO_ENCODER
        return found

    def recommenders(self, names: Sequence[str]) -> dict[str, Scorer | MissingPartError]:
        """Return recommenders of known listeners, and those of plug-ins; by default also the controls."""
        own = LISTENER_RECOMMENDERS.names()
        others = [name for name in RECOMMENDERS.names() if name not in own]
        lists = {"all": [*own, *others], "default": [*self.default_recommenders, *CONTROLS]}
        found: dict[str, Scorer | MissingPartError] = {}
        for name in dict.fromkeys(each for listed in names for each in lists.get(listed, [listed])):
            if name not in own and name not in others:
                raise UnknownNameError("recommender", name, [*own, *others])
            try:
                found[name] = (LISTENER_RECOMMENDERS if name in own else RECOMMENDERS).get(name)
            except MissingPartError as error:
                found[name] = error
        return found

    def own_recommenders(self) -> dict[str, Scorer | MissingPartError]:
        """Return those of known listeners, without those of plug-ins."""
        return {name: LISTENER_RECOMMENDERS.get(name) for name in LISTENER_RECOMMENDERS.names()}

    def needed_encoders(self, recommenders: Sequence[str]) -> Sequence[str]:
        """Return ``none`` where a control of the artist is asked for by name."""
        return [NO_ENCODER.card.name] if set(CONTROLS) & set(recommenders) else []

    def pairs(self, spec: EncoderSpec, recommender: Recommender) -> bool:
        """Return whether both know nothing but artists, or neither does."""
        return (spec is NO_ENCODER) == isinstance(recommender, ArtistControl)

    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: Recommender
    ) -> TaskResult:
        """Score the test listeners."""
        queries = listener_queries(dataset.split("train"), dataset.split("test"))
        vectors = recommender.query_vectors(queries.seeds, embeddings["train"])
        items = recommender.item_vectors(embeddings["test"])
        return score_lists(dataset, queries, vectors, items, COLD_CUTOFFS, recommender.name, self.query, self.device)


def _usable(name: str, spec: EncoderSpec | MissingPartError) -> EncoderSpec | MissingPartError:
    """Return an encoder, or why it cannot be had: one that would be trained on listeners."""
    parts = [] if isinstance(spec, MissingPartError) else [spec, *spec.inputs]
    if any(part.training and not part.trained_on for part in parts):
        return MissingPartError(
            f"encoder {name!r} is trained on playlists with seeds, which listeners do not have",
            next_step=f"{name}@DATASET, trained on a data set of playlists",
        )
    return spec


COLD_TRACKS = ColdTracksTask()
