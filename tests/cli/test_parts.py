"""One encode in several processes: parts of it, and what a run waits for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time

import pytest
from support import forked
from support.small_data import random_tables, split_tables

from larpbench import load_dataset
from larpbench.benchmark.plan import default_store
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import sharing
from larpbench.encoders.run import store as store_module
from larpbench.encoders.run.claims import Claims, claim_of
from larpbench.encoders.run.parts import shards_of_part
from larpbench.errors import UsageError, WaitError
from larpbench.owners import Owner
from larpbench.storage import home

SHARDS = 8


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(store_module, "TEXT_SHARD", 16)


@pytest.fixture
def data(small):
    return small.folder / "small"


@pytest.fixture
def split_data(cli, tmp_path):
    tables = split_tables(tmp_path / "split-tables", tracks=40)
    places = ("--tracks", tables.tracks, "--playlists", tables.playlists, "--output", tmp_path / "split")
    assert cli("dataset", "build", "csv", *places).code == 0
    return tmp_path / "split"


def shards_of(spec_name, data, split="test"):
    dataset = load_dataset(str(data))
    return default_store()._shards(get_encoder(spec_name), dataset, dataset.split(split), 0)


@pytest.mark.parametrize("parts", [3, 20])
def test_all_parts_together_are_the_whole(cli, data, parts, monkeypatch):
    encoded = 0
    for number in range(1, parts + 1):
        done = cli("encode", "--encoder", "tfidf", "--dataset", data, "--part", f"{number}/{parts}", "--json")
        assert done.code == 0, done.err
        found = json.loads(done.out)
        assert (found["part"], found["split"], found["encoder"]) == (f"{number}/{parts}", "test", "tfidf")
        counts = found["shards"]
        mine = len(range(number - 1, SHARDS, parts))
        assert counts == {"encoded": mine, "there": 0, "other_parts": SHARDS - mine}
        encoded += mine
    assert encoded == SHARDS
    again = cli("encode", "--encoder", "tfidf", "--dataset", data, "--part", f"1/{parts}")
    mine = len(range(0, SHARDS, parts))
    line = f"tfidf (test), part 1/{parts}: shards: 0 encoded, {mine} there already, {SHARDS - mine} of other parts"
    assert line in again.out
    in_parts = [shard.path.read_bytes()[-200:] for shard in shards_of("tfidf", data)]
    monkeypatch.setenv("LARPBENCH_HOME", str(data.parent / "other-home"))
    assert cli("encode", "--encoder", "tfidf", "--dataset", data).code == 0
    assert [shard.path.read_bytes()[-200:] for shard in shards_of("tfidf", data)] == in_parts


def test_parts_of_several_encoders_and_of_another_split(cli, split_data):
    names = "tfidf,random"
    done = cli("encode", "--encoder", names, "--dataset", split_data, "--split", "train", "--part", "2/2", "--json")
    assert done.code == 0, done.err
    assert [(each["encoder"], each["split"]) for each in json.loads(done.out)] == [
        (n, "train") for n in names.split(",")
    ]
    for name in names.split(","):
        there = [shard.path.is_file() for shard in shards_of(name, split_data, "train")]
        assert len(there) > 1
        assert there == [bool(number % 2) for number in range(len(there))]


def test_a_part_of_a_combination_is_one_of_what_it_is_made_of(cli, data):
    done = cli("encode", "--encoder", "tfidf+random,tfidf", "--dataset", data, "--part", "1/2")
    assert done.code == 0, done.err
    assert [line.split(" ")[0] for line in done.out.splitlines()] == ["tfidf", "random"]
    assert "note: of tfidf+random, this encodes a part of tfidf (test), random (test); the rest" in done.err
    assert not list(home().glob("embeddings/tfidf-random*"))


def test_there_is_nothing_to_do_for_vectors_in_a_file(cli, small, data):
    done = cli("encode", "--encoder", f"precomputed:{small.vectors}", "--dataset", data, "--part", "1/2", "--json")
    assert (done.code, json.loads(done.out)) == (0, [])


def test_an_encoder_that_learns_from_vectors_gets_parts_of_these(cli, split_data):
    done = cli("encode", "--encoder", "factors:tfidf+random", "--dataset", split_data, "--part", "1/2")
    assert done.code == 0, done.err
    assert "training and the rest: larpbench encode without --part" in done.err
    assert {line.split(",")[0] for line in done.out.splitlines()} == {
        f"{name} ({split})" for name in ("tfidf", "random") for split in ("train", "valid", "test")
    }


@pytest.mark.parametrize(
    "part", ["0/4", "5/4", "1", "1/0", "-1/4", "1/4/2", "a/b", "1.5/2", "1/ 4", "٣/٤", "1/" + "9" * 50]
)
def test_what_is_no_part_is_refused_before_anything_is_read(cli, part):
    with pytest.raises(UsageError, match="1 <= I <= N"):
        shards_of_part(part)
    refused = cli("encode", "--encoder", "tfidf", "--dataset", "nowhere", "--part", part)
    assert refused.code == 2
    assert "is no part" in refused.err
    assert ("JOB_COMPLETION_INDEX + 1" in refused.err) is (part == "0/4")


def test_a_run_does_not_wait_longer_than_it_is_told(cli, data, tmp_path):
    held = shards_of("tfidf", data)[3].path
    held.parent.mkdir(parents=True)
    run = ("run", "--dataset", data, "--encoders", "tfidf,random", "--output", tmp_path / "results")
    with Claims() as other:
        other.take(held)
        stopped = cli(*run, "--wait", "0")
        assert stopped.code == 1
        assert "cells computed, 0 kept, 1 failed" in stopped.err
        assert re.search(
            rf"tfidf \(test\): others are encoding what is missing: 1 shard of \S+ \(process {os.getpid()}", stopped.err
        )
        assert "'shard-000003'" in stopped.err
        assert "run the same command again when they are done" in stopped.err
        began = time.monotonic()
        assert cli(*run, "--wait", "0.4").code == 1
        assert time.monotonic() - began > 0.4
    done = cli(*run, "--wait", "0")
    assert done.code == 0, done.err
    assert "1 cells computed" in done.err
    assert not list(home().rglob(".larpbench-*"))


def test_what_is_waited_for_one_shard_counts_for_the_next(data, monkeypatch):
    """`--wait` is in all: shards that come one after the other must not begin it anew."""
    dataset, held = load_dataset(str(data)), [shards_of("tfidf", data)[number].path for number in (3, 5)]
    held[0].parent.mkdir(parents=True)
    store = default_store()
    store.patience = sharing.Patience(5.0)
    with Claims() as other:
        clock = Clock({3.0: lambda: other.release(held[0])})
        monkeypatch.setattr(sharing, "time", clock)
        for each in held:
            other.take(each)
        with pytest.raises(WaitError, match=r"1 shard of .*shard-000005"):
            store.embed(get_encoder("tfidf"), dataset, "test", 0)
    assert held[0].exists()
    assert 5.0 <= clock.now < 7.5


class Clock:
    """Time that passes while one sleeps, and what happens then."""

    def __init__(self, events):
        self.now, self.events = 0.0, events

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for when in [each for each in self.events if each <= self.now]:
            self.events.pop(when)()


def test_claims_of_a_machine_that_is_gone_are_taken_over_even_without_waiting(cli, data, monkeypatch, tmp_path):
    monkeypatch.setattr(Claims, "beat_seconds", 0.02)
    for shard in shards_of("tfidf", data)[2:4]:
        file = claim_of(shard.path) / str(Owner(1, "00c0ffee", "0a1b2c3d", "node-7"))
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (time.time() - 1_000,) * 2)
    done = cli("run", "--dataset", data, "--encoders", "tfidf", "--output", tmp_path / "results", "--wait", "0")
    assert done.code == 0, done.err
    assert not list(home().rglob(".larpbench-*"))


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(cli, seconds):
    assert cli("run", "--wait", seconds).code == 2


def test_a_run_waits_and_goes_on_with_what_others_leave_undone(cli, data, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_FIRST_LOOK_S", 0.01)
    held = [shards_of("tfidf", data)[number].path for number in (3, 5)]
    held[0].parent.mkdir(parents=True)
    with Claims() as other:
        for each in held:
            other.take(each)
        letting_go = threading.Timer(0.5, lambda: [other.release(each) for each in held])
        letting_go.start()
        done = cli("encode", "--encoder", "tfidf", "--dataset", data)
        letting_go.join()
    assert done.code == 0, done.err
    assert "tfidf (test): waiting for 2 shards of" in done.err
    assert all(shard.is_sound() for shard in shards_of("tfidf", data))


def test_a_store_that_is_complete_and_cannot_be_written_is_read(cli, data):
    assert cli("encode", "--encoder", "tfidf", "--dataset", data).code == 0
    folders = [path for path in home().joinpath("embeddings").rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        again = cli("encode", "--encoder", "tfidf", "--dataset", data)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert again.code == 0, again.err


def test_a_disk_that_is_full_ends_an_encode_and_leaves_no_claim(tmp_path):
    tables = random_tables(tmp_path / "tables")
    env = {**os.environ, "LARPBENCH_HOME": str(tmp_path / "home")}
    build = ("--tracks", tables.tracks, "--playlists", tables.playlists, "--output", tmp_path / "data")
    assert forked.run("dataset", "build", "csv", *build, env=env).code == 0
    encode = ("encode", "--encoder", "tfidf", "--dataset", tmp_path / "data")
    full = forked.run(*encode, env=env, file_size=30_000)
    assert full.code == 1
    assert "cannot write: File too large" in full.err
    assert not list((tmp_path / "home").rglob(".larpbench-*"))
    assert forked.run(*encode, env=env).code == 0


INDEXED = """
for index in 0 1 2 3; do
  JOB_COMPLETION_INDEX=$index bash -c 'echo encode $((JOB_COMPLETION_INDEX + 1))/4'
done
"""


def test_parts_run_at_once_as_jobs_of_an_array_do(tmp_path):
    """As in docs/scaling.md: an index that counts from 0, and processes that know nothing of each other."""
    tables = random_tables(tmp_path / "tables")
    env = {**os.environ, "LARPBENCH_HOME": str(tmp_path / "home")}
    build = ("--tracks", tables.tracks, "--playlists", tables.playlists, "--output", tmp_path / "data")
    assert forked.run("dataset", "build", "csv", *build, env=env).code == 0
    lines = subprocess.run(["bash", "-c", INDEXED], capture_output=True, text=True, check=True).stdout.splitlines()
    parts = [line.split()[1] for line in lines]
    assert parts == ["1/4", "2/4", "3/4", "4/4"]
    encode = ("encode", "--encoder", "tfidf,random", "--dataset", tmp_path / "data", "--json")
    jobs = [forked.start(*encode, "--part", part, env=env) for part in [*parts, "1/4"]]
    ended = [job.communicate() for job in jobs]
    assert [each.code for each in ended] == [0] * 5, [each.err for each in ended]
    counts = [each["shards"] for job in ended for each in json.loads(job.out)]
    assert sum(each["encoded"] for each in counts) >= 2
    whole = forked.run(*encode[:-1], env=env)
    assert whole.code == 0
    assert "encode tfidf" not in whole.err
    assert not list((tmp_path / "home").rglob(".larpbench-*"))
