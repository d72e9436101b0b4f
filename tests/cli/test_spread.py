"""Dataclasses of options: on the command line each field is an option of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from larpbench.cli.spread import spread


@dataclass(frozen=True)
class Where:
    place: Annotated[str, typer.Option(help="Which place.")]
    floors: Annotated[int, typer.Option(min=0, help="How many floors.")] = 2


@spread
def visit(name: Annotated[str, typer.Argument()], where: Where, loud: Annotated[bool, typer.Option("--loud")] = False):
    """Visit a place."""
    typer.echo(json.dumps({"name": name, **asdict(where), "loud": loud}))


@pytest.fixture
def call():
    app = typer.Typer()
    app.command()(visit)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_fields_are_options_with_their_defaults_and_limits(call):
    assert json.loads(call("me", "--place", "here").output) == {
        "name": "me",
        "place": "here",
        "floors": 2,
        "loud": False,
    }
    told = json.loads(call("me", "--floors", "5", "--place", "there", "--loud").output)
    assert told == {"name": "me", "place": "there", "floors": 5, "loud": True}
    assert call("me", "--place", "here", "--floors", "-1").exit_code == 2
    assert call("me").exit_code == 2  # a field without a default must be given


def test_the_help_is_that_of_the_fields(call):
    shown = call("--help").output
    for text in ("Visit a place.", "Which place.", "How many floors.", "--loud"):
        assert text in shown
