"""What the documentation tells people to type: found in its pages, and held against the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def commands_of(text: str) -> list[list[str]]:
    """Return the arguments of every ``larpbench`` command that stands in a block, in order."""
    lines = re.findall(r"^    (.*larpbench .*)$", text, re.MULTILINE)
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(part, comments=True)[1:] for part in parts if part.startswith("larpbench ")]


def python_of(text: str) -> list[str]:
    """Return the Python blocks."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def inline_of(text: str) -> list[list[str]]:
    """Return the words of every ``larpbench`` command within a line of text."""
    found = re.findall(r"`larpbench ([a-z][^`]*)`", text.replace("\\|", "|"))  # a bar in a table is escaped
    return [re.split(r"\s+", words.strip()) for words in found]


def resolved(words: list[str]) -> tuple[Any, list[str], Any]:
    """Return the command that the first words name, the words behind them and its parent; fail if there is none."""
    from larpbench.cli import app

    command, rest, context = typer.main.get_command(app), list(words), None
    while hasattr(command, "resolve_command") and rest:
        context = command.make_context(command.name, [], parent=context, resilient_parsing=True)
        _, command, rest = command.resolve_command(context, rest)
    return command, rest, context


def require_parses(arguments: list[str]) -> None:
    """Assert that a command line is one: the command, its options and their values. Nothing is run."""
    command, rest, parent = resolved(arguments)
    command.make_context(command.name, rest, parent=parent)  # a command keeps how its parents spell --help
