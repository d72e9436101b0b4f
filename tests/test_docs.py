"""Every larpbench command and Python block of the README works as it stands, and those of the pages on stand-ins."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from published_data import lfm_tables, mpd_slices, write_challenge, write_lfm, write_zip
from small_data import split_tables
from sounds import write_tone

ROOT = Path(__file__).parent.parent
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
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(cli, with_demo, workplace):
    lines = re.findall(r"^    (.*larpbench .*)$", README, re.MULTILINE)
    commands = [part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("larpbench")]
    assert len(commands) >= 3
    for command in commands:
        quick = ("--budget", "1", "--seeds", "1") if "--recommenders all" in command else ()
        outcome = cli(*shlex.split(command)[1:], *quick)
        assert outcome.code == 0, f"{command}: {outcome.err}"
    for command in INSTALLS:
        assert command in README
    inline = {shlex.split(found)[0] for found in re.findall(r"`larpbench ([a-z].*?)`", README)}
    for verb in inline:
        assert cli(verb, "--help").code == 0, verb


SMALL = {
    "mpd": ("--train-tracks", "150", "--valid-playlists", "10", "--test-playlists", "10", "--min-length", "5"),
    "lfm": (
        "--train-tracks",
        "80",
        "--valid-playlists",
        "2",
        "--test-playlists",
        "2",
        "--min-length",
        "2",
        "--max-length",
        "8",
    ),
}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "datasets").glob("*.md")), ids=lambda page: page.stem)
def test_the_commands_of_the_data_sets_pages(cli, tmp_path, monkeypatch, page):
    """As they stand, but the files are small and written by hand, so builds are told smaller sizes."""
    write_zip(tmp_path / "spotify_million_playlist_dataset.zip", mpd_slices())
    write_challenge(tmp_path / "challenge_set.json")
    write_lfm(tmp_path / "LFM-2b", lfm_tables())
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^    larpbench (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(command.startswith(f"dataset build {page.stem} ") for command in commands)
    for command in commands:
        arguments = shlex.split(command)
        outcome = cli(*arguments, *(SMALL[page.stem] if arguments[:2] == ["dataset", "build"] else ()))
        assert outcome.code == 0, f"{command}: {outcome.err}"


PAGES = ("index.md", "extend/encoder.md", "extend/recommender.md", "extend/dataset.md", "results-schema.md")


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_blocks_of_a_page(cli, with_demo, workplace, page):
    """In the order of the page, on the README's files; what a page takes as given is there."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    if "dataset build" not in text:
        made = cli(
            "dataset", "build", "csv", "--tracks", "tracks.csv", "--playlists", "playlists.csv", "--output", "my-data"
        )
        assert made.code == 0, made.err
    if page == "results-schema.md":
        assert cli("run", "--dataset", "my-data", "--encoders", "tfidf").code == 0
    for command in re.findall(r"^    larpbench (.*)$", text, re.MULTILINE):
        outcome = cli(*shlex.split(command))
        assert outcome.code == 0, f"{command}: {outcome.err}"
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, page, "exec"), {})


def test_every_page_is_in_the_site():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}


def test_the_reference_of_commands_is_current(tmp_path):
    written = subprocess.run(
        [sys.executable, "-m", "typer", "larpbench.cli", "utils", "docs", "--name", "larpbench"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
    ).stdout  # fmt: skip
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").strip() == written.strip(), "run: make docs"


def test_the_python_blocks(with_demo, workplace, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "tfidf itemknn" in capsys.readouterr().out


def test_links_lead_somewhere():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_readme_holds_the_committed_table():
    spec = importlib.util.spec_from_file_location("fill_readme", ROOT / ".ci" / "fill_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.filled(README, ROOT) == README, "run: make reproduce"
