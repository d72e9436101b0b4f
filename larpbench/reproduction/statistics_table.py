"""Table 1 of the LARP paper: how large the data set is, and how alike the tracks of its playlists are."""

from __future__ import annotations

import numpy as np

from larpbench.benchmark.plan import default_store
from larpbench.datasets.stats import split_sizes
from larpbench.encoders.names import get_encoder
from larpbench.evaluation.homogeneity import homogeneity
from larpbench.reproduction.request import Request
from larpbench.results.published import published_statistics
from larpbench.results.sheet import Sheet, SheetCell, text_sheet

_HEADS = {
    "train_tracks": "Train tracks",
    "eval_playlists": "Test playlists",
    "eval_tracks": "Test tracks",
    "avg_tracks_per_playlist": "Tracks a playlist",
    "avg_playlists_per_track": "Playlists a track",
    "homogeneity": "Homogeneity",
}
_COUNTS = ("train_tracks", "eval_playlists", "eval_tracks")
_ENCODERS = ("handcrafted", "tfidf")


def table1(request: Request) -> Sheet:
    """Return sizes and homogeneity, the mean cosine of all pairs of tracks of each test playlist."""
    dataset = request.dataset
    sizes = {row["split"]: row for row in split_sizes(dataset).to_dicts()}
    counts: dict[str, float] = {
        "train_tracks": sizes["train"]["tracks"],
        "eval_playlists": sizes["test"]["playlists"],
        "eval_tracks": sizes["test"]["tracks"],
        "avg_tracks_per_playlist": sizes["test"]["tracks_per_playlist"],
        "avg_playlists_per_track": sizes["test"]["playlists_per_track"],
    }
    rows = []
    lines = []
    encoders = [name for name in _ENCODERS if dataset.audio or not get_encoder(name).reads_audio]
    for name in encoders:
        vectors = default_store().embed(get_encoder(name), dataset, "test", 0).vectors
        values = {**counts, "homogeneity": float(np.mean(homogeneity(vectors, dataset.split("test").interactions())))}
        rows.append(_row(f"larpbench, {dataset.name}", name, values))
        lines.extend(_lines("larpbench", dataset.name, name, values, ""))
    notes = list(request.published_note)
    for each in published_statistics():
        if each.dataset in request.published:
            rows.append(_row(f"the paper, {each.dataset}{' ‡' if each.faults else ''}", "not said", each.values))
            lines.extend(_lines("the paper", each.dataset, "not said", each.values, "; ".join(each.faults)))
            notes.extend(f"‡ {each.dataset}, as printed: {fault}." for fault in each.faults)
    notes.append(
        "Homogeneity: mean cosine of all pairs of tracks of a test playlist, mean over playlists; it depends on the "
        "encoder, and the paper says only that it took audio embeddings."
    )
    heads = ("Numbers of", "Homogeneity by", *_HEADS.values())
    title = f"Data sets (LARP, table 1): {dataset.name}"
    return text_sheet(title, heads, rows, (*notes, *dataset.manifest.notes), lines)


def _row(source: str, encoder: str, values: dict[str, float]) -> tuple[SheetCell | str, ...]:
    texts = {name: f"{values[name]:,.0f}" if name in _COUNTS else f"{values[name]:.2f}" for name in _HEADS}
    return (source, encoder, *(SheetCell(text, value=values[name]) for name, text in texts.items()))


def _lines(source: str, dataset: str, encoder: str, values: dict[str, float], note: str) -> list[dict[str, object]]:
    return [
        {"source": source, "dataset": dataset, "encoder": encoder, "metric": name, "value": values[name], "note": note}
        for name in _HEADS
    ]
