"""Figure 3 of the LARP paper: one playlist in the cloud of all tracks, encoder by encoder."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from larpbench.benchmark.plan import default_store, encoder_for
from larpbench.datasets.schema import Dataset, Interactions
from larpbench.encoders.larp.settings import SIZES
from larpbench.evaluation.homogeneity import homogeneity
from larpbench.reproduction.request import Request, evaluate
from larpbench.reproduction.selection import report_not_run, select_encoders
from larpbench.reproduction.yardstick import yardstick
from larpbench.results.plots import CLOUD, COLOURS, new_figure, save_figure
from larpbench.results.published import published_statistics
from larpbench.results.sheet import Sheet, SheetCell, text_sheet
from larpbench.results.writers import write_sheet
from larpbench.vectors import unit_rows

_STAGES = ("larp-untrained", "larp-wtc", "larp-ttc", "larp-tpc", "larp-tpc-fusion")
_MOST_POINTS = 5_000
_COLUMNS = 4


def figure3(request: Request, folder: Path) -> list[Path]:
    """Write where the tracks of a drawn test playlist lie, and how alike the tracks of all playlists are."""
    dataset = request.dataset
    stages = (request.sized(name, SIZES) for name in _STAGES)
    encoders = select_encoders(request, ("bert", "htsat", *stages, *yardstick(dataset).rows))
    found = evaluate(request, encoders.names, ("itemknn",))
    shown = {name: found.identities[name] if name in encoders.own else name for name in found.identities}
    test = dataset.split("test")
    playlists = test.interactions()
    row = drawn_playlist(playlists)
    chosen = playlists.select(np.arange(len(playlists)) == row)
    vectors = {
        title: default_store().embed(encoder_for(name, dataset), dataset, "test", 0).vectors
        for name, title in shown.items()
    }
    points = {name: _plane(each) for name, each in vectors.items()}
    alike = {
        name: (float(homogeneity(each, chosen)[0]), float(homogeneity(each, playlists).mean()), _cloud(each))
        for name, each in vectors.items()
    }
    height = math.ceil(len(shown) / _COLUMNS)
    figure, axes = new_figure(3 * _COLUMNS, 3 * height, height, _COLUMNS)
    cloud = _sample(len(test.track_ids))
    for name, place in zip(vectors, axes, strict=False):
        for rows, size, colour in ((cloud, 4, CLOUD), (chosen.tracks, 14, COLOURS[1])):
            place.scatter(points[name][rows, 0], points[name][rows, 1], s=size, color=colour, linewidths=0)
        place.set_title(f"{name}\nplaylists {alike[name][1]:.2f}, all {alike[name][2]:.2f}", fontsize=9)
        place.set_xticks([])
        place.set_yticks([])
    for place in axes[len(shown) :]:
        place.axis("off")
    not_run = report_not_run(request, found.absent, encoders)
    sheet = _sheet(request, str(playlists.playlist_ids[row]), alike, not_run, _lines(dataset, points, chosen))
    return [*write_sheet(sheet, folder, "figure3"), *save_figure(figure, folder, "figure3")]


def drawn_playlist(playlists: Interactions) -> int:
    """Return the row of a playlist of two tracks or more, drawn by the digest of its id: nobody has picked it."""
    several = np.flatnonzero(playlists.lengths >= 2)
    return int(min(several, key=lambda row: hashlib.sha256(str(playlists.playlist_ids[row]).encode()).digest()))


def _plane(vectors: np.ndarray) -> np.ndarray:
    """Return the tracks in the plane of most variance, (n, 2); directions only, as the recommender sees them."""
    unit = unit_rows(vectors, double=False).astype(np.float64)
    solver = "full" if len(unit) < unit.shape[1] else "covariance_eigh"  # of a matrix of the smaller side
    plane: np.ndarray = PCA(2, svd_solver=solver).fit_transform(unit)
    return plane


def _cloud(vectors: np.ndarray) -> float:
    """Return the mean cosine of all pairs of tracks."""
    everything = Interactions(np.array(["all"]), np.array([0, len(vectors)]), np.arange(len(vectors)))
    return float(homogeneity(vectors, everything)[0])


def _sample(count: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(count)[:_MOST_POINTS])


def _lines(dataset: Dataset, points: dict[str, np.ndarray], chosen: Interactions) -> list[dict[str, object]]:
    ids = dataset.split("test").track_ids
    inside = np.isin(np.arange(len(ids)), chosen.tracks)
    kept = np.union1d(_sample(len(ids)), chosen.tracks)
    return [
        {
            "encoder": name,
            "track_id": ids[row],
            "x": round(float(plane[row, 0]), 5),
            "y": round(float(plane[row, 1]), 5),
            "in_playlist": int(inside[row]),
        }
        for name, plane in points.items()
        for row in kept
    ]


def _sheet(
    request: Request,
    playlist: str,
    alike: dict[str, tuple[float, float, float]],
    not_run: tuple[str, ...],
    lines: list[dict[str, object]],
) -> Sheet:
    heads = ("Encoder", "This playlist", "All test playlists", "All pairs of test tracks", "Difference")
    rows = [
        (
            SheetCell(name),
            *(SheetCell(f"{value:.3f}", value=value) for value in values),
            SheetCell(f"{values[1] - values[2]:+.3f}", value=values[1] - values[2]),
        )
        for name, values in alike.items()
    ]
    published = ", ".join(
        f"{each.values['homogeneity']:.2f} on {each.dataset}"
        for each in published_statistics()
        if each.dataset in request.published
    )
    notes = (
        "Mean cosine of pairs of tracks. Tracks of a playlist that are alike say little where all tracks are alike: "
        "the last column is what a recommender can use.",
        f"The playlist {playlist!r} was drawn by the digest of its id. Two directions of most variance of vectors of "
        "length 1, seed 0.",
        f"The paper draws a playlist without numbers; its table 1 has a homogeneity of {published}.",
        *request.published_note,
        *not_run,
        *request.dataset.manifest.notes,
    )
    title = f"A playlist among all tracks (LARP, figure 3): {request.dataset.name}"
    return text_sheet(title, heads, rows, notes, lines)
