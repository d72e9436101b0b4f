"""From what a user writes to an engine; nothing is started here."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larpbench.engine.base import LOCAL
from larpbench.engine.choice import engine_named
from larpbench.engine.ray_cluster import shared_out
from larpbench.errors import UsageError


def test_local_is_this_process():
    assert engine_named("local") is LOCAL
    assert engine_named(LOCAL) is LOCAL


@pytest.mark.parametrize("name", ["ray", "ray:auto", "ray:10.0.0.1:6379", "ray:head.cluster:6379", "ray:[::1]:6379"])
def test_addresses_of_clusters(name):
    engine = engine_named(name, workers=3)
    assert engine.address == (name.partition(":")[2] or None)
    assert not engine.is_local


@pytest.mark.parametrize(
    "name", ["", "Ray", "spark", "ray:", "ray:head", "ray:head:", "ray:head:port", "local:1", "ray:ray://head:10001"]
)
def test_what_is_no_engine(name):
    with pytest.raises(UsageError, match="no engine") as refused:
        engine_named(name)
    assert "ray:HOST:PORT" in refused.value.allowed


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"workers": 2.5}, {"gpus_per_worker": -1}, {"gpus_per_worker": 1.5}, {"shard_timeout": 0}],
)
def test_numbers_that_make_no_sense(options):
    with pytest.raises(UsageError):
        engine_named("ray", **options)


@pytest.mark.parametrize("name", [None, 3, ["ray"]])
def test_what_is_not_even_a_name(name):
    with pytest.raises(UsageError, match="the engine is"):
        engine_named(name)


def test_options_need_workers():
    with pytest.raises(UsageError, match="--workers, --shard-timeout"):
        engine_named("local", workers=2, shard_timeout=3)


@pytest.mark.parametrize("command", [("run",), ("plan",), ("encode", "--encoder", "tfidf")])
def test_without_ray_the_command_that_installs_it(cli, with_demo, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = cli(*command, "--engine", "ray", *(("--encoders", "tfidf") if command[0] != "encode" else ()))
    assert done.code == 3, done.err
    assert "pip install 'larpbench[ray]'" in done.err


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_engine_ends_before_any_work(cli, command):
    done = cli(command, "--engine", "dask", "--dataset", "nowhere")
    assert done.code == 2
    assert "no engine 'dask'" in done.err


def test_parts_and_workers_are_two_ways(cli, with_demo):
    done = cli("encode", "--encoder", "tfidf", "--part", "1/2", "--engine", "ray")
    assert done.code == 2
    assert "one of them" in done.err


def test_no_cluster_at_an_address_is_said_within_seconds(cli, with_demo, tmp_path):
    pytest.importorskip("ray")
    done = cli("run", "--encoders", "tfidf", "--output", tmp_path / "r", "--engine", "ray:127.0.0.1:1")
    assert done.code == 1
    assert "no Ray cluster answers at 127.0.0.1:1" in done.err
    assert "ray start --head" in done.err
    assert not [*(tmp_path / "r").rglob("*.json")]


def test_what_a_plan_says_of_workers(cli, with_demo):
    pytest.importorskip("ray")
    arguments = ("plan", "--encoders", "tfidf", "--recommenders", "all", "--engine", "ray")
    wall = {}
    for workers in (2, 8):
        done = cli(*arguments, "--workers", workers)
        assert done.code == 0, done.err
        line = next(line for line in done.out.splitlines() if "wall-clock time" in line)
        assert line.startswith(f"with {workers} workers")
        wall[workers] = int(line.split("roughly ")[1].split(" s")[0])
    assert wall[8] < wall[2]


MACHINES = st.lists(st.tuples(st.integers(0, 64), st.integers(0, 8)), min_size=1, max_size=6)


@given(MACHINES, st.integers(1, 64), st.none() | st.integers(1, 100), st.sampled_from([None, 0, 0.5, 1, 2]))
def test_workers_fit_into_the_machines(machines, threads, workers, gpus):
    try:
        room = shared_out(machines, threads, workers, gpus)
    except UsageError:
        needed = gpus if gpus is not None else float(any(has for _, has in machines))
        assert not any(cpus and has >= needed for cpus, has in machines)
        return
    assert 1 <= room.cpus <= max(threads, 1)
    assert 1 <= room.workers <= (workers or room.workers)
    fits = sum(
        min(cpus // room.cpus, int(has / room.gpus + 1e-9) if room.gpus else cpus)
        for cpus, has in machines
        if has >= room.gpus
    )
    assert room.workers <= fits


def test_a_worker_takes_a_cpu_for_each_thread():
    assert shared_out([(16, 0), (16, 0)], 4, None, None).workers == 8
    assert shared_out([(16, 0)], 16, None, None) == shared_out([(16, 0)], 64, None, None)
    assert shared_out([(16, 4), (16, 0)], 1, None, None).workers == 4  # one for each GPU
    assert shared_out([(16, 4)], 1, None, 0.5).workers == 8
    assert shared_out([(2, 0)], 2, 2, None).cpus == 1  # two are wanted
