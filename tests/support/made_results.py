"""Results folders of any size, made of valid records without running anything."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from larpbench import fingerprint
from larpbench.encoders.card import EncoderCard
from larpbench.evaluation import bounds
from larpbench.evaluation.metrics import CUTOFFS, METRICS, MetricSpec, list_quality, per_playlist
from larpbench.evaluation.statistics import bootstrap_interval
from larpbench.results.record import (
    CellName,
    CellRecord,
    Costs,
    Counts,
    DatasetPart,
    EncoderPart,
    Failure,
    Metric,
    RecommenderPart,
)
from larpbench.results.store import record_path, write_record
from larpbench.tasks.cells import Cell
from larpbench.tasks.result import TaskResult

MODALITIES = (("audio",), ("text",), ("audio", "text"), ())
LICENCES = ("Apache-2.0", "MIT", "CC-BY-NC-4.0")
TRACKS = 300
LENGTH = 40


def write_results(
    folder: Path,
    encoders: Sequence[str],
    recommenders: Sequence[str] = ("itemknn",),
    datasets: Sequence[str] = ("made",),
    *,
    seeds: int = 1,
    playlists: int = 60,
    failed: Sequence[str] = (),
    failure: str = "it broke",
    notes: tuple[str, ...] = ("Made for a test.",),
    cutoffs: tuple[int, ...] = CUTOFFS,
) -> Path:
    """Write a cell for each combination; encoders get worse in the order given, the last one is a control.

    Args:
        folder: The results folder.
        encoders: Identities.
        recommenders: Names.
        datasets: Names.
        seeds: Seeds of each.
        playlists: Playlists of each data set.
        failed: Encoders whose cells fail.
        failure: With what message.
        notes: Of every data set.
        cutoffs: The K of all metrics, at most 40; others than those of today are as a later version may have them.
    """
    for dataset in datasets:
        for number, encoder in enumerate(encoders):
            for place, recommender in enumerate(recommenders):
                for seed in range(seeds):
                    cell = Cell("continuation", dataset, encoder, recommender, seed)
                    skill = 0.6 * (1 - number / len(encoders)) * (1 - 0.1 * place)
                    result, metrics = _scored((number, place, seed), skill, playlists, cutoffs)
                    record = _record(cell, number, number == len(encoders) - 1, notes)
                    path = record_path(folder, cell, record.key)
                    if encoder in failed:
                        broken = Failure(kind="EmbeddingError", message=failure)
                        write_record(path, record.model_copy(update={"status": "failed", "failure": broken}), None)
                        continue
                    done = {
                        "metrics": metrics,
                        "counts": _counts(result),
                        "costs": _costs(number),
                        "playlists_file": path.with_suffix(".playlists.parquet").name,
                    }
                    write_record(path, record.model_copy(update=done), result)
    return folder


def move_records(folder: Path) -> None:
    """Move records whose cell or key was changed, and the lists beside them, to where they belong."""
    for path in [*folder.glob("*/*/*/*/*.json")]:
        record = json.loads(path.read_text())
        place = record_path(folder, Cell(**record["cell"]), record["key"])
        if place == path:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if record["playlists_file"]:
            lists = place.with_suffix(".playlists.parquet")
            path.with_suffix(".playlists.parquet").rename(lists)
            record["playlists_file"] = lists.name
        path.unlink()
        place.write_text(json.dumps(record))


@functools.cache
def _scored(
    numbers: tuple[int, int, int], skill: float, playlists: int, cutoffs: tuple[int, ...]
) -> tuple[TaskResult, tuple[Metric, ...]]:
    result = _result(np.random.default_rng(numbers), skill, playlists, cutoffs)
    return result, _metrics(result)


def _result(generator: np.random.Generator, skill: float, playlists: int, cutoffs: tuple[int, ...]) -> TaskResult:
    """Return ranked lists that hold each of 6 held-out tracks with a probability of about `skill`."""
    hits = generator.random((playlists, LENGTH)) < skill * 6 / LENGTH
    hits &= hits.cumsum(axis=1) <= 6
    heldout = np.full(playlists, 6)
    artists = generator.integers(20, size=(playlists, LENGTH))
    lists = np.stack([generator.permutation(TRACKS)[:LENGTH] for _ in range(playlists)])
    usual = cutoffs == CUTOFFS
    values = per_playlist(hits, heldout, artists) if usual else list_quality(hits[:, : cutoffs[-1]], heldout, cutoffs)
    candidates = np.full(playlists, TRACKS - 6)
    listed = [len(np.unique(lists[:, :k])) / TRACKS for k in cutoffs]
    return TaskResult(
        query_ids=np.array([f"p{number:04d}" for number in range(playlists)]),
        values=values,
        totals={f"coverage@{k}": share for k, share in zip(cutoffs, listed, strict=True)},
        chance=bounds.chance(candidates, heldout, cutoffs),
        ceiling=bounds.ceiling(candidates, heldout, cutoffs),
        n_seeds=heldout,
        n_heldout=heldout,
        n_candidates=candidates,
        lists=lists,
        list_scores=np.sort(generator.random((playlists, LENGTH)).astype(np.float32))[:, ::-1],
        item_ids=np.array([f"t{number:04d}" for number in range(TRACKS)]),
        hits_at={k: int(hits[:, :k].sum()) for k in cutoffs},
        tie_share=dict.fromkeys(cutoffs, 0.0),
        left_out={"no seed": 0},
    )


def _metrics(result: TaskResult) -> tuple[Metric, ...]:
    found = []
    names = list(result.values)
    lows, highs = bootstrap_interval(np.stack([result.values[name] for name in names], axis=1)[None])
    ends = {name: (float(low), float(high)) for name, low, high in zip(names, lows, highs, strict=True)}
    for spec in _specs(result):
        values = result.values.get(spec.column)
        value = result.totals[spec.column] if values is None else float(values.mean())
        low, high = ends.get(spec.column, (None, None))
        found.append(
            Metric(
                name=spec.column,
                value=value,
                ci_low=low,
                ci_high=high,
                chance=float(result.chance[spec.column].mean()) if spec.quality else None,
                ceiling=float(result.ceiling[spec.column].mean()) if spec.quality else None,
                n=len(result.query_ids),
                hits=result.hits_at[spec.k],
                applicable=True,
            )
        )
    return tuple(found)


def _specs(result: TaskResult) -> tuple[MetricSpec, ...]:
    found = {*result.values, *result.totals}
    if found == {spec.column for spec in METRICS}:
        return METRICS
    parts = [(name, int(k)) for name, _, k in (column.partition("@") for column in (*result.values, *result.totals))]
    return tuple(MetricSpec(name, k, name != "coverage", name != "coverage") for name, k in parts)


def _counts(result: TaskResult) -> Counts:
    return Counts(
        playlists=len(result.query_ids),
        left_out=dict(result.left_out),
        tracks=TRACKS,
        candidates_min=TRACKS - 6,
        candidates_mean=TRACKS - 6,
        heldout_mean=6.0,
        tie_share={str(k): share for k, share in result.tie_share.items()},
    )


def _costs(number: int) -> Costs:
    return Costs(
        encode_wall_s=1.0 + number,
        encode_cpu_s=1.0 + number,
        tracks_per_second=TRACKS / (1.0 + number),
        train_wall_s=10.0 * (number % 3),
        score_wall_s=0.1,
        score_cpu_s=0.1,
        peak_memory_mb=500.0,
        dim=64,
    )


def _record(cell: Cell, number: int, control: bool, notes: tuple[str, ...]) -> CellRecord:
    card = EncoderCard(
        name=cell.encoder,
        version=1,
        summary=f"encoder number {number}",
        modalities=MODALITIES[number % len(MODALITIES)],
        dim=64,
        weights="none",
        licence=LICENCES[number % len(LICENCES)],
        control=control,
        tracks_per_second=100,
    )
    origin = {"distribution": "made", "version": "1.0", "target": "made:thing"}
    return CellRecord(
        protocol="cold-start-v1",
        key=fingerprint.digest([str(cell)])[:32],
        cell=CellName(**asdict(cell)),
        status="ok",
        dataset=DatasetPart(
            name=cell.dataset,
            fingerprint=fingerprint.digest(cell.dataset),
            digests={"playlists": fingerprint.digest([cell.dataset, "playlists"])},
            source="made for a test",
            licence="CC0-1.0",
            caption_template="title",
            split={"rule": "given"},
            notes=notes,
        ),
        encoder=EncoderPart(
            identity=cell.encoder,
            card=card.model_dump(mode="json"),
            embeddings_key=fingerprint.digest([cell.encoder]),
            weights_digest=None,
            origin=origin,
        ),
        recommender=RecommenderPart(name=cell.recommender, version=1, origin=origin),
        versions={"larpbench": "0.1.0"},
        machine={"system": "Linux"},
        created="2026-01-01T00:00:00.000000+00:00",
    )
