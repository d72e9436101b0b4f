"""``larpbench dataset build mpd | lfm``: the user's own copies of published collections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from larpbench.cli import options
from larpbench.cli.built import print_built
from larpbench.cli.spread import spread

if TYPE_CHECKING:
    from larpbench.datasets.build import DatasetOptions

MPD_EPILOG = """Examples:

larpbench dataset build mpd --source spotify_million_playlist_dataset.zip --preset paper

larpbench dataset build mpd --source data --challenge challenge_set.json --preset paper --audio clips --release mpd

larpbench dataset build mpd --source data --test-playlists 10000 --train-tracks 100000 --output mpd-10k"""

LFM_EPILOG = """Examples:

larpbench dataset build lfm --source LFM-2b --preset paper

larpbench dataset build lfm --source LFM-2b --artist-disjoint --output lfm-artists"""


@dataclass(frozen=True)
class Collection:
    """What both collections are built by."""

    audio: Annotated[
        Path | None,
        typer.Option(
            help="Folder of files named by track id, or CSV track_id,path. Tracks without usable audio leave before "
            "the split; without it nothing is heard."
        ),
    ] = None
    release: Annotated[
        Path | None,
        typer.Option(help="Folder with the train.pkl, valid.pkl, test.pkl of LARP's authors: captions and clip times."),
    ] = None
    preset: Annotated[options.Preset | None, typer.Option(help="Sizes and order of the paper: train claims first.")] = (
        None
    )
    train_tracks: Annotated[int | None, typer.Option(min=1, help="How many tracks train has.")] = None
    valid_playlists: Annotated[int | None, typer.Option(min=1, help="How many playlists valid has.")] = None
    test_playlists: Annotated[int | None, typer.Option(min=1, help="How many playlists test has.")] = None
    min_length: Annotated[int | None, typer.Option(min=1, help="Tracks of their split that playlists must have.")] = (
        None
    )
    max_length: Annotated[int | None, typer.Option(min=2, help="Tracks that valid and test playlists are cut to.")] = (
        None
    )
    artist_disjoint: Annotated[bool, typer.Option("--artist-disjoint", help="No artist is in two splits.")] = False
    caption: options.Caption = "paper"
    seed: options.DrawSeed = 0
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default the home folder's, where --dataset finds it by name."),
    ] = None

    def folder(self, name: str) -> Path:
        """Return where the data set is written."""
        from larpbench.datasets.catalogue import datasets_folder

        return datasets_folder() / name if self.output is None else self.output

    def to_build(self, name: Literal["mpd", "lfm"], drawn: options.SplitRule | None = None) -> DatasetOptions:
        """Return what the builder is told."""
        from larpbench.datasets.audio_files.named import find_audio
        from larpbench.datasets.build import DatasetOptions
        from larpbench.datasets.captions import caption_column
        from larpbench.datasets.reading.larp_release import read_release
        from larpbench.datasets.splits.presets import Sizes, split_rule

        caption_column(self.caption)  # a typing error must not cost the reading of all playlists
        sizes = Sizes(self.train_tracks, self.valid_playlists, self.test_playlists, self.min_length, self.max_length)
        paper = self.preset is not None
        return DatasetOptions(
            name=self.folder(name).resolve().name,
            rule=split_rule(
                name,
                sizes,
                drawn=None if drawn is None else drawn.value,
                paper=paper,
                seed=self.seed,
                artist_disjoint=self.artist_disjoint,
            ),
            caption_template=self.caption,
            release=read_release(self.release) if self.release else None,
            audio=find_audio(self.audio) if self.audio else None,
        )


@spread
def build_mpd(
    source: Annotated[
        Path, typer.Option(help="spotify_million_playlist_dataset.zip, the folder of its slices, or one.")
    ],
    challenge: Annotated[
        Path | None, typer.Option(help="challenge_set.json: test playlists are those with 100 visible tracks.")
    ] = None,
    split_rule: options.Rule = None,
    collection: Collection = Collection(),
) -> None:
    """Build a data set from the Million Playlist Dataset; interrupted, the same command goes on where it was.

    Without sizes all playlists and all tracks are drawn by their hashes (20 % test, 10 % valid, 70 % train);
    --test-playlists and --valid-playlists draw as many playlists instead, and test claims its tracks first. --preset
    paper: 100,000 train tracks that claim first, 400 valid and 100 test playlists of 10 to 101 tracks.
    """
    from larpbench.datasets.sources.mpd.build import build_mpd as build

    folder = collection.folder("mpd")
    print_built(folder, build(source, collection.to_build("mpd", split_rule), folder, challenge))


@spread
def build_lfm(
    source: Annotated[Path, typer.Option(help="Folder with the files of LFM-2b (.tsv.bz2, .tsv.gz, .tsv) or LFM-1b.")],
    collection: Collection = Collection(),
) -> None:
    """Build a data set from LFM-2b or LFM-1b: users are playlists; interrupted, the same command goes on.

    Users are drawn: 1,000 for test, 500 for valid, and for train until they have heard 100,000 tracks; test claims its
    tracks first. Valid and test playlists are 31 to 99 tracks of one contiguous run of listening, or a drawn subset
    where there are only listening-counts. --preset paper: 87,558 train tracks that claim first, 1,000 valid playlists.
    """
    from larpbench.datasets.sources.lfm.build import build_lfm as build

    folder = collection.folder("lfm")
    print_built(folder, build(source, collection.to_build("lfm"), folder))
