"""The record of one cell: a self-contained file from which every number of a table can be recomputed.

All but ``costs``, ``versions``, ``machine`` and ``created`` is a function of the key: two runs of the same cell write
the same bytes there. ``python -m larpbench.results.record`` prints the JSON Schema.
"""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellName(_Model):
    """Which cell this is."""

    task: str
    dataset: str
    encoder: str
    recommender: str
    seed: int
    """Drives encoder and recommender; 0 where nothing is random."""


class Metric(_Model):
    """One metric of one cell."""

    name: str
    """Such as ``recall@10``."""
    value: float
    """Mean over the counted playlists (or of all lists together, for coverage)."""
    ci_low: float | None
    """Lower end of the 95 % interval over playlists; null where playlists have no value of their own."""
    ci_high: float | None
    chance: float | None
    """Expected value of a random ranking on the same playlists; null where the metric is no measure of quality."""
    ceiling: float | None
    """Value of a perfect ranking on the same playlists."""
    n: int
    """Counted playlists."""
    hits: int
    """Hits in all lists cut at this K. An interval that rests on fewer than 20 is marked in tables."""
    applicable: bool
    """False where K reaches the number of candidates of some playlist: tables print n/a."""

    @property
    def descriptive(self) -> bool:
        """Whether it only describes the lists: more is not better, and nothing is the best."""
        return self.chance is None or self.ceiling is None


class DatasetPart(_Model):
    """The data set that was tested on."""

    name: str
    fingerprint: str
    digests: dict[str, str]
    source: str
    licence: str
    caption_template: str
    split: dict[str, Any]
    notes: tuple[str, ...]


class SeenPart(_Model):
    """A data set whose training has seen tested tracks."""

    dataset: str
    fingerprint: str
    by_id: int
    """Tested tracks whose id was among its train or valid tracks."""
    by_song: int
    """Others whose artist and title were."""


class RemovalPart(_Model):
    """What left the tested data set because an encoder of the run was trained on it elsewhere (protocol rule 13)."""

    key: str
    """Digest of the ids that left, and of the data sets below."""
    tracks: int
    of: int
    """Tracks of the test split before."""
    seeds: int
    """Seeds that left, over all playlists."""
    heldout: int
    """Held-out tracks that left, over all playlists."""
    playlists: int
    """Playlists that lost all their seeds or all their held-out tracks, and are not counted."""
    sources: tuple[SeenPart, ...]


class EncoderPart(_Model):
    """The encoder that was tested."""

    identity: str
    """Full name; of a file or folder without those that it lies in."""
    label: str | None = Field(default=None, exclude_if=lambda label: label is None)
    """What its user called it: then the name of the cell's encoder; null where that is the identity."""
    card: dict[str, Any]
    embeddings_key: str
    weights_digest: str | None
    origin: dict[str, str]
    """Distribution, version and import path that brought it."""
    learnt_from: str | None = None
    """Data set that larpbench trained its weights on; null for weights from elsewhere, and where there are none."""


class TrainingPart(_Model):
    """How the encoder's weights came about."""

    checkpoint: str
    """Key of the weights."""
    method: str
    settings: dict[str, Any]
    trained_on: str
    trained_on_fingerprint: str
    facts: dict[str, Any]
    """What the method tells: updates, what selected the best epoch, how many initial tensors matched, history."""


class RungPart(_Model):
    """One part of a trial: its training up to one epoch, after which the best trials go on."""

    epoch: int
    """The epoch that it has come to: that of the rung (3, 9 or 20), or an earlier one if the fit ended there."""
    valid_recall: float | None
    """Best recall@10 of the valid playlists so far; null if nothing could be scored."""
    failure: str | None = None
    """Why it failed; the trial then went no further."""


class TrialPart(_Model):
    """One trial of tuning."""

    params: dict[str, float]
    valid_recall: float | None
    """Recall@10 of the valid playlists, of the best epoch up to the last rung; null if the trial failed."""
    failure: str | None
    rungs: tuple[RungPart, ...] = Field(default=(), exclude_if=lambda rungs: not rungs)
    """Of a fit that was continued; empty where trials are whole fits, and in records of earlier versions."""


class ValidationPart(_Model):
    """What selected the fit of a seed: recall@10 of the valid playlists."""

    chance: float
    frozen: float
    """That of `itemknn` on the same vectors, which learns nothing."""
    start: float | None
    """Before the first update; null where nothing is learnt step by step."""
    best: float
    """Of the fit that was kept."""
    best_epoch: int | None
    """0 is the start."""
    ended: str | None
    """Why training ended: ``epochs``, all were done; ``patience``; or ``collapse``, of the vectors to one point."""


class FitPart(_Model):
    """What was learnt, where the task itself learns."""

    settings: dict[str, Any]
    """All hyper-parameters."""
    facts: dict[str, Any]
    """What learning tells: epochs, what selected the best, its history."""


class RecommenderPart(_Model):
    """The recommender that was used."""

    name: str
    version: int
    origin: dict[str, str]
    params: dict[str, float] = Field(default_factory=dict)
    """Parameters that tuning chose; empty if it learns nothing."""
    budget: int | None = None
    """Trials that were asked for."""
    tuning: int | None = Field(default=None, exclude_if=lambda version: version is None)
    """Version of tuning (protocol rule 11); null where nothing was tuned, and in records of versions 1 and 2."""
    trials: tuple[TrialPart, ...] = ()
    """All that was tried, on valid, with seed 0; the other seeds train with what it chose."""
    valid: ValidationPart | None = Field(default=None, exclude_if=lambda part: part is None)
    """Null where there are no trials, and in records of earlier versions."""
    fit: FitPart | None = Field(default=None, exclude_if=lambda part: part is None)
    """Null where there are trials, or nothing is learnt."""


class Counts(_Model):
    """What was counted and what was not."""

    playlists: int
    left_out: dict[str, int]
    tracks: int
    """Tracks of the test split."""
    candidates_min: int
    candidates_mean: float
    heldout_mean: float
    tie_share: dict[str, float]
    """K -> share of the lists whose cut at K falls between equal scores."""


class SimilarityPart(_Model):
    """The second encoder, by whose vectors the tracks of a list are compared."""

    encoder: str
    embeddings_key: str
    weights_digest: str | None


class LayersPart(_Model):
    """By what the best layer of a model was chosen: recall@10 of ``itemknn`` on valid, layer by layer."""

    encoder: str
    layer: int
    """The one that was chosen, and is tested."""
    valid_recall: tuple[float, ...]
    """Of all layers, from 0."""
    chance: float
    n: int
    """Counted playlists, or listeners, of valid."""


class DrawsPart(_Model):
    """The same cell with other halves of the test playlists as seeds."""

    n: int
    """Draws; the first one is the data set's own, which all other numbers of the record rest on."""
    values: dict[str, tuple[float, ...]]
    """Metric -> its value in each draw."""


class Costs(_Model):
    """What it took, possibly in an earlier run for the embeddings."""

    encode_wall_s: float
    encode_cpu_s: float
    tracks_per_second: float | None
    train_wall_s: float = 0.0
    """Of the encoder's last stage of training; 0 where it is not trained."""
    train_cpu_s: float = 0.0
    score_wall_s: float
    score_cpu_s: float
    peak_memory_mb: float
    """Largest resident size of the process up to the end of this cell."""
    fit_wall_s: float = 0.0
    """One fit of the recommender with the chosen parameters."""
    trial_wall_s: tuple[float, ...] = ()
    """Each trial of tuning; 0 where it was read from an earlier result."""
    rung_wall_s: tuple[tuple[float, ...], ...] = Field(default=(), exclude_if=lambda times: not any(times))
    """Each part of each trial that has rungs; 0 where it was read from an earlier result."""
    dim: int
    dtype: Literal["float32"] = "float32"


class Failure(_Model):
    """Why a cell has no scores."""

    kind: str
    message: str


class CellRecord(_Model):
    """One cell and all that is needed to believe it."""

    schema_version: Literal[1] = 1
    protocol: str
    limit: int | None = Field(default=None, exclude_if=lambda limit: limit is None)
    """Of a smoke run: the largest number of playlists a split that were read. Null where all were."""
    config: str | None = Field(default=None, exclude_if=lambda config: config is None)
    """sha256 of the file that described the run; flags given beside it are no part of it. Null where there was none."""
    interval: str = "percentile-bootstrap-1"
    """Method of the intervals, with its version."""
    key: str
    row_key: str | None = None
    """What the key depends on, apart from the seed: seeds of one row share it."""
    cell: CellName
    status: Literal["ok", "failed"]
    failure: Failure | None = None
    metrics: tuple[Metric, ...] = ()
    counts: Counts | None = None
    diagnostics: dict[str, float | None] = Field(default_factory=dict)
    """What kind of lists these are: ``hubness@K``, the skewness of how often each track is listed;
    ``same_artist_hits@K`` and ``same_artist_listed@K``, the share of the hits, and of all that is listed, whose artist
    is that of a seed. Null where there is no hit."""
    beyond: tuple[Metric, ...] = Field(default=(), exclude_if=lambda part: not part)
    """Measures beyond accuracy, each with the value that a random ranking would have; they have no ceiling, and more is
    not better. Empty in records of earlier versions."""
    similarity: SimilarityPart | None = Field(default=None, exclude_if=lambda part: part is None)
    """Null where no second encoder was asked for, and ``beyond`` has no ``intra_list_similarity``."""
    layers: tuple[LayersPart, ...] = Field(default=(), exclude_if=lambda part: not part)
    """Of each part of the encoder that is the best layer of a model (``@best``). Empty where there is none."""
    draws: DrawsPart | None = None
    """Null where seeds and held-out tracks were drawn once."""
    warnings: tuple[str, ...] = ()
    dataset: DatasetPart
    removal: RemovalPart | None = None
    """Null where no encoder of the run was trained on tested tracks."""
    encoder: EncoderPart
    training: TrainingPart | None = None
    """Null where the encoder was not trained by larpbench."""
    recommender: RecommenderPart
    playlists_file: str | None = None
    """Name of the Parquet file beside this one: the metrics, held-out tracks and ranked list of every playlist."""
    playlists_sha256: str | None = None
    """Digest of that file; null in records of larpbench 0.1."""
    costs: Costs | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, str | int] = Field(default_factory=dict)
    created: str
    """UTC, ISO 8601."""

    @property
    def measured(self) -> tuple[Metric, ...]:
        """What tables can show: the metrics, and the measures beyond accuracy; of what is both, the one with chance."""
        return tuple({each.name: each for each in (*self.metrics, *self.beyond)}.values())

    @field_validator("created")
    @classmethod
    def _is_a_time(cls, created: str) -> str:
        datetime.datetime.fromisoformat(created)
        return created

    @field_validator("playlists_file")
    @classmethod
    def _lies_beside(cls, name: str | None) -> str | None:
        if name is not None and (name in ("", ".", "..") or "/" in name or "\\" in name):
            raise ValueError("it lies beside the record: a name without a folder")
        return name


def schema_text() -> str:
    """Return the JSON Schema of a record as indented text."""
    return json.dumps(CellRecord.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
