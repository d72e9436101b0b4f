"""The demo data set folder: the world's tracks as FLAC files, its playlists, and the vector that draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import soundfile

from larpbench import progress
from larpbench.audio.clips import samples_digest
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.audio_table import AUDIO_FILE_COLUMNS, DatasetAudio
from larpbench.datasets.catalogue import DatasetCard, DatasetSource, datasets_folder
from larpbench.datasets.demo import ORACLE_FILE
from larpbench.datasets.demo.sound_tables import SAMPLE_RATE
from larpbench.datasets.demo.synthesis import CLIP_SECONDS, synthesise
from larpbench.datasets.demo.world import GENERATOR_VERSION, World, WorldSpec, draw_world
from larpbench.datasets.files import MANIFEST, read_dataset, refuse_others
from larpbench.datasets.schema import Dataset
from larpbench.errors import StorageError
from larpbench.fingerprint import digest_file
from larpbench.storage import locked, staging_folder, sweep

_AUDIO = "audio"
NOTE = (
    "Made on an invented world of procedural sound and invented titles: it shows that the pipeline works, "
    "and says nothing of any encoder on real music."
)


def build_demo(output: Path, spec: WorldSpec | None = None) -> Dataset:
    """Make the demo data set, unless it is there already.

    Args:
        output: Folder to write.
        spec: Which world; the default one is the data set called ``demo``.

    Raises:
        StorageError: If the folder cannot be written.
    """
    sweep(output.parent)
    if (output / MANIFEST).is_file() and spec is None:
        return read_dataset(output)
    refuse_others(output)
    spec = spec or WorldSpec()
    with locked(output):
        if (output / MANIFEST).is_file() and spec == WorldSpec():
            return read_dataset(output)
        world = draw_world(spec)
        with staging_folder(output.with_name(f"{output.name}.{_AUDIO}")) as staging:
            audio_files = _write_audio(world, spec.seed, staging / _AUDIO)
            oracle = staging / ORACLE_FILE
            np.savez_compressed(oracle, ids=world.tracks["track_id"].to_numpy().astype(str), embeddings=world.oracle)
            return assemble(
                world.tracks.with_columns(
                    audio=pl.col("track_id") + ".flac",
                    clip_start_s=pl.lit(0.0),
                    duration_s=pl.lit(float(CLIP_SECONDS)),
                ),
                world.playlists,
                BuildOptions(
                    name="demo" if spec == WorldSpec() else f"demo-{spec.seed}",
                    source=f"larpbench demo generator, version {GENERATOR_VERSION}, seed {spec.seed}, "
                    f"private noise {'on' if spec.private_noise else 'off'}",
                    licence="CC0-1.0",
                    split_seed=spec.seed,
                    notes=(NOTE,),
                ),
                output,
                audio=DatasetAudio(_AUDIO, AudioPolicy(clip_seconds=CLIP_SECONDS), audio_files),
                attachments={_AUDIO: staging / _AUDIO, ORACLE_FILE: oracle},
            )


def _load_demo() -> Dataset:
    return build_demo(datasets_folder() / f"demo-v{GENERATOR_VERSION}")


def _load_demo_2() -> Dataset:
    folder = datasets_folder() / f"demo-2-v{GENERATOR_VERSION}"
    return read_dataset(folder) if (folder / MANIFEST).is_file() else build_demo(folder, WorldSpec(seed=2))


_CARD = DatasetCard(
    content="1,150 clips of procedural sound with invented titles, 1,700 playlists; no evidence about any encoder on "
    "real music",
    where="made by larpbench on first use, the same on every CPU",
    licence="CC0-1.0",
    size="84 MB on disk, made in about a quarter of a minute",
    page="docs/datasets/demo.md",
)
DEMO = DatasetSource("demo", "invented music and playlists, made on first use", _load_demo, card=_CARD)
DEMO_2 = DatasetSource("demo-2", "another invented world, to test transfer: larp@demo-2", _load_demo_2, card=_CARD)


def _write_audio(world: World, seed: int, folder: Path) -> pl.DataFrame:
    """Write one FLAC file a track and return their digests (`AUDIO_FILE_COLUMNS`)."""
    folder.mkdir()
    rows = []
    with progress.stage("make demo", world.tracks.height, "clips") as advance:
        for index, track_id in enumerate(world.tracks["track_id"]):
            path = folder / f"{track_id}.flac"
            clip = synthesise(world.sound[index], seed=seed + index)
            try:
                soundfile.write(path, clip, SAMPLE_RATE, subtype="PCM_16")
            except soundfile.LibsndfileError as error:  # it says "System error", whatever it was
                advice = "see that the disk has room (about 85 MB), or set LARPBENCH_HOME to another one"
                raise StorageError(f"a clip cannot be written: {error}", where=str(path), next_step=advice) from error
            found = path.stat()
            samples = samples_digest(clip.astype(np.float32) / (1 << 15), SAMPLE_RATE)
            rows.append((track_id, samples, digest_file(path), found.st_size, found.st_mtime_ns))
            advance(1)
    return pl.DataFrame(rows, schema=dict(AUDIO_FILE_COLUMNS), orient="row")
