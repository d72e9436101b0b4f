"""Several processes train as one does: the same losses and gradients, one writer, and any number of them goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support import forked, ranked
from support.resuming import checkpoints, require_same
from support.small_data import build_split_tables

from larpbench.errors import UsageError
from larpbench.training import launch
from larpbench.training.draws import of_the_whole_batch
from larpbench.training.ranks import Ranks, as_current

NO_GRADIENT = "self.key.bias"
"""Attention does not depend on it: its gradient is rounding, of which Adam makes steps."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the ranks of all launches found: ``found("whole", 2, 0)``."""
    folder = tmp_path_factory.mktemp("ranks")
    build_split_tables(folder / "one")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, ranked.__file__, str(folder)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr

    def read(name: str, count: int, rank: int) -> dict[str, np.ndarray]:
        return dict(np.load(folder / f"{name}-{count}-{rank}.npz", allow_pickle=False))

    read.folder = folder
    return read


def of(found: dict[str, np.ndarray], case: str, start: str) -> dict[str, np.ndarray]:
    return {name: value for name, value in found.items() if name.startswith(f"{case}/{start}")}


def require_close(found, expected, tolerance):
    """Assert that arrays differ by no more than a share of their length, and of 1."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.linalg.norm(found[name] - value) <= tolerance * max(np.linalg.norm(value), 1), name


@pytest.mark.parametrize("case", ranked.CASES)
def test_two_processes_have_the_losses_and_gradients_of_one_with_the_whole_batch(found, case):
    one, two = found("updates", 1, 0), found("updates", 2, 0)
    losses = of(one, case, "loss.")
    assert len(losses) == ranked.UPDATES * {"wtc": 1, "ttc": 2, "tpc": 3}[ranked.CASES[case]["stage"]]
    require_close(of(two, case, "loss."), losses, 1e-6)
    gradients = of(one, case, "gradient.")
    assert sum(np.abs(value).max() > 1e-3 for value in gradients.values()) > 8
    require_close(of(two, case, "gradient."), gradients, 1e-5)
    for start in ("optimiser.", "module.queue", "module.lookup", "module.model", "module.momentum"):
        expected = {name: value for name, value in of(one, case, start).items() if NO_GRADIENT not in name}
        assert expected
        require_close({name: two[name] for name in expected}, expected, 1e-4)


def test_all_ranks_have_the_same_weights_to_the_bit(found):
    for name, count in (("updates", 2), ("whole", 2), ("resumed", 3)):
        first = found(name, count, 0)
        for rank in range(1, count):
            other = found(name, count, rank)
            assert all(np.array_equal(other[each], value) for each, value in first.items())


def test_a_resumed_training_is_the_uninterrupted_one(found):
    """To the bit with as many processes as before; else to rounding."""
    whole, again = found("whole", 2, 0), found("resumed", 2, 0)
    assert whole["best_epoch"] > 0
    assert again.keys() == whole.keys()
    assert all(np.array_equal(again[name], value) for name, value in whole.items())
    require_close(found("resumed", 3, 0), whole, 1e-5)
    assert not list(found.folder.glob("*/.larpbench-*"))


def test_when_a_process_dies_the_others_say_so_and_any_number_goes_on(found):
    death = found("death", 2, 0)
    assert death["seconds"] < 30
    assert str(death["said"]).startswith("another process of this training has ended")
    assert "the same command continues from the last saved state" in str(death["said"])
    require_close(found("revived", 1, 0), found("whole", 2, 0), 1e-5)


def test_the_leading_process_waits_for_a_late_one_before_it_removes_what_both_read(found):
    assert [str(found("late", 2, rank)["read"]) for rank in range(2)] == ["weights", "weights"]
    assert [bool(found("late", 2, rank)["waited"]) for rank in range(2)] == [True, True]


@pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 5), slice(0, 5)])
def test_draws_of_some_rows_are_those_of_the_whole_batch(rows):
    module = torch.nn.ModuleList([torch.nn.Dropout(0.4), torch.nn.Dropout(0.2)])
    attention = torch.nn.functional.scaled_dot_product_attention
    batch, mask = torch.rand(5, 2, 6, 4), torch.rand(5, 1, 6, 6) > 0.2

    def run(x, mask):
        x = module[0](x) + torch.rand(len(x), 1, 1, 1)
        x = x + module[1](x.flatten(0, 1)).view_as(x)  # several rows of one in the first dimension
        return attention(x, x, x, attn_mask=mask, dropout_p=0.3)

    torch.manual_seed(0)
    whole, after = run(batch, mask), torch.rand(())
    torch.manual_seed(0)
    with of_the_whole_batch(rows, 5):
        own = run(batch[rows], mask[rows])
    assert torch.rand(()) == after
    torch.testing.assert_close(own, whole[rows])


def test_more_processes_than_tracks_in_a_batch_are_refused():
    many = Ranks()
    many.count = ranked.BATCH
    with as_current(many):
        ranked.made("heads")
        many.count += 1
        with pytest.raises(UsageError, match="8 processes share batches of 7 in stage tpc") as refused:
            ranked.made("heads")
    assert refused.value.allowed == "at most 7 processes"


@pytest.fixture
def command(tmp_path):
    data = build_split_tables(tmp_path / "one")
    vectors = f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'}"
    options = ("--size", "heads-plain", "--towers", f"{vectors},{vectors}", "--updates", "3")
    return ("train", "larp", "--dataset", str(data.folder), *options)


def launched(home: Path, *command: str) -> list[forked.Outcome]:
    """Call the command line in two processes, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "LARPBENCH_HOME": str(home), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [forked.start(*command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]
    return [each.communicate() for each in ranks]


def test_the_command_line(command, cli, home, tmp_path):
    """The checkpoints are those of one process, keys and all; only the leading process prints."""
    alone = cli(*command)
    assert alone.code == 0, alone.err
    leading, other = launched(tmp_path / "two", *command)
    assert (leading.code, other.code, other.out) == (0, 0, ""), leading.err + other.err
    assert leading.err.startswith("training by 2 processes\n")
    assert leading.out == alone.out.replace(str(home), str(tmp_path / "two"))
    assert "train larp" not in other.err
    require_same(tmp_path / "two", home)
    refused = launched(tmp_path / "two", *command[:4], "--towers", "tfidf")
    assert [each.code for each in refused] == [2, 2]
    assert "error: larp-tpc-fusion:tfidf@one is trained by one process, and this is one of 2" in refused[0].err
    assert "allowed: towers: larp in the sizes paper, tiny and heads-plain, and clap-ft" in refused[0].err
    assert "error" not in refused[1].err
    assert set(checkpoints(tmp_path / "two")) == set(checkpoints(home))


@pytest.mark.parametrize(
    ("environment", "here", "code", "said"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, False, 3, "training by several processes needs accelerate"),
        ({"WORLD_SIZE": "2"}, False, 3, "next: pip install 'larpbench[distributed]'; or unset WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, True, 2, "there is no LOCAL_RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "two"}, True, 2, "WORLD_SIZE is 'two', which is no number of processes"),
        ({"WORLD_SIZE": "0"}, True, 2, "WORLD_SIZE is '0'"),
        (
            {"ACCELERATE_USE_CPU": "True", "MASTER_PORT": "1"},
            True,
            2,
            "asked for several processes and has started one",
        ),
    ],
)
def test_what_the_launcher_has_not_done(command, cli, monkeypatch, environment, here, code, said):
    monkeypatch.setattr(launch, "importable", lambda module: here)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended = cli(*command[:2], "--dataset", "nowhere")
    assert ended.code == code
    assert said in ended.err
