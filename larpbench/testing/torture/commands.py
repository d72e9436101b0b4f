"""The commands that are killed: what they are, and which of their files are finished work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from larpbench.testing.torture.inputs import AUDIO, LISTS, PLAYLISTS, SLICES, TRACKS

DATA, RESULTS = "data", ("results-1", "results-2")
HOME = "home"
_CELLS = "*/*/*/*/*.json"


@dataclass(frozen=True)
class Command:
    """A command line that writes.

    Attributes:
        name: What the table calls it.
        arguments: ``{inputs}`` stands for the folder of inputs, ``{place}`` for the folder to write to.
        finished: Patterns of files, below ``{place}``, that are written last and never again.
        prepared: Whether it reads what the lines of `PREPARED` make.
    """

    name: str
    arguments: tuple[str, ...]
    finished: tuple[str, ...] = ()
    prepared: bool = True

    def line(self, inputs: Path, place: Path) -> list[str]:
        """Return the arguments for one place."""
        return [each.format(inputs=inputs, place=place) for each in self.arguments]


_BUILD_CSV = (
    *("dataset", "build", "csv", "--tracks", f"{{inputs}}/{TRACKS}", "--playlists", f"{{inputs}}/{PLAYLISTS}"),
    *("--audio", f"{{inputs}}/{AUDIO}", "--clip-seconds", "3"),
)
_BUILD_FOLDER = (
    *("dataset", "build", "folder", "--audio", f"{{inputs}}/{AUDIO}", "--playlists", f"{{inputs}}/{LISTS}"),
    *("--train-fraction", "0", "--min-length", "2", "--clip-seconds", "3"),
)
_BUILD_MPD = (
    *("dataset", "build", "mpd", "--source", f"{{inputs}}/{SLICES}"),
    *("--train-tracks", "150", "--valid-playlists", "15", "--test-playlists", "25"),
)
_RUN = ("run", "--dataset", f"{{inputs}}/{DATA}", "--seeds", "1", "--budget", "1")

COMMANDS = (
    Command("dataset build csv", (*_BUILD_CSV, "--output", "{place}/data"), ("data/dataset.json",), prepared=False),
    Command(
        "dataset build folder", (*_BUILD_FOLDER, "--output", "{place}/data"), ("data/dataset.json",), prepared=False
    ),
    Command("dataset build mpd", (*_BUILD_MPD, "--output", "{place}/data"), ("data/dataset.json",), prepared=False),
    Command(
        "run",
        (*_RUN, "--encoders", "tfidf", "--recommenders", "itemknn,clcrec,dropoutnet", "--output", "{place}/results"),
        (f"results/{_CELLS}", f"{HOME}/embeddings/*/*/shard-*.safetensors"),
    ),
    Command(
        "encode",
        ("encode", "--encoder", "musicnn-mtt", "--dataset", f"{{inputs}}/{DATA}"),
        (f"{HOME}/embeddings/*/*/shard-*.safetensors",),
    ),
    Command(
        "train",
        (
            *("train", "larp", "--dataset", f"{{inputs}}/{DATA}", "--towers", "musicnn-mtt,tfidf"),
            *("--stages", "wtc,ttc", "--updates", "4"),
        ),
        (f"{HOME}/embeddings/*/*/shard-*.safetensors", f"{HOME}/checkpoints/*/[!.]*/card.json"),
    ),
    Command(
        "train factors",
        ("train", "factors", "--dataset", f"{{inputs}}/{DATA}", "--views", "musicnn-mtt,tfidf"),
        (f"{HOME}/embeddings/*/*/shard-*.safetensors", f"{HOME}/checkpoints/*/[!.]*/card.json"),
    ),
    Command("report", ("report", f"{{inputs}}/{RESULTS[0]}", "--output", "{place}/report")),
    Command(
        "results merge",
        ("results", "merge", *(f"{{inputs}}/{name}" for name in RESULTS), "--output", "{place}/merged"),
        (f"merged/{_CELLS}",),
    ),
)

PREPARED = (
    (*_BUILD_CSV, "--output", f"{{inputs}}/{DATA}"),
    (*_RUN, "--encoders", "tfidf,random", "--output", f"{{inputs}}/{RESULTS[0]}"),
    (*_RUN, "--encoders", "same-artist", "--output", f"{{inputs}}/{RESULTS[1]}"),
)
"""Command lines that make what other commands read."""
