"""All records as one flat file: for scripts and spreadsheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from larpbench import storage
from larpbench.results.record import CellRecord
from larpbench.results.store import read_records

COLUMNS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("task", "dataset", "fingerprint", "protocol", "removal", "encoder", "recommender"), pl.String),
    "seed": pl.Int64,
    **dict.fromkeys(("status", "failure", "metric"), pl.String),
    **dict.fromkeys(("value", "ci_low", "ci_high", "chance", "ceiling"), pl.Float64),
    "applicable": pl.Boolean,
    **dict.fromkeys(("n", "hits"), pl.Int64),
    **dict.fromkeys(("modalities", "weights", "licence"), pl.String),
    **dict.fromkeys(("encode_wall_s", "train_wall_s", "fit_wall_s", "score_wall_s", "peak_memory_mb"), pl.Float64),
    "dim": pl.Int64,
    **dict.fromkeys(("key", "created", "similarity_by"), pl.String),
}
"""One line a cell and metric; a failed cell has one line without a metric."""


def export(results: Path, kind: str, file: Path) -> int:
    """Write all records of a results folder, those of older versions of the data too.

    Args:
        results: The results folder.
        kind: ``parquet`` or ``csv``.
        file: What to write.

    Returns:
        The number of lines.

    Raises:
        DataError: If there are no results, or one is damaged.
        StorageError: If the file cannot be written.
    """
    lines = [line for _, record in read_records(results) for line in _lines(record)]
    frame = pl.DataFrame(lines, schema=COLUMNS)
    with storage.atomic_file(file) as temporary:
        if kind == "parquet":
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary)
    return frame.height


def _lines(record: CellRecord) -> list[dict[str, Any]]:
    card, costs = record.encoder.card, record.costs
    common = {
        **record.cell.model_dump(),
        "fingerprint": record.dataset.fingerprint,
        "protocol": record.protocol,
        "removal": record.removal.key if record.removal else None,
        "status": record.status,
        "failure": record.failure.message if record.failure else None,
        "modalities": " ".join(card["modalities"]),
        "weights": card["weights"],
        "licence": card["licence"],
        "key": record.key,
        "created": record.created,
        "similarity_by": record.similarity.encoder if record.similarity else None,
    }
    if costs:
        common |= {name: getattr(costs, name) for name in COLUMNS if hasattr(costs, name)}
    if not record.metrics:
        return [_complete(common)]
    return [
        _complete(common | metric.model_dump(exclude={"name"}) | {"metric": metric.name}) for metric in record.measured
    ]


def _complete(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line.get(name) for name in COLUMNS}
