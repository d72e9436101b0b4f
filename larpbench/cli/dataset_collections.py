"""``larpbench dataset build onion | yambda | talkplay | melon | aotm``: collections that anyone can get."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from larpbench.cli import options, split_options
from larpbench.cli.build_summary import print_built
from larpbench.errors import UsageError
from larpbench.name_lists import names

if TYPE_CHECKING:
    from larpbench.datasets.sources.collection import CollectionOptions, TaskName

ONION_EPILOG = """Examples:

larpbench dataset build onion --preset tamm-2026

larpbench dataset build onion --source onion --window 2018-02-01,2019-03-01 --core 5 --vectors musicnn,maest --output O

larpbench dataset build onion --source onion --window 2019-01-01,2020-01-01 --listeners 5000 --task continuation"""
YAMBDA_EPILOG = """Examples:

larpbench dataset build yambda --source yambda --size 50m

larpbench dataset build yambda --source yambda --events listens --listeners 2000 --core 5 --output yambda-listens

larpbench dataset build yambda --source yambda --task continuation --output yambda-likes"""
TALKPLAY_EPILOG = """Examples:

larpbench dataset build talkplay --source talkplay

larpbench dataset build talkplay --source talkplay --task cold-tracks --output talkplay-users"""
MELON_EPILOG = """Examples:

larpbench dataset build melon --source melon

larpbench dataset build melon --source melon --task cold-tracks --cold-fraction 0.1 --output melon-cold"""
AOTM_EPILOG = """Examples:

larpbench dataset build aotm --source aotm

larpbench dataset build aotm --source train-00000-of-00001.parquet --min-length 3 --output aotm-3"""

_FETCHED = "; default: what larpbench dataset fetch has fetched."
_TaskOf = Annotated[
    Literal["cold-tracks", "continuation"],
    typer.Option(
        "--task",
        help="The question that it is built for: cold-tracks (known listeners, new tracks) or continuation "
        "(playlists and tracks are both new).",
    ),
]
_ColdFraction = Annotated[
    float | None,
    typer.Option(
        "--cold-fraction",
        help="Cold tracks: the share of tracks that are drawn (default 0.1); two thirds are test, one third valid.",
    ),
]
_SplitAt = Annotated[
    str | None,
    typer.Option(
        "--split-at",
        metavar="A,B",
        help="Cold tracks: by when anybody first plays a track: train before A, valid before B, test from B.",
    ),
]
_Vectors = Annotated[
    str | None,
    typer.Option(
        "--vectors",
        metavar="NAMES",
        help="Sets of vectors to bring along, separated by commas; all (default) or none. Tracks without a vector in "
        "one of them are dropped before the split.",
    ),
]
_Core = Annotated[
    int | None,
    typer.Option("--core", min=2, help="Drop listeners and tracks with fewer pairs, again and again; not cold tracks."),
]
_Listeners = Annotated[
    int | None, typer.Option("--listeners", min=1, help="Number of listeners to draw by hash; default: all.")
]


def build_onion(
    source: Annotated[Path | None, typer.Option(help=f"Folder with the files of Music4All-Onion{_FETCHED}")] = None,
    preset: Annotated[
        Literal["tamm-2026", "acarec-2026"] | None,
        typer.Option("--preset", help="A published split: arXiv 2604.23077 or 2604.07090. Its sizes are verified."),
    ] = None,
    task: _TaskOf = "cold-tracks",
    window: Annotated[
        str | None,
        typer.Option("--window", metavar="FROM,UNTIL", help="First day, and the day after the last; default: all."),
    ] = None,
    core: _Core = None,
    listeners: _Listeners = None,
    cold_fraction: _ColdFraction = None,
    split_at: _SplitAt = None,
    vectors: _Vectors = None,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from Music4All-Onion.

    Listeners and what they played, from userid_trackid_timestamp.tsv.bz2 (or the counts, where no times are needed),
    and the vectors of all feature files id_*.tsv.bz2 that are there. Titles and artists are read from the base
    collection's id_information.csv, if it is there. If the build is interrupted, the same command continues it.
    """
    from larpbench.datasets.sources.onion.build import OnionOptions
    from larpbench.datasets.sources.onion.build import build_onion as build
    from larpbench.datasets.sources.reduction import Reduction

    folder = options.dataset_folder("onion", output)
    source = _source("onion", source)
    chosen = _options(folder, task, cold_fraction, split_at, vectors, train_fraction, min_length, caption, seed)
    onion = OnionOptions(preset, _pair("--window", window), Reduction(core, listeners))
    print_built(folder, build(source, chosen, onion, folder))


def build_yambda(
    source: Annotated[
        Path | None, typer.Option(help=f"Folder with flat/SIZE/likes.parquet or listens.parquet{_FETCHED}")
    ] = None,
    size: Annotated[Literal["50m", "500m", "5b"], typer.Option("--size", help="Which size of Yambda.")] = "50m",
    events: Annotated[
        Literal["likes", "listens"],
        typer.Option("--events", help="likes, or listens to more than half of a track."),
    ] = "likes",
    task: _TaskOf = "cold-tracks",
    core: _Core = None,
    listeners: _Listeners = None,
    cold_fraction: _ColdFraction = None,
    split_at: _SplitAt = None,
    vectors: _Vectors = None,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from Yambda.

    By default the tracks that anybody first plays in the last four weeks are test, those of the four weeks before are
    valid. --split-at takes Yambda's own seconds (0 to 26,000,000). The vectors of the sound (embeddings.parquet, set
    audio) are scanned part by part.
    """
    from larpbench.datasets.sources.reduction import Reduction
    from larpbench.datasets.sources.yambda import YambdaOptions
    from larpbench.datasets.sources.yambda import build_yambda as build

    folder = options.dataset_folder("yambda", output)
    source = _source("yambda", source)
    chosen = _options(folder, task, cold_fraction, split_at, vectors, train_fraction, min_length, "paper", seed)
    yambda = YambdaOptions(size, events, Reduction(core, listeners))
    print_built(folder, build(source, chosen, yambda, folder))


def build_talkplay(
    source: Annotated[
        Path | None, typer.Option(help=f"Folder with the Parquet files of TalkPlayData-Challenge{_FETCHED}")
    ] = None,
    task: _TaskOf = "continuation",
    cold_fraction: _ColdFraction = None,
    vectors: _Vectors = None,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from TalkPlayData-Challenge.

    For continuation, sessions are the playlists; for cold-tracks, users are the listeners. The set of vectors cf-bpr
    was made from interactions: it is brought along and refused as an encoder, unless a run has --allow-leaky.
    """
    from larpbench.datasets.sources.talkplay import build_talkplay as build

    folder = options.dataset_folder("talkplay", output)
    source = _source("talkplay", source)
    chosen = _options(folder, task, cold_fraction, None, vectors, train_fraction, min_length, caption, seed)
    print_built(folder, build(source, chosen, folder))


def build_melon(
    source: Annotated[Path, typer.Option(help="Folder with train.json and song_meta.json.")],
    task: _TaskOf = "continuation",
    cold_fraction: _ColdFraction = None,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from the Melon Playlist Dataset.

    Only train.json is read: the playlists of val.json and test.json are masked.
    """
    from larpbench.datasets.sources.melon import build_melon as build

    folder = options.dataset_folder("melon", output)
    chosen = _options(folder, task, cold_fraction, None, None, train_fraction, min_length, caption, seed)
    print_built(folder, build(source, chosen, folder))


def build_aotm(
    source: Annotated[
        Path | None, typer.Option(help=f"Folder with the Parquet files of AotM-2011, or one of them{_FETCHED}")
    ] = None,
    task: _TaskOf = "continuation",
    cold_fraction: _ColdFraction = None,
    train_fraction: split_options.TrainFraction = None,
    min_length: split_options.MinLength = None,
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from AotM-2011.

    It has ids of songs alone: vectors are needed to test an encoder on it (precomputed:FILE).
    """
    from larpbench.datasets.sources.aotm import build_aotm as build

    folder = options.dataset_folder("aotm", output)
    source = _source("aotm", source)
    chosen = _options(folder, task, cold_fraction, None, None, train_fraction, min_length, "paper", seed)
    print_built(folder, build(source, chosen, folder))


def _source(name: str, source: Path | None) -> Path:
    """Return the folder of the files: `source`, or what was fetched.

    Raises:
        UsageError: If there is none.
    """
    from larpbench.datasets.catalogue import DATASETS, fetched_folder

    found = fetched_folder(name) if source is None else source
    if source is None and not found.is_dir():
        raise UsageError(
            f"--source is missing, and nothing of {name} was fetched",
            allowed="--source FOLDER",
            next_step=DATASETS.get(name).fetch,
        )
    return found


def _options(
    folder: Path,
    task: TaskName,
    cold_fraction: float | None,
    split_at: str | None,
    vectors: str | None,
    train_fraction: float | None,
    min_length: int | None,
    caption: str,
    seed: int,
) -> CollectionOptions:
    from larpbench.datasets.captions import caption_column
    from larpbench.datasets.sources.collection import CollectionOptions

    caption_column(caption)  # refuses an unknown template before anything is read
    listed = None if vectors in (None, "all") else () if vectors == "none" else tuple(names(vectors or ""))
    return CollectionOptions(
        name=folder.resolve().name,
        task=task,
        cold_fraction=cold_fraction,
        boundaries=_pair("--split-at", split_at),
        vectors=listed,
        seed=seed,
        train_fraction=train_fraction,
        min_length=min_length,
        caption_template=caption,
    )


def _pair(flag: str, text: str | None) -> tuple[str, str] | None:
    """Return the two parts of ``A,B``.

    Raises:
        UsageError: If there are not two.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise UsageError(f"{flag} {text}", allowed=f"two values, {flag} A,B")
    return parts[0], parts[1]
