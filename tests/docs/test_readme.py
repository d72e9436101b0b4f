"""Every command and Python block of the README works as it stands."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
from support.doc_commands import ROOT, commands_of, python_of, require_parses
from support.open_collections import write_onion
from support.small_data import split_tables
from support.sounds import write_tone

from larpbench.datasets.catalogue import fetched_folder
from larpbench.recommenders.training import GradientRecommender

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLS = ("pip install -c constraints.txt .", "pip install -c constraints.txt '.[test]' && pytest -n auto")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the README speaks of."""
    tables = split_tables(tmp_path / "given", tracks=60, playlists=60, lengths=(6, 12))
    for path, name in [
        (tables.vectors, "vectors.npz"),
        (tables.tracks, "tracks.csv"),
        (tables.playlists, "playlists.csv"),
    ]:
        shutil.copy(path, tmp_path / name)
    for number in range(6):
        write_tone(tmp_path / "library" / f"{number}.ogg", 200 + 90 * number, title=f"Song {number}", artist="A")
    (tmp_path / "playlists").mkdir()
    for name in "pq":
        (tmp_path / "playlists" / f"{name}.m3u").write_text("".join(f"../library/{n}.ogg\n" for n in range(6)))
    write_onion(fetched_folder("onion"))  # what `dataset fetch` would bring
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(GradientRecommender, "epochs", 2)
    return tmp_path


def test_the_commands(cli, with_demo, workplace):
    commands = commands_of(README)
    assert len(commands) >= 3
    for command in commands:
        if command[:2] == ["dataset", "fetch"]:
            require_parses(command)  # tests/datasets/test_fetching.py fetches
            continue
        quick = ("--budget", "1", "--seeds", "1") if "all" in command else ()
        outcome = cli(*command, *quick)
        assert outcome.code == 0, f"{command}: {outcome.err}"
    for command in INSTALLS:
        assert command in README


def test_the_python_blocks(with_demo, workplace, capsys):
    blocks = python_of(README)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "tfidf itemknn" in capsys.readouterr().out


def test_the_readme_holds_the_committed_table():
    spec = importlib.util.spec_from_file_location("fill_readme", ROOT / ".ci" / "fill_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.filled(README, ROOT) == README, "run: make reproduce"
