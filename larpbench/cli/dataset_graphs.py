"""``larpbench dataset build olga | disco-olga | artist-graph | toy-artists``: graphs of similar artists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import options
from larpbench.cli.build_summary import print_built

if TYPE_CHECKING:
    from larpbench.datasets.artists.files import GraphTables

OLGA_EPILOG = """Examples:

larpbench dataset build olga --source olga --edges artist_connections.npz

larpbench dataset build olga --source olga --edges similar.csv --low-level acousticbrainz --audio clips"""

DISCO_EPILOG = "Example: larpbench dataset build disco-olga --source disco-olga_data"

GRAPH_EPILOG = """Examples:

larpbench dataset build artist-graph --artists artists.csv --tracks songs.csv --edges similar.csv --output my-artists

larpbench dataset build artist-graph --artists a.csv --tracks s.csv --edges e.csv --audio clips --output my-artists

larpbench dataset build artist-graph --artists a.csv --tracks s.csv --edges e.csv --symmetrise --output my-artists"""

TOY_EPILOG = """Examples:

larpbench dataset build toy-artists --output toy

larpbench dataset build toy-artists --seed 7 --output toy-7"""

_GivenOutput = Annotated[Path, typer.Option("--output", help="Folder to write; its name is the data set's name.")]
_Audio = Annotated[
    Path | None,
    typer.Option(
        help="Folder of files named by track id, or CSV track_id,path. Artists without usable audio are dropped."
    ),
]
_Symmetrise = Annotated[
    bool,
    typer.Option("--symmetrise", help="If only some edges are listed in both directions, add the missing directions."),
]


def build_olga(
    source: Annotated[Path, typer.Option(help="Folder with olga.csv and, optionally, acousticbrainz.npy.")],
    edges: Annotated[
        Path,
        typer.Option(help="Your licensed similarities: CSV artist_a,artist_b, or scipy .npz in the order of olga.csv."),
    ],
    tracks: Annotated[Path | None, typer.Option(help="CSV track_id,title,artist,album of the songs.")] = None,
    low_level: Annotated[
        Path | None, typer.Option(help="Folder of AcousticBrainz low-level JSON files, instead of acousticbrainz.npy.")
    ] = None,
    low_level_songs: Annotated[int, typer.Option(min=1, help="Songs averaged into the vector of an artist.")] = 1,
    audio: _Audio = None,
    symmetrise: _Symmetrise = False,
    caption: options.Caption = "title",
    output: options.DatasetFolder = None,
) -> None:
    """Build OLGA from your own copy and your licensed edges.

    Artists and songs are those of olga.csv.
    """
    from larpbench.datasets.artists.olga import read_olga

    tables = read_olga(source, edges, tracks=tracks, low_level=low_level, low_level_songs=low_level_songs)
    words = "OLGA (Korzeniowski et al. 2021), own copy"
    _build("olga", output, tables, words, "edges: AllMusic", caption, audio, symmetrise)


def build_disco_olga(
    source: Annotated[
        Path, typer.Option(help="Folder with similar_to.npz, the *_mask.npy files and the features, such as clap.npy.")
    ],
    symmetrise: _Symmetrise = False,
    output: options.DatasetFolder = None,
) -> None:
    """Build the artist graph of the second paper.

    The source is your own copy of the archive of Groetschla et al. 2024.
    """
    from larpbench.datasets.artists.olga import read_disco_olga

    words = "disco-olga (Groetschla et al. 2024), own copy"
    licence = "none stated; edges: AllMusic"
    _build("disco-olga", output, read_disco_olga(source), words, licence, "title", None, symmetrise)


def build_artist_graph(
    artists: Annotated[Path, typer.Option(help="CSV or Parquet: artist_id,split[,name]; split: train, valid or test.")],
    tracks: Annotated[Path, typer.Option(help="CSV or Parquet: track_id,artist_id,title,artist,album.")],
    edges: Annotated[Path, typer.Option(help="CSV artist_a,artist_b, or scipy .npz in the order of the artists.")],
    output: _GivenOutput,
    features: Annotated[
        Path | None, typer.Option(help="Folder of NAME.npz files: arrays ids (artists) and embeddings.")
    ] = None,
    audio: _Audio = None,
    symmetrise: _Symmetrise = False,
    caption: options.Caption = "title",
    licence: Annotated[str, typer.Option(help="Licence of the data; it is kept with every result.")] = "unknown",
) -> None:
    """Build an artist graph from your own tables."""
    from larpbench.datasets.artists.tables import read_graph_tables

    tables = read_graph_tables(artists, tracks, edges, features)
    words = f"tables {artists.name}, {tracks.name} and {edges.name}"
    _build(output.resolve().name, output, tables, words, licence, caption, audio, symmetrise)


def build_toy_artists(
    output: _GivenOutput,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=options.LARGEST_SEED, help="Seed of another graph; the default is toy-artists."),
    ] = None,
) -> None:
    """Build the toy graph of 300 invented artists.

    The artists lie in planted communities. Another seed gives another graph of the same kind.
    """
    from larpbench.datasets.artists.toy import ToySpec, build_toy

    built = build_toy(output, None if seed is None else ToySpec(seed=seed))
    print_built(built.folder, built.manifest)


def _build(
    name: str,
    output: Path | None,
    tables: GraphTables,
    source: str,
    licence: str,
    caption: str,
    audio: Path | None,
    symmetrise: bool,
) -> None:
    from larpbench.datasets.artists.files import GraphOptions
    from larpbench.datasets.artists.tables import build_graph, symmetrised
    from larpbench.datasets.audio_files.named import find_audio

    folder = options.dataset_folder(name, output)
    chosen = GraphOptions(folder.resolve().name, source, licence, caption)
    tables = symmetrised(tables) if symmetrise else tables
    built = build_graph(tables, chosen, folder, audio=find_audio(audio) if audio else None)
    print_built(built.folder, built.manifest)
