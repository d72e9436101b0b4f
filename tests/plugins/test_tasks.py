"""A plug-in task with an option and a kind of data set of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.small_data import build_split_tables

from larpbench import load_results

TASK = """
from pydantic import Field
from larpbench.tasks.base import TaskOptions
from larpbench.tasks.continuation.task import ContinuationTask

class SessionOptions(TaskOptions):
    width: int | None = Field(default=None, ge=1, description="numbers of a vector that are read")

class SessionTask(ContinuationTask):
    name = "sessions"
    summary = "continue listening sessions"
    protocol = "sessions-v1"
    kind = "sessions"
    Options = SessionOptions
    options: SessionOptions = SessionOptions()

    def execute(self, dataset, embeddings, recommender):
        cut = {name: each[:, : self.options.width].copy() for name, each in embeddings.items()}
        return super().execute(dataset, cut, recommender)

SESSIONS = SessionTask()
"""


@pytest.fixture
def sessions(plugins: Any, command_line: Any, tmp_path: Path) -> Path:
    plugins.add(
        "dist-sessions", {"sessions": "sessions_module:SESSIONS"}, {"sessions_module": TASK}, group="larpbench.tasks"
    )
    folder = build_split_tables(tmp_path / "data").folder
    manifest = folder / "dataset.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "kind": "sessions"}))
    return folder


def test_a_task_of_a_plugin_has_options_and_a_kind_of_data_set_of_its_own(sessions: Path, command_line: Any) -> None:
    described = command_line("describe", "task", "sessions", "--json")
    assert described.code == 0, described.err
    facts = json.loads(described.out)
    assert facts["kind"] == "sessions"
    assert facts["options"] == ["width=: numbers of a vector that are read"]

    run = ("run", "--task", "sessions", "--dataset", sessions, "--encoders", "random", "--seeds", "1")
    whole, narrow = command_line(*run), command_line(*run, "-O", "width=1")
    assert (whole.code, narrow.code) == (0, 0), whole.err + narrow.err
    records = [json.loads(path.read_text()) for path in (command_line.folder / "results").rglob("*.json")]
    assert {record["protocol"] for record in records} == {"sessions-v1", "sessions-v1/width=1"}
    assert len({record["key"] for record in records}) == 2
    assert len(load_results(command_line.folder / "results")) == 2
    again = command_line(*run, "-O", "width=1")
    assert "0 cells computed, 1 kept" in again.err

    for wrong, message in (
        (("-O", "width=0"), "allowed: numbers of a vector that are read"),
        (("-O", "height=1"), "has no option height"),
        (("--task", "continuation"), "'continuation' reads data sets of kind playlists"),
    ):
        refused = command_line(*run, *wrong)
        assert refused.code == 2
        assert message in refused.err
