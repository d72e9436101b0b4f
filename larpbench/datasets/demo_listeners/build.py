"""The `demo-listeners` data set folder: who plays what, captions, and two sets of vectors."""

from __future__ import annotations

from pathlib import Path

from larpbench import progress
from larpbench.datasets.catalogue import DatasetCard, DatasetSource, datasets_folder
from larpbench.datasets.demo_listeners.world import (
    GENERATOR_VERSION,
    TEST_FROM,
    VALID_FROM,
    ListenerWorld,
    ListenerWorldSpec,
    draw_listener_world,
)
from larpbench.datasets.files import made_before
from larpbench.datasets.listeners.assemble import ListenerOptions, assemble_listeners
from larpbench.datasets.listeners.split import split_by_time
from larpbench.datasets.provided import FOLDER, VectorCard, VectorWriter
from larpbench.datasets.schema import Dataset
from larpbench.storage import locked, staging_folder, sweep

NOTE = "Made on an invented world of listeners: it shows how the task works, and says nothing of any encoder on music."


def build_demo_listeners(output: Path, spec: ListenerWorldSpec | None = None) -> Dataset:
    """Make `demo-listeners` or another world of its kind, unless it is there already.

    Args:
        output: Folder to write.
        spec: Which world; the default one is the data set called ``demo-listeners``.

    Returns:
        The data set, split by the time at which tracks are first played; its vectors are ``provided:strong`` and
        ``provided:weak``.

    Raises:
        StorageError: If the folder cannot be written.
        DataError: If the folder holds something else.
    """
    sweep(output.parent)
    chosen = spec or ListenerWorldSpec()
    name = "demo-listeners" if chosen == ListenerWorldSpec() else f"demo-listeners-{chosen.seed}"
    source = (
        f"larpbench demo-listeners generator, version {GENERATOR_VERSION}, seed {chosen.seed}, {chosen.artists} "
        f"artists, {chosen.listeners} listeners"
    )
    with locked(output):
        if (made := made_before(output, source)) is not None:
            return made
        with (
            staging_folder(output.with_name(f"{output.name}.vectors")) as staging,
            progress.stage("make demo-listeners", 1, "world") as done,
        ):
            world = draw_listener_world(chosen)
            done(1)
            _write_vectors(staging / FOLDER, world)
            options = ListenerOptions(name, source, "CC0-1.0", split_by_time(VALID_FROM, TEST_FROM), notes=(NOTE,))
            attachments = {FOLDER: staging / FOLDER}
            return assemble_listeners(world.listens, world.tracks, options, output, attachments=attachments)


def _write_vectors(folder: Path, world: ListenerWorld) -> None:
    for name, vectors in world.views.items():
        card = VectorCard(
            what=f"invented vectors that tell {'much' if name == 'strong' else 'little'} of what a track is about",
            by="larpbench",
            licence="CC0-1.0",
            training_data="none",
        )
        with VectorWriter(folder, name, card) as writer:
            writer.add(world.tracks["track_id"], vectors)


def _load() -> Dataset:
    return build_demo_listeners(datasets_folder() / f"demo-listeners-v{GENERATOR_VERSION}")


DEMO_LISTENERS = DatasetSource(
    "demo-listeners",
    "invented listeners with a year of listening, and vectors of two strengths",
    _load,
    card=DatasetCard(
        content="700 invented listeners, their tracks with counts and times over a year, invented captions, and two "
        "sets of vectors (provided:strong, provided:weak), no sound; no evidence about any encoder on real music",
        where="made by larpbench on first use, the same on every CPU",
        licence="CC0-1.0",
        size="2 MB on disk, made in seconds",
        page="docs/cold-tracks.md",
    ),
)
