"""``larpbench dataset build mpd | lfm``: data sets from the user's own copies of published collections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from larpbench.cli import options, split_options
from larpbench.cli.build_summary import print_built

if TYPE_CHECKING:
    from larpbench.datasets.build import DatasetOptions
    from larpbench.datasets.splits.presets import Sizes

MPD_EPILOG = """Examples:

larpbench dataset build mpd --source spotify_million_playlist_dataset.zip --preset paper

larpbench dataset build mpd --source data --challenge challenge_set.json --preset paper --audio clips --release mpd

larpbench dataset build mpd --source data --test-playlists 10000 --train-tracks 100000 --output mpd-10k"""

LFM_EPILOG = """Examples:

larpbench dataset build lfm --source LFM-2b --preset paper

larpbench dataset build lfm --source LFM-2b --artist-disjoint --output lfm-artists"""


_Audio = Annotated[
    Path | None,
    typer.Option(
        "--audio",
        help="Folder of files named by track id, or CSV track_id,path. Tracks without usable audio are dropped before "
        "the split. Without this option the data set has no audio.",
    ),
]
_Release = Annotated[
    Path | None,
    typer.Option(
        "--release", help="Folder with the train.pkl, valid.pkl, test.pkl of LARP's authors: captions and clip times."
    ),
]
_Preset = Annotated[
    Literal["paper"] | None,
    typer.Option("--preset", help="Sizes and order of the paper: train takes its tracks first."),
]
_MinLength = Annotated[
    int | None, typer.Option("--min-length", min=1, help="Drop playlists with fewer tracks of their split.")
]
_MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=2, help="Cut valid and test playlists to this many tracks.")
]


def build_mpd(
    source: Annotated[
        Path, typer.Option(help="spotify_million_playlist_dataset.zip, the folder of its slices, or one slice.")
    ],
    challenge: Annotated[
        Path | None,
        typer.Option(help="challenge_set.json: its playlists with 100 visible tracks become the test playlists."),
    ] = None,
    split_rule: options.Rule = None,
    audio: _Audio = None,
    release: _Release = None,
    preset: _Preset = None,
    train_tracks: split_options.TrainTracks = None,
    valid_playlists: split_options.ValidPlaylists = None,
    test_playlists: split_options.TestPlaylists = None,
    min_length: _MinLength = None,
    max_length: _MaxLength = None,
    artist_disjoint: split_options.ArtistDisjoint = False,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from the Million Playlist Dataset.

    By default all playlists and tracks are split by their hashes (20 % test, 10 % valid, 70 % train). With
    --test-playlists or --valid-playlists that many playlists are drawn, and test takes its tracks first. --preset
    paper: 100,000 train tracks, taken first, 400 valid and 100 test playlists of 10 to 101 tracks. If the build is
    interrupted, the same command continues it.
    """
    from larpbench.datasets.sources.mpd.build import build_mpd as build
    from larpbench.datasets.splits.presets import Sizes

    folder = options.dataset_folder("mpd", output)
    sizes = Sizes(train_tracks, valid_playlists, test_playlists, min_length, max_length)
    chosen = _build_options("mpd", folder, sizes, split_rule, audio, release, preset, artist_disjoint, caption, seed)
    print_built(folder, build(source, chosen, folder, challenge))


def build_lfm(
    source: Annotated[Path, typer.Option(help="Folder with the files of LFM-2b (.tsv.bz2, .tsv.gz, .tsv) or LFM-1b.")],
    audio: _Audio = None,
    release: _Release = None,
    preset: _Preset = None,
    train_tracks: split_options.TrainTracks = None,
    valid_playlists: split_options.ValidPlaylists = None,
    test_playlists: split_options.TestPlaylists = None,
    min_length: _MinLength = None,
    max_length: _MaxLength = None,
    artist_disjoint: split_options.ArtistDisjoint = False,
    caption: options.Caption = "paper",
    seed: options.SplitSeed = 0,
    output: options.DatasetFolder = None,
) -> None:
    """Build a data set from LFM-2b or LFM-1b.

    Each user is a playlist. Users are drawn at random: 1,000 for test, 500 for valid, and for train until they have
    100,000 different tracks. Test takes its tracks first. Valid and test playlists are 31 to 99 tracks of one
    contiguous run of listening events, or a random subset where there are only listening counts. --preset paper: 87,558
    train tracks, taken first, and 1,000 valid playlists. If the build is interrupted, the same command continues it.
    """
    from larpbench.datasets.sources.lfm.build import build_lfm as build
    from larpbench.datasets.splits.presets import Sizes

    folder = options.dataset_folder("lfm", output)
    sizes = Sizes(train_tracks, valid_playlists, test_playlists, min_length, max_length)
    chosen = _build_options("lfm", folder, sizes, None, audio, release, preset, artist_disjoint, caption, seed)
    print_built(folder, build(source, chosen, folder))


def _build_options(
    name: Literal["mpd", "lfm"],
    folder: Path,
    sizes: Sizes,
    rule: options.SplitRule | None,
    audio: Path | None,
    release: Path | None,
    preset: str | None,
    artist_disjoint: bool,
    caption: str,
    seed: int,
) -> DatasetOptions:
    """Return the options of the builder, from those that both commands have."""
    from larpbench.datasets.audio_files.named import find_audio
    from larpbench.datasets.build import DatasetOptions
    from larpbench.datasets.captions import caption_column
    from larpbench.datasets.reading.larp_release import read_release
    from larpbench.datasets.splits.presets import split_rule

    caption_column(caption)  # refuses an unknown template before all playlists are read
    return DatasetOptions(
        name=folder.resolve().name,
        rule=split_rule(name, sizes, drawn=rule, paper=preset is not None, seed=seed, artist_disjoint=artist_disjoint),
        caption_template=caption,
        release=read_release(release) if release else None,
        audio=find_audio(audio) if audio else None,
    )
