"""The pages belong together: all are in the site, what is generated is current, links and commands lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from support.doc_commands import DOCS, ROOT, inline_of, resolved

PROSE = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_every_page_is_in_the_site():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_the_reference_of_commands_is_current():
    written = subprocess.run(
        [sys.executable, "-m", "typer", "larpbench.cli", "utils", "docs", "--name", "larpbench"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
    ).stdout  # fmt: skip
    assert (DOCS / "cli.md").read_text(encoding="utf-8").strip() == written.strip(), "run: make docs"


@pytest.mark.parametrize("path", PROSE, ids=name_of)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[^\s<>\"]*)?", link), link
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w]+", "-", title.lower()).strip("-") for title in titles}, link


@pytest.mark.parametrize("path", [path for path in PROSE if path.name != "cli.md"], ids=name_of)
def test_commands_within_the_text_exist_and_so_do_their_options(path):
    for words in inline_of(path.read_text(encoding="utf-8")):
        alternatives = [words]
        for place, word in enumerate(words):
            if re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", word):
                alternatives = [[*words[:place], each, *words[place + 1 :]] for each in word.split("|")]
                break
        for each in alternatives:
            command, _, _ = resolved([word for word in each if not word.startswith("-")])
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
            assert {word for word in each if word.startswith("--")} <= known, " ".join(each)
