"""The `demo-large` data set folder: playlists, captions, and a file of vectors for each view."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from larpbench import progress
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.catalogue import DatasetCard, DatasetSource, datasets_folder
from larpbench.datasets.demo_large.world import GENERATOR_VERSION, LargeWorldSpec, draw_large_world
from larpbench.datasets.files import made_before
from larpbench.datasets.schema import Dataset
from larpbench.storage import locked, staging_folder, sweep

NOTE = (
    "Made on an invented world whose figures are fitted to those of real playlists: it compares ways of training, and "
    "says nothing of any encoder on real music."
)


def build_demo_large(output: Path, spec: LargeWorldSpec | None = None) -> Dataset:
    """Make `demo-large` or another world of its kind, unless it is there already.

    Args:
        output: Folder to write.
        spec: Which world; the default one is the data set called ``demo-large``, another seed makes another world.

    Returns:
        The data set, split by the rule ``tracks``. The vectors of its views are in ``<view>.npz``.

    Raises:
        StorageError: If the folder cannot be written.
        DataError: If the folder holds something else.
    """
    sweep(output.parent)
    chosen = spec or LargeWorldSpec()
    name = "demo-large" if chosen == LargeWorldSpec() else f"demo-large-{chosen.seed}"
    source = (
        f"larpbench demo-large generator, version {GENERATOR_VERSION}, seed {chosen.seed}, {chosen.artists} artists, "
        f"{chosen.playlists} playlists"
    )
    with locked(output):
        if (made := made_before(output, source)) is not None:
            return made
        with (
            staging_folder(output.with_name(f"{output.name}.views")) as staging,
            progress.stage("make demo-large", 1, "world") as done,
        ):
            world = draw_large_world(chosen)
            done(1)
            files = {f"{view}.npz": staging / f"{view}.npz" for view in world.views}
            for view, vectors in world.views.items():
                ids = world.tracks["track_id"].to_numpy().astype(str)
                np.savez(files[f"{view}.npz"], ids=ids, embeddings=vectors)
            options = BuildOptions(
                name=name,
                source=source,
                licence="CC0-1.0",
                split_seed=chosen.seed,
                split_rule="tracks",
                notes=(NOTE,),
            )
            return assemble(world.tracks, world.playlists, options, output, attachments=files)


def _load() -> Dataset:
    return build_demo_large(datasets_folder() / f"demo-large-v{GENERATOR_VERSION}")


DEMO_LARGE = DatasetSource(
    "demo-large",
    "invented vectors, captions and playlists with the figures of real ones",
    _load,
    card=DatasetCard(
        content="20,000 tracks with invented captions and two kinds of vectors (encoders text-like and audio-like), no "
        "sound, 6,000 playlists; no evidence about any encoder on real music",
        where="made by larpbench on first use, the same on every CPU",
        licence="CC0-1.0",
        size="45 MB on disk, made in about a quarter of a minute",
        page="docs/datasets/demo-large.md",
    ),
)
