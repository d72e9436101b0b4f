"""Plug-ins as pip leaves them on disk, the command line in a process of its own, and small data sets.

A plug-in may do anything to its process, so the command line never runs in that of the tests here.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support import forked

Records = dict[tuple[str, str], dict[str, Any]]
ENCODER_SOURCE = """
import numpy as np
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec

def vectors(batch):
    marks = np.arange(4 * len(batch)) * 7 % 11 + 1
    return marks.reshape(len(batch), 4).astype(np.float32)

class Plain:
    def encode(self, batch):
{encode}

def build(context, argument):
{build}

def card(name):
    return EncoderCard(
        name=name, version=1, summary="made by a test", modalities=("text",), dim=4, weights="none", licence="none",
        tracks_per_second=1000,
    )

SPEC = EncoderSpec(card({name!r}), factory=build)
"""


@dataclass(frozen=True)
class Plugins:
    """A folder of installed distributions, to be put on the path."""

    folder: Path

    def add(
        self,
        distribution: str,
        entries: Mapping[str, str],
        modules: Mapping[str, str],
        *,
        group: str = "larpbench.encoders",
        version: str = "1.0",
    ) -> None:
        """Write the modules and the metadata of one distribution."""
        for module, source in modules.items():
            (self.folder / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = [f"{name} = {target}" for name, target in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        importlib.invalidate_caches()

    def add_encoder(
        self,
        name: str,
        *,
        encode: str = "return vectors(batch)",
        build: str = "return Plain()",
        distribution: str | None = None,
        card_name: str | None = None,
        extra: str = "",
    ) -> None:
        """Write a distribution with one encoder, given the body of its methods."""
        module = f"{(distribution or name).replace('-', '_')}_module"
        source = ENCODER_SOURCE.format(encode=_indented(encode, 8), build=_indented(build, 4), name=card_name or name)
        self.add(distribution or f"dist-{name}", {name: f"{module}:SPEC"}, {module: source + extra})


def _indented(code: str, width: int) -> str:
    return "\n".join(" " * width + line for line in code.splitlines())


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    """An empty folder of distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    return Plugins(folder)


class CommandLine:
    """The command line of an environment, with a home and a working folder of its own."""

    def __init__(self, folder: Path, *, python: Path | str = sys.executable, plugins: Plugins | None = None) -> None:
        self.folder, self._python = folder, str(python)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [str(plugins.folder)] if plugins else []
        paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        self._environment = {**os.environ, "LARPBENCH_HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(paths)}

    def __call__(self, *arguments: str | Path, probes: bool = False) -> forked.Outcome:
        """Call ``larpbench`` with these arguments; with `probes`, plug-ins are first imported in other processes.

        An environment of its own always does that, and test_plugin_code.py.
        """
        if self._python == sys.executable:
            return forked.run(*arguments, cwd=self.folder, env=self._environment, probes=probes)
        return self.python("-m", "larpbench", *map(str, arguments))

    def python(self, *arguments: str) -> forked.Outcome:
        """Call the interpreter."""
        done = subprocess.run(
            [self._python, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return forked.Outcome(done.returncode, done.stdout, done.stderr)

    def records(self, output: str = "results") -> Records:
        """Return the records of a results folder by encoder and recommender, one seed each."""
        found: Records = {}
        for path in sorted((self.folder / output).glob("*/*/*/*/*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["status"] == "ok":
                record["playlists"] = pl.read_parquet(path.with_suffix(".playlists.parquet")).to_dicts()
            found[record["cell"]["encoder"], record["cell"]["recommender"]] = record
        return found


@pytest.fixture
def command_line(tmp_path: Path, plugins: Plugins) -> CommandLine:
    """The command line with the plug-ins of the fixture `plugins`."""
    return CommandLine(tmp_path / "work", plugins=plugins)


@pytest.fixture
def call_in(tmp_path: Path) -> Callable[..., CommandLine]:
    """Make further command lines: ``call_in("name", plugins=...)``."""
    return lambda name, **options: CommandLine(tmp_path / name, **options)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three playlists of four tracks, one a split, with given roles."""
    return _build(tmp_path_factory.mktemp("tiny"), {"train": 1, "valid": 1, "test": 1})


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen test playlists: enough tracks that recall@40 is no matter of course."""
    return _build(tmp_path_factory.mktemp("crowd"), {"train": 2, "test": 15})


def _build(folder: Path, playlists: Mapping[str, int]) -> Path:
    tracks = ["track_id,title,artist,album,split"]
    entries = ["playlist_id,track_id,split,role"]
    words = ["blue", "night", "river", "stone", "summer", "glass", "wolf"]
    for split, count in playlists.items():
        for playlist in range(count):
            for number in range(4):
                track = f"{split}-{playlist}-{number}"
                title = f"{words[(playlist + number) % 7]} {words[(3 * playlist + 2) % 7]} {number}"
                tracks.append(f"{track},{title},artist {playlist % 5},album {playlist},{split}")
                role = "member" if split == "train" else "seed" if number < 2 else "heldout"
                entries.append(f"{split}-{playlist},{track},{split},{role}")
    (folder / "tracks.csv").write_text("\n".join([*tracks, ""]))
    (folder / "playlists.csv").write_text("\n".join([*entries, ""]))
    built = CommandLine(folder)(
        "dataset", "build", "csv", "--tracks", "tracks.csv", "--playlists", "playlists.csv", "--output", "data"
    )
    assert built.code == 0, built.err
    return folder / "data"


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, crowd: Path) -> Records:
    """The records of two built-in encoders and of the sound plug-in ``neighbour``, where there is no other plug-in."""
    folder = tmp_path_factory.mktemp("undisturbed")
    plugins = Plugins(folder / "site")
    plugins.folder.mkdir()
    plugins.add_encoder("neighbour")
    line = CommandLine(folder / "work", plugins=plugins)
    done = line("run", "--dataset", crowd, "--encoders", "random,tfidf,neighbour", "--seeds", "1")
    assert done.code == 0, done.err
    return lasting(line.records())


def lasting(records: Records) -> Records:
    """Return records without what may differ between two runs of the same cell."""
    passing = ("costs", "versions", "machine", "created")
    return {key: {k: v for k, v in record.items() if k not in passing} for key, record in records.items()}


@pytest.fixture
def require_undisturbed(undisturbed: Records) -> Callable[..., None]:
    """Assert that encoders scored as where there is no other plug-in: ``require_undisturbed(line, "random", ...)``."""

    def require(line: CommandLine, *encoders: str) -> None:
        found = lasting(line.records())
        for encoder in encoders:
            key = (encoder, "itemknn")
            assert key in found, f"no record of {encoder}"
            assert found[key] == undisturbed[key]

    return require
