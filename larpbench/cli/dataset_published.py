"""``larpbench dataset build mpd | lfm``: the user's own copies of published collections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from larpbench.cli import options
from larpbench.cli.built import print_built

if TYPE_CHECKING:
    from larpbench.datasets.collected import CollectedOptions
    from larpbench.datasets.presets import Sizes

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
        help="Folder of files named by track id, or CSV track_id,path. Tracks without usable audio leave before the "
        "split; without it nothing is heard."
    ),
]
_Release = Annotated[
    Path | None,
    typer.Option(help="Folder with the train.pkl, valid.pkl, test.pkl of LARP's authors: captions and clip times."),
]
_Preset = Annotated[options.Preset | None, typer.Option(help="Sizes and order of the paper: train claims first.")]
_TrainTracks = Annotated[int | None, typer.Option(min=1, help="How many tracks train has.")]
_ValidPlaylists = Annotated[int | None, typer.Option(min=1, help="How many playlists valid has.")]
_TestPlaylists = Annotated[int | None, typer.Option(min=1, help="How many playlists test has.")]
_MinLength = Annotated[int | None, typer.Option(min=1, help="Tracks of their split that playlists must have.")]
_MaxLength = Annotated[int | None, typer.Option(min=2, help="Tracks that valid and test playlists are cut to.")]
_ArtistDisjoint = Annotated[bool, typer.Option("--artist-disjoint", help="No artist is in two splits.")]
_Caption = Annotated[str, typer.Option(help="Template: paper, release, title, title-artist, no-artist.")]
_Seed = Annotated[int, typer.Option(min=0, help="Drives all draws: split, seeds and held-out tracks, clip starts.")]
_Output = Annotated[
    Path | None, typer.Option(help="Folder to write; by default the home folder's, where --dataset finds it by name.")
]


def build_mpd(
    source: Annotated[Path, typer.Option(help="spotify_million_playlist_dataset.zip, or the folder of its slices.")],
    challenge: Annotated[
        Path | None, typer.Option(help="challenge_set.json: test playlists are those with 100 visible tracks.")
    ] = None,
    audio: _Audio = None,
    release: _Release = None,
    preset: _Preset = None,
    train_tracks: _TrainTracks = None,
    valid_playlists: _ValidPlaylists = None,
    test_playlists: _TestPlaylists = None,
    min_length: _MinLength = None,
    max_length: _MaxLength = None,
    artist_disjoint: _ArtistDisjoint = False,
    caption: _Caption = "paper",
    seed: _Seed = 0,
    output: _Output = None,
) -> None:
    """Build a data set from the Million Playlist Dataset; interrupted, the same command goes on where it was.

    Without sizes all playlists are split by the protocol (20 % test, 10 % valid, 70 % train; test claims its tracks
    first); --test-playlists and --valid-playlists draw as many instead. --preset paper: 100,000 train tracks that claim
    first, 400 valid and 100 test playlists of 10 to 101 tracks.
    """
    from larpbench.datasets.mpd import build_mpd as build
    from larpbench.datasets.presets import Sizes

    folder = _folder("mpd", output)
    sizes = Sizes(train_tracks, valid_playlists, test_playlists, min_length, max_length)
    chosen = _options("mpd", folder, sizes, preset, artist_disjoint, caption, seed, audio, release)
    print_built(folder, build(source, chosen, folder, challenge))


def build_lfm(
    source: Annotated[Path, typer.Option(help="Folder with the files of LFM-2b (.tsv.bz2) or LFM-1b.")],
    audio: _Audio = None,
    release: _Release = None,
    preset: _Preset = None,
    train_tracks: _TrainTracks = None,
    valid_playlists: _ValidPlaylists = None,
    test_playlists: _TestPlaylists = None,
    min_length: _MinLength = None,
    max_length: _MaxLength = None,
    artist_disjoint: _ArtistDisjoint = False,
    caption: _Caption = "paper",
    seed: _Seed = 0,
    output: _Output = None,
) -> None:
    """Build a data set from LFM-2b or LFM-1b: users are playlists; interrupted, the same command goes on.

    Users are drawn: 1,000 for test, 500 for valid, and for train until they have heard 100,000 tracks; test claims its
    tracks first. Valid and test playlists are 31 to 99 tracks of one contiguous run of listening, or a drawn subset
    where there are only listening-counts. --preset paper: 87,558 train tracks that claim first, 1,000 valid playlists.
    """
    from larpbench.datasets.lfm import build_lfm as build
    from larpbench.datasets.presets import Sizes

    folder = _folder("lfm", output)
    sizes = Sizes(train_tracks, valid_playlists, test_playlists, min_length, max_length)
    chosen = _options("lfm", folder, sizes, preset, artist_disjoint, caption, seed, audio, release)
    print_built(folder, build(source, chosen, folder))


def _folder(name: str, output: Path | None) -> Path:
    from larpbench.datasets.catalogue import datasets_folder

    return datasets_folder() / name if output is None else output


def _options(
    collection: Literal["mpd", "lfm"],
    folder: Path,
    sizes: Sizes,
    preset: options.Preset | None,
    artist_disjoint: bool,
    caption: str,
    seed: int,
    audio: Path | None,
    release: Path | None,
) -> CollectedOptions:
    from larpbench.datasets.captions import caption_column
    from larpbench.datasets.collected import CollectedOptions
    from larpbench.datasets.named_audio import find_audio
    from larpbench.datasets.presets import split_rule
    from larpbench.datasets.release import read_release

    caption_column(caption)  # a typing error must not cost the reading of all playlists
    return CollectedOptions(
        name=folder.resolve().name,
        rule=split_rule(collection, sizes, paper=preset is not None, seed=seed, artist_disjoint=artist_disjoint),
        caption_template=caption,
        release=read_release(release) if release else None,
        audio=find_audio(audio) if audio else None,
    )
