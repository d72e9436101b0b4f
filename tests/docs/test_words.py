"""The words of the documentation and of the help: plain English, and a guide to every folder."""

from __future__ import annotations

import importlib
import re

import pytest
from support.doc_commands import DOCS, ROOT

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted(path for path in DOCS.rglob("*.md") if path.name != "cli.md"),  # made of the help, which SOURCES hold
]
SOURCES = sorted((ROOT / "larpbench" / "cli").glob("*.py"))
# Phrases of earlier versions, and what to write in their place.
PHRASES = {
    r"less the (visible half|playlist's)": "every test track except the playlist's own seed tracks",
    r"has shown nothing|have shown nothing": "the result is no evidence that the encoder works",
    r"holds chance": "contains the chance level",
    r"\bleaves and is counted\b|\bleave, counted\b": "is dropped; the build reports how many, by reason",
    r"\bsays? nothing of\b": "is no evidence about",
    r"keeps? to and what": "conformance tests",
    r"how much of a score is the draw": "the variance over draws",
    r"\bprove(s|d)? (a|the|that|it|all) ": "verify",
    r"(?<![\"._])\b(un)?proven\b(?!\")": "verified, unverified",
    r"\bnothing is heard\b": "the data set has no audio",
    r"\bclaims? (its|their) tracks\b|\bclaims? first\b": "take their tracks first",
    r"goes on (from there|where it (was|ended|stopped))": "the same command continues it",
    r"\bwhat is asked\b": "the task",
    r"\bsays (it|them) in full\b": "list them",
}


def found(text):
    flat = re.sub(r"\s+", " ", text)
    return {hit[0]: instead for phrase, instead in PHRASES.items() for hit in re.finditer(phrase, flat, re.IGNORECASE)}


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_private_phrase(path):
    text = re.sub(r"<!-- table: .*?<!-- /table -->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found(text) == {}


def test_contributing_names_every_folder():
    """By itself or beside its parent; the families of adapters are one row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = "\n".join(re.findall(r"^\|.*$", text, re.MULTILINE))
    package = ROOT / "larpbench"
    for folder in sorted({path.parent for path in package.rglob("*.py")} - {package}):
        if "adapters" in folder.relative_to(package).parts[:-1]:
            continue
        name = folder.relative_to(ROOT).as_posix()
        parent = folder.parent.relative_to(ROOT).as_posix()
        line = next((row for row in rows.splitlines() if row.startswith(f"| `{parent}`")), "")
        assert f"`{name}`" in rows or f"`{folder.name}`" in line, name
    for name in re.findall(r"`(larpbench/[\w/]+)`", rows):
        assert (ROOT / name).is_dir(), name
    for name in re.findall(r"`(larpbench/[\w/]+\.py)`", text):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_files_of_the_package_exist(path):
    text = path.read_text(encoding="utf-8")
    for name in set(re.findall(r"`(larpbench(?:/[\w-]+)+(?:\.\w+)?)`", text)):
        assert (ROOT / name).exists(), name
    for name in set(re.findall(r"\blarpbench(?:\.[a-z]\w*)+\.[A-Z]\w*", text)):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    for module, names in re.findall(r"^from (larpbench[\w.]*) import (.+)$", text, re.MULTILINE):
        for name in names.split(","):
            assert hasattr(importlib.import_module(module), name.strip()), (module, name)
