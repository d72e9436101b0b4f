"""What one update looks at: anchors, the playlists drawn for them, and the tracks that they are contrasted with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from larpbench.encoders.larp.heads.losses import Entries, draw_candidates, thin
from larpbench.encoders.larp.heads.settings import HeadsTraining
from larpbench.encoders.towers.sampling import PlaylistGraph


@dataclass(frozen=True)
class PlaylistDraw:
    """For each anchor a playlist that holds it, fused from other tracks of it.

    Attributes:
        fused: (n, J) int64, places of these tracks among the candidates; padded.
        present: (n, J) bool, false where padded.
        others: Which candidates are the playlist's tracks that are not fused: the positives.
        taken: Which are fused: they are no candidates of the playlist.
    """

    fused: Tensor
    present: Tensor
    others: Entries
    taken: Entries


@dataclass(frozen=True)
class Batch:
    """Anchors and candidates.

    Attributes:
        tracks: (m,) int64, the candidates.
        log_probability: (m,) float32, of having been drawn; None: they are all train tracks.
        anchors: (n,) int64, places of the anchors among the candidates.
        own: Which candidate each anchor is.
        related: Which candidates share a playlist with each anchor, itself excepted; None in stage ``wtc``.
        playlists: None but in stage ``tpc``.
    """

    tracks: np.ndarray
    log_probability: Tensor | None
    anchors: Tensor
    own: Entries
    related: Entries | None
    playlists: PlaylistDraw | None


def draw_batch(
    graph: PlaylistGraph, settings: HeadsTraining, anchors: np.ndarray, draw: np.random.Generator, device: str
) -> Batch:
    """Return what an update looks at.

    Args:
        graph: Playlists of the train tracks.
        settings: Of the stage.
        anchors: (n,) int64; in later stages each shares a playlist with another track.
        draw: Source of playlists and candidates.
        device: Where the tensors go.
    """
    n = len(anchors)
    nothing = np.empty((2, 0), dtype=np.int64)
    related, others, fused, present = nothing, nothing, np.empty((n, 0), dtype=np.int64), np.empty((n, 0), dtype=bool)
    if settings.stage != "wtc":
        related = _entries(graph.related(anchors))
        related = related[:, related[1] != anchors[related[0]]]
    if settings.stage == "tpc":
        pairs = graph.sample(anchors, settings.neighbours, draw)
        fused, present = pairs.neighbours, pairs.present
        others = _without(_entries(graph.holding(pairs.playlists)), fused, present, graph.n_tracks)
    if graph.n_tracks > settings.candidates:  # the positives of all anchors may then be too many
        most = max(settings.candidates // (4 * n), 1)
        related, others = (each[:, thin(each[0], most, draw)] for each in (related, others))
    required = np.concatenate([anchors, related[1], others[1], fused[present]])
    tracks, logs = draw_candidates(graph.n_tracks, required, settings.candidates, draw)
    places = np.zeros(graph.n_tracks, dtype=np.int64)
    places[tracks] = np.arange(len(tracks))

    def entries(rows: np.ndarray, columns: np.ndarray) -> Entries:
        return Entries(*(torch.as_tensor(each, device=device) for each in (rows, places[columns])))

    playlists = None
    if settings.stage == "tpc":
        row = np.broadcast_to(np.arange(n)[:, None], fused.shape)
        playlists = PlaylistDraw(
            fused=torch.as_tensor(places[fused], device=device),
            present=torch.as_tensor(present, device=device),
            others=entries(*others),
            taken=entries(row[present], fused[present]),
        )
    own = entries(np.arange(n), anchors)
    return Batch(
        tracks=tracks,
        log_probability=None if logs is None else torch.as_tensor(logs, device=device),
        anchors=own.columns,
        own=own,
        related=entries(*related) if settings.stage != "wtc" else None,
        playlists=playlists,
    )


def _entries(matrix: sparse.csr_array) -> np.ndarray:
    """Return rows and columns of what a matrix holds, (2, k) int64."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.stack([rows, matrix.indices.astype(np.int64)])


def _without(entries: np.ndarray, columns: np.ndarray, present: np.ndarray, n_columns: int) -> np.ndarray:
    """Return the entries, (2, k), but for some columns of each row, (n, J)."""
    rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
    gone = np.isin(entries[0] * n_columns + entries[1], rows[present] * n_columns + columns[present])
    return entries[:, ~gone]
