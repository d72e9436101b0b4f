"""Training that is cut off goes on to the same weights; training that has gone wrong stops and says so."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.resuming import Interrupter, checkpoints, heard_data, require_same, states
from support.small_data import build_split_tables
from support.small_larp import small_recipe

from larpbench.encoders.larp import specs
from larpbench.encoders.larp.stage import StageTrainer
from larpbench.encoders.run import pipeline
from larpbench.training import resumable

KILLS = 3
SHOOTER = """
import importlib, os, sys
import larpbench.encoders.run.training, larpbench.tasks.validation, torch._dynamo  # comes with Adam
from larpbench.cli import main
from larpbench.evaluation import best
from larpbench.training import resumable
from support.forked import IMPORTED, Changes
from support.small_larp import shrink

for name in IMPORTED:
    importlib.import_module(name)
best.compile_once()
shrink()
resumable.SECONDS_BETWEEN_SAVES = 0.0

def train(home, printed, kill_at):
    os.environ["LARPBENCH_HOME"] = home
    sys.stdout = sys.stderr = open(printed, "w")
    changes = Changes(home, kill_at)
    sys.addaudithook(changes)
    try:
        main()
    finally:
        print("changes:", changes.count)

for line in sys.stdin:
    home, printed, kill_at = line.split()
    child = os.fork()  # torch has been loaded once for all
    if not child:
        train(home, printed, int(kill_at))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def data(tmp_path):
    return build_split_tables(tmp_path / "one")


@pytest.fixture
def command(data, tmp_path):
    vectors = f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'}"
    towers = f"{vectors},{vectors}"
    return ("train", "larp", "--dataset", str(data.folder), "--size", "heads-plain", "--towers", towers)


@pytest.fixture
def train(command, tmp_path):
    """Call the command in a process of its own, that kills itself before some change of a file: ``train(home, 7)``."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    call = [sys.executable, "-c", SHOOTER, *command, "--stages", "wtc,ttc"]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as shooter:

        def call_it(home: Path, kill_at: int = 0) -> tuple[int, str]:
            shooter.stdin.write(f"{home} {tmp_path / 'printed'} {kill_at}\n")
            shooter.stdin.flush()
            return int(shooter.stdout.readline()), (tmp_path / "printed").read_text()

        yield call_it


def test_weights_after_kills_at_random_moments_equal_those_of_an_uninterrupted_run(train, tmp_path):
    whole, killed_home = tmp_path / "whole", tmp_path / "killed"
    code, printed = train(whole)
    assert code == 0, printed
    changes = int(re.search(r"changes: (\d+)", printed)[1])
    assert changes > 100
    moments = random.Random(0)
    resumed = 0
    for _ in range(KILLS):
        code, printed = train(killed_home, moments.randrange(1, changes // (KILLS + 1)))
        assert code == -signal.SIGKILL, printed
        resumed += bool(states(killed_home))
    assert resumed, "no kill came while a stage was under way"
    code, printed = train(killed_home)
    assert code == 0, printed
    assert len(checkpoints(whole)) >= 3
    require_same(killed_home, whole)
    assert states(killed_home) == []
    assert not list(killed_home.rglob(".larpbench-tmp-*"))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)  # no processes beside this one


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("size", "seconds"), [("heads-plain", 0.0), ("tiny", 0.0), ("heads-plain", 1e9)])
def test_ctrl_c_in_any_stage(cli, command, tmp_path, monkeypatch, size, seconds):
    """In the first update, within an epoch, at its end, in the last stage; with a state, and without any."""
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", seconds)
    if size == "tiny":
        command = ("train", "larp", "--dataset", heard_data(tmp_path).folder, "--size", "tiny")
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "whole"))
    whole = cli(*command)
    assert whole.code == 0, whole.err
    home = tmp_path / "cut"
    monkeypatch.setenv("LARPBENCH_HOME", str(home))
    total = sum(
        json.loads((each / "card.json").read_text())["updates"] for each in checkpoints(tmp_path / "whole").values()
    )
    places = (1, 4, 7, total)
    presses = Interrupter(monkeypatch, StageTrainer, *places)
    left = []
    for _ in places:
        stopped = cli(*command)
        assert stopped.code == 130
        assert "run the same command again to continue" in stopped.err
        left += states(home)
    assert bool(left) is (seconds == 0)
    final = cli(*command)
    assert final.code == 0, final.err
    if seconds == 0:
        assert presses.count == total + len(places), "no update was done twice but those that were cut off"
    assert len(checkpoints(home)) >= 3
    require_same(home, tmp_path / "whole")


@pytest.mark.usefixtures("quick")
class TestLossesThatAreNoNumbers:
    def test_the_stage_and_update_are_named_and_the_best_weights_are_an_encoder(
        self, cli, command, data, home, tmp_path, monkeypatch
    ):
        losses = StageTrainer.losses

        def broken(trainer, anchors, draw):
            terms = losses(trainer, anchors, draw)
            if trainer.settings.stage == "ttc" and trainer.progress.update == 8:
                return {name: value * float("nan") for name, value in terms.items()}
            return terms

        monkeypatch.setattr(StageTrainer, "losses", broken)
        command = (*command, "--seed", "3")  # the first epoch of ttc is better than its start
        for _ in range(2):  # the second time it goes on, and ends in the same way
            stopped = cli(*command)
            assert stopped.code == 1
            assert "error: the loss of stage ttc is nan at update 8" in stopped.err
            assert "next: train with a lower learning rate" in stopped.err
            assert "Traceback" not in stopped.err
        kept = re.search(r"\(encoder (checkpoint:.+)\)", stopped.err)[1]
        assert set(checkpoints(home)) == {"larp-untrained", "larp-wtc"}
        run = cli("run", "--dataset", data.folder, "--encoders", f"{kept},{kept}:audio", "--output", tmp_path / "r")
        assert run.code == 0, run.err
        assert "2 cells computed, 0 kept, 0 failed" in run.err
        weights = load_file(Path(kept.partition(":")[2]) / "model.safetensors")
        assert all(np.isfinite(each).all() for each in weights.values())

    @pytest.mark.parametrize(
        ("batch", "said"),
        [
            (8, r"the (loss|vectors) of stage wtc (is|are) (nan|inf|not finite)"),
            (24, "the vectors of stage wtc are not finite after update 1"),  # validation comes before another loss
        ],
    )
    def test_a_learning_rate_that_is_far_too_high(self, cli, command, home, monkeypatch, batch, said):
        def steep(*arguments):
            made = small_recipe(*arguments)
            changes = {"learning_rate": 1e30, "batch": batch}
            return made.model_copy(update={"training": made.training and made.training.model_copy(update=changes)})

        monkeypatch.setattr(specs, "recipe", steep)
        stopped = cli(*command)
        assert stopped.code == 1
        assert re.search(f"error: {said}", stopped.err)
        assert "next: train with a lower learning rate" in stopped.err
        assert "best weights" not in stopped.err
        assert set(checkpoints(home)) == {"larp-untrained"}


@pytest.mark.usefixtures("quick")
def test_a_damaged_state_is_named(cli, command, home, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
    Interrupter(monkeypatch, StageTrainer, 3)
    assert cli(*command).code == 130
    (state,) = states(home)
    for damaged in (state.read_bytes()[:-100], b""):
        state.write_bytes(damaged)
        refused = cli(*command)
        assert refused.code == 2
        assert "a file of weights is missing or damaged" in refused.err
        assert f"where: {state}" in refused.err
        assert "next: delete it" in refused.err
        assert "Traceback" not in refused.err
    state.unlink()
    assert cli(*command).code == 0
