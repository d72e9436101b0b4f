"""Recall by layer of a model on the valid split: a table and a figure. Test is not read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from larpbench import storage
from larpbench.benchmark.plan import default_store
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset
from larpbench.encoders.layers import every_layer, with_every_layer
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.training import ensure_trained
from larpbench.errors import DataError, MissingPartError, UsageError
from larpbench.evaluation.statistics import bootstrap_interval
from larpbench.results.sheet import Column, Sheet, SheetCell, SheetRow
from larpbench.tasks.layers import LayerRecalls, layer_recalls
from larpbench.tasks.validation import validation_recall

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "recall@10"
FIGURES = (".png", ".svg")


def compare_layers(name: str, dataset: Dataset, store: EmbeddingStore | None = None) -> tuple[LayerRecalls, list[str]]:
    """Return recall@10 of `itemknn` on valid by layer, and the names of the encoder at each layer.

    All layers are encoded in one pass over the valid split (for known listeners over train, too).

    Args:
        name: Name of the encoder, without a layer.
        dataset: The data set.
        store: Where embeddings are kept; default under the home folder.

    Raises:
        UsageError: If the encoder has no layers, or its name has one already.
        UnknownNameError: If there is no such encoder.
        MissingPartError: If it cannot run here.
        DataError: If the data set has no valid playlists.
    """
    written = with_every_layer(name)
    whole = get_encoder(written)
    status = whole.status()
    if status.state != "ready":
        raise MissingPartError(f"encoder {whole.identity!r} cannot run: {status.text}", next_step=status.next_step)
    if not dataset.split("valid").entries.height:
        raise DataError(
            f"layers are compared on the valid split, and that of {dataset.name!r} has no playlists",
            allowed="a data set with valid playlists (a smaller --min-length, or --valid-playlists)",
        )
    names, store = every_layer(written), store or default_store()
    specs = [get_encoder(each).tested_on(dataset) for each in names]
    for spec in specs:
        spec.require_possible(dataset, ["valid"])
        ensure_trained(store, spec, 0, validation_recall)
    return layer_recalls(store, specs, dataset, 0), [spec.identity for spec in specs]


def layers_sheet(name: str, dataset: Dataset, recalls: LayerRecalls, names: list[str]) -> Sheet:
    """Return the table: a row a layer, and chance."""
    lows, highs = bootstrap_interval(recalls.values.T[None])
    rows, lines = [], []
    for layer, (each, mean) in enumerate(zip(names, recalls.means.tolist(), strict=True)):
        low, high = float(lows[layer]), float(highs[layer])
        place = int(layer == recalls.best)
        score = SheetCell(f"{mean:.4f}", f"[{low:.4f}, {high:.4f}]", place, mean, low, high)
        rows.append(SheetRow((SheetCell(str(layer)), SheetCell(each), score)))
        lines.append(
            {
                "layer": layer,
                "encoder": each,
                f"valid_{METRIC}": mean,
                "ci_low": low,
                "ci_high": high,
                "chance": recalls.chance,
                "best": place,
            }
        )
    rows.append(
        SheetRow(
            (SheetCell("chance"), SheetCell(""), SheetCell(f"{recalls.chance:.4f}", value=recalls.chance)), "bound"
        )
    )
    listeners = dataset.manifest.kind == LISTENERS
    queries = "listeners, for whom the cold tracks of valid are ranked" if listeners else "valid playlists"
    notes = (
        f"Best on valid: layer {recalls.best}, {names[recalls.best]}. The test split was not read.",
        f"Recall@10 of itemknn, the mean of {recalls.values.shape[1]:,} {queries}, with a 95 % interval. The intervals "
        "overlap where layers cannot be told apart; the best of several means is too high for its noise, so test the "
        "layer once, on test.",
    )
    columns = (Column("Layer"), Column("Encoder"), Column("Recall@10 on valid", METRIC, right=True, rising=True))
    return Sheet(f"Recall by layer: {name} on {dataset.name}", columns, tuple(rows), notes, tuple(lines))


def layers_figure(name: str, dataset: Dataset, recalls: LayerRecalls) -> Figure:
    """Return recall by layer with its intervals, and chance."""
    from larpbench.results.plots import COLOURS, new_figure

    lows, highs = bootstrap_interval(recalls.values.T[None])
    means, layers = recalls.means, range(len(recalls.means))
    figure, (axes,) = new_figure(7, 4)
    axes.errorbar(
        layers,
        means,
        yerr=[means - lows, highs - means],
        color=COLOURS[0],
        marker="o",
        capsize=3,
        label="mean and 95 % interval",
    )
    axes.plot(
        [recalls.best],
        [means[recalls.best]],
        marker="o",
        markersize=11,
        color=COLOURS[1],
        fillstyle="none",
        markeredgewidth=2,
        linestyle="none",
        label=f"best: layer {recalls.best}",
    )
    axes.axhline(recalls.chance, color="grey", linestyle="--", linewidth=1, label="chance")
    axes.set_xticks([*layers])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Layer (0: what enters the first one)")
    axes.set_ylabel("Recall@10 on valid")
    axes.set_title(f"{name} on {dataset.name}", fontsize=10)
    axes.legend(frameon=False)
    return figure


def require_figure_path(path: Path) -> Path:
    """Return a path that a figure can be written to.

    Raises:
        UsageError: If its name ends in something else than ``.svg`` or ``.png``.
    """
    if path.suffix.lower() not in FIGURES:
        raise UsageError(f"--output is {str(path)!r}", allowed="a name that ends in .svg or .png")
    return path


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the name ends with.

    Raises:
        StorageError: If it cannot be written.
    """
    from larpbench.results.plots import rendered

    storage.make_folder(path.parent)
    with storage.atomic_file(path) as temporary:
        temporary.write_bytes(rendered(figure, path.suffix.lower().removeprefix(".")))
