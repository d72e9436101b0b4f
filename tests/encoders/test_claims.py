"""Claims on shards: one owner at a time, kept by touches, taken over when the owner is gone. They only save work."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.quick_claims import BEAT, LAPSE

from larpbench import owners, storage
from larpbench.encoders.run import claims as claims_module
from larpbench.encoders.run.claims import Claims, claim_of, sweep
from larpbench.encoders.run.keeping import CLAIM_PREFIX
from larpbench.encoders.run.shards import Shard
from larpbench.errors import StorageError
from larpbench.owners import Owner
from larpbench.runtime import Cost
from larpbench.testing.torture import shared

ELSEWHERE = "00c0ffee"  # no machine of ours


def put_claim(path: Path, owner: object, seconds_ago: float = 0.0) -> Path:
    """What an owner elsewhere has left."""
    file = claim_of(path) / str(owner)
    file.parent.mkdir()
    touched(file, seconds_ago)
    return file


def touched(file: Path, seconds_ago: float) -> None:
    file.touch()
    os.utime(file, (time.time() - seconds_ago,) * 2)


def taken_within(claims: Claims, path: Path, seconds: float) -> float | None:
    """After how many seconds it could be taken."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if claims.take(path) is None:
            return waited
        time.sleep(BEAT / 2)
    return None


def elsewhere(pid: int = 1) -> Owner:
    return Owner(pid, ELSEWHERE, "0a1b2c3d", "node-7.cluster")


def test_eight_workers_and_kills_lose_nothing_and_change_nothing(monkeypatch, capsys):
    asked = {"workers": 8, "kills": 6, "shards": 64, "tracks": 4, "pause": 0.05}
    monkeypatch.setattr(sys, "argv", ["shared", *(f"--{name}={value}" for name, value in asked.items())])
    code, printed = shared.main(), capsys.readouterr()
    assert code == 0, printed
    found = {name: float(value) for name, value in map(str.split, printed.out.splitlines())}
    assert {found[name] for name in ("lost", "different", "again", "left", "failed")} == {0}
    assert (found["kills"], found["shards"]) == (6, 64)
    assert found["recomputed"] <= 6 * 5  # what a worker has claimed at a time: what it encodes, and what it reads ahead


def test_one_has_a_shard_and_others_learn_who_that_is(tmp_path):
    path = tmp_path / "shard-000000.safetensors"
    with Claims() as one, Claims() as other:
        assert one.take(path) is None
        assert one.take(path) is None
        holder = other.take(path)
        assert holder is not None
        assert holder.owner is not None
        assert (holder.owner.pid, holder.lapsed) == (os.getpid(), False)
        assert f"process {os.getpid()}, last sign of life" in str(holder)
        one.release(path)
        assert other.take(path) is None
        assert one.take(path) is not None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alive", [False, True])
def test_of_many_takers_of_one_claim_one_gets_it(tmp_path, ended, alive):
    """A claim that has lapsed, and one that comes and goes: whoever looks has at most one owner."""
    machine = owners._machine()
    takers, rounds = 8, 40
    for number in range(rounds):
        path = tmp_path / f"shard-{number:06d}.safetensors"
        pid = os.getpid() if alive else ended.pid
        put_claim(path, Owner(pid, machine, "00000000", "here"))
        start, held, inside, most = threading.Barrier(takers), [], [0], [0]
        guard = threading.Lock()

        def work(path=path, start=start, held=held, inside=inside, most=most, guard=guard):
            with Claims() as claims:
                start.wait()
                for _ in range(3):
                    if claims.take(path) is None:
                        with guard:
                            held.append(1)
                            inside[0] += 1
                            most[0] = max(most[0], inside[0])
                        time.sleep(0)
                        with guard:
                            inside[0] -= 1
                        claims.release(path)

        threads = [threading.Thread(target=work) for _ in range(takers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (most[0], bool(held)) == ((0, False) if alive else (1, True))
    left = {each.name for each in tmp_path.iterdir()}
    assert len(left) == (rounds if alive else 0)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from(["take", "release", "die"])), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_shard_never_has_two_owners(tmp_path_factory, ended, steps):
    folder = tmp_path_factory.mktemp("claims")
    paths = [folder / f"shard-{number}" for number in range(2)]
    workers = [Claims() for _ in range(3)]
    owner_of: dict[Path, int | None] = dict.fromkeys(paths)
    for worker, place, what in steps:
        path = paths[place]
        if what == "take":
            took = workers[worker].take(path) is None
            assert took is (owner_of[path] in (None, worker))
            owner_of[path] = worker if took else owner_of[path]
        elif what == "release":
            workers[worker].release(path)
            owner_of[path] = None if owner_of[path] == worker else owner_of[path]
        elif owner_of[path] == worker:  # its process ends, and another one has its place
            file = claim_of(path) / workers[worker]._owner
            file.rename(file.with_name(str(ended)))
            workers[worker]._mine.pop(path)
            owner_of[path] = None
    for each in workers:
        each.__exit__()


def test_a_claim_of_another_machine_lapses_when_nobody_touches_it(tmp_path, quick):
    path = tmp_path / "shard"
    put_claim(path, elsewhere())
    with Claims() as claims:
        holder = claims.take(path)
        assert holder is not None
        assert "node-7.cluster (process 1, last sign of life 0 s ago)" in str(holder)
        waited = taken_within(claims, path, 5)
        assert waited is not None
        assert waited >= LAPSE / 2


def test_an_owner_that_works_on_is_alive_as_long_as_that_takes(tmp_path, quick):
    path = tmp_path / "shard"
    with Claims() as one, Claims() as other:
        one.take(path)
        assert taken_within(other, path, 2 * LAPSE) is None


@pytest.mark.parametrize("skew", [-3_600.0, 3_600.0])
def test_clocks_that_differ_do_not_matter(tmp_path, quick, monkeypatch, skew):
    """Two hosts and a file server whose clock is an hour off; then a host that stamps files by its own clock."""
    real = claims_module._touched

    def by_the_server(file):
        real(file)
        os.utime(file, (time.time() + skew,) * 2)
        return file.stat().st_mtime

    monkeypatch.setattr(claims_module, "_touched", by_the_server)
    alive, dead = tmp_path / "alive", tmp_path / "dead"
    living = put_claim(alive, elsewhere(), -skew)
    put_claim(dead, elsewhere(2), 10 * LAPSE - skew)
    with Claims() as claims:
        end = time.monotonic() + 2 * LAPSE
        took = None
        while time.monotonic() < end:
            touched(living, -skew)
            assert claims.take(alive) is not None
            took = took or claims.take(dead) is None
            time.sleep(BEAT / 2)
        assert took
    monkeypatch.setattr(claims_module, "_touched", real)
    with Claims() as claims:  # the age of its claims is wrong by an hour, but it touches them
        end = time.monotonic() + 2 * LAPSE
        while time.monotonic() < end:
            touched(living, -skew)
            assert claims.take(alive) is not None
            time.sleep(BEAT / 2)
        assert taken_within(claims, alive, 5) is not None


def test_a_damaged_claim_harms_nothing(tmp_path, quick):
    empty, file, odd, strange = (tmp_path / name for name in ("empty", "file", "odd", "strange"))
    claim_of(empty).mkdir()
    claim_of(file).write_text("")
    put_claim(odd, "no owner at all")
    put_claim(strange, "99999999999.00c0ffee.0a1b2c3d.x" * 3)
    with Claims() as claims:
        assert claims.take(empty) is None
        assert claims.take(file) is None
        assert "unknown owner" in str(claims.take(odd))
        assert claims.take(strange) is not None
        assert taken_within(claims, odd, 5) is not None
        assert taken_within(claims, strange, 5) is not None
    assert not list(tmp_path.iterdir())


def test_a_claim_of_another_user_keeps_nobody_from_the_work(tmp_path, quick, ended, monkeypatch):
    """What is claimed there can be seen or not, and never be changed; even root, as whom tests run, must not."""
    lapsed, unseen, alive = (tmp_path / name for name in ("lapsed", "unseen", "alive"))
    put_claim(lapsed, ended)
    put_claim(unseen, elsewhere())
    living = put_claim(alive, elsewhere(2))

    def refused(name, real, theirs):
        def call(path, *rest):
            if theirs & {path, path.parent, *rest}:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real(path, *rest)

        monkeypatch.setattr(*name, call)

    mine = {claim_of(path) for path in (lapsed, unseen, alive)}
    real = os.utime
    refused((os, "utime"), os.utime, mine)
    refused((os, "listdir"), os.listdir, {claim_of(unseen)})
    refused((Path, "rename"), Path.rename, mine)  # as in a sticky folder
    with Claims() as claims:
        assert claims.take(lapsed) is None
        assert "unknown owner" in str(claims.take(unseen))
        began = time.monotonic()
        while claims.take(unseen) is not None:
            assert time.monotonic() - began < 5
            real(living)
            assert claims.take(alive) is not None
            time.sleep(BEAT / 2)
        assert time.monotonic() - began > LAPSE / 2
    assert sorted(tmp_path.iterdir()) == sorted(mine)


@pytest.mark.parametrize("own", [0o022, 0o002])
def test_a_claim_can_be_taken_over_by_whoever_may_write_the_folder(tmp_path, own):
    before = os.umask(own)
    try:
        with Claims() as claims:
            claims.take(tmp_path / "shard-1")
            assert claim_of(tmp_path / "shard-1").stat().st_mode & 0o777 == 0o777 & ~own
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose a folder"), (errno.EACCES, "choose")]
)
def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path, monkeypatch, number, says):
    def full(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", full)
    with Claims() as claims, pytest.raises(StorageError, match=f"(?s)cannot write.*shard-1.*{says}"):
        claims.take(tmp_path / "shard-1")
    assert not list(tmp_path.iterdir())


def test_where_claims_are_impossible_everything_can_be_taken(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "no")

    monkeypatch.setattr(Path, "rename", refuse)
    with Claims() as one, Claims() as other:
        for claims in (one, other):
            assert claims.take(tmp_path / "shard-1") is None
            assert claims.take(tmp_path / "shard-2") is None
    assert not list(tmp_path.iterdir())


def test_only_what_no_living_writer_has_is_swept(tmp_path, ended):
    machine = owners._machine()
    here, gone = Owner(os.getpid(), machine, "00000001", "here"), Owner(ended.pid, machine, "00000002", "here")
    recent, old = elsewhere(), Owner(1, ELSEWHERE, "00000003", "node-8")
    kept, swept = set(), set()
    for owner, seconds, living in ((here, 9e4, True), (gone, 0, False), (recent, 60, True), (old, 7_200, False)):
        for make in ("file", "claim"):
            if make == "file":
                place = tmp_path / f"{storage.OWN_PREFIX}shard-000001.safetensors.{owner}"
                touched(place, seconds)
            else:
                place = put_claim(tmp_path / f"shard-{owner.token}", owner, seconds).parent
            (kept if living else swept).add(place.name)
    storage.sweep(tmp_path)
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert swept


def test_a_sound_shard_stays_and_a_damaged_one_is_replaced(tmp_path, monkeypatch):
    shard = Shard(tmp_path / "shard-000000.safetensors", "key", 0, 4)
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    for links in (True, False):
        if not links:
            monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
        shard.write(vectors, Cost(1.0, 1.0))
        first = shard.path.stat()
        shard.write(vectors, Cost(2.0, 2.0))
        assert (shard.path.stat().st_ino, shard.read()[1].wall_s) == (first.st_ino, 1.0)
        shard.path.write_bytes(b"damaged")
        shard.write(vectors, Cost(3.0, 3.0))
        np.testing.assert_array_equal(shard.read()[0], vectors)
        assert shard.read()[1].wall_s == 3.0
        assert [each.name for each in tmp_path.iterdir()] == [shard.path.name]
        shard.path.unlink()


def test_an_owner_is_read_back_from_its_name():
    owner = Owner.new()
    assert Owner.parse(str(owner)) == owner == Owner.of_file(f"{CLAIM_PREFIX}shard-1.safetensors.{owner}")
    assert not owner.has_ended()
    for name in ("", "shard-1.safetensors", "1.2.3.4", f"{owner}/..", "x" * 300):
        assert Owner.parse(name) is None
