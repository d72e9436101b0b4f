"""Claims on shards in an object store: proven before they are used, one owner at a time, taken over when it is gone."""

from __future__ import annotations

import os
import threading
import time

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from support import disk_bucket
from support.quick_claims import BEAT, LAPSE
from support.shared_bucket import torture

from larpbench import owners
from larpbench.encoders.run.bucket import PROBE_PREFIX, Bucket
from larpbench.encoders.run.claims import Claims
from larpbench.encoders.run.keeping import CLAIM_PREFIX
from larpbench.encoders.run.remote import Remote
from larpbench.encoders.run.remote_claims import RemoteClaims
from larpbench.owners import Owner
from larpbench.testing.torture.shared_work import Scene

SHARD = "toy/key/shard-000000.safetensors"


@pytest.fixture(autouse=True)
def stores(monkeypatch):
    disk_bucket.register()
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])


@pytest.fixture
def bucket(tmp_path):
    return Bucket(f"diskbucket://{tmp_path}/bucket")


def elsewhere(pid: int = 1) -> Owner:
    return Owner(pid, "00c0ffee", "0a1b2c3d", "node-7.cluster")


def put(bucket, owner, generation=1):
    bucket.write(f"toy/key/{CLAIM_PREFIX}shard-000000.safetensors.{generation}", f"{owner}\n7\n".encode())


def claims_in(bucket):
    return sorted(each for each in bucket.names("toy/key") if each.startswith(CLAIM_PREFIX))


def taken_within(claims, path, seconds):
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if claims.take(path) is None:
            return waited
        time.sleep(BEAT / 2)
    return None


@pytest.mark.parametrize(
    ("url", "refuses"),
    [
        ("memory://bucket", None),
        ("diskbucket://{folder}", None),
        ("awaitedbucket://{folder}", None),
        ("carelessbucket://{folder}", "it cannot create an object exclusively"),
        ("plainbucket://{folder}", "it cannot create an object exclusively"),
        ("file://{folder}", "it cannot create an object exclusively"),
    ],
)
def test_exclusive_create_is_tried_before_anything_is_claimed(tmp_path, capsys, url, refuses):
    remote = Remote(url.format(folder=tmp_path / "bucket"), tmp_path)
    (tmp_path / "bucket").mkdir()
    for _ in range(2):
        assert type(remote.claims()) is (Claims if refuses else RemoteClaims)
    assert not any(each.startswith(PROBE_PREFIX) for each in remote.names(tmp_path))
    printed = capsys.readouterr().err
    assert printed.count("holds no claims") == (1 if refuses else 0)
    assert (refuses or "") in printed


def raises(error):
    def refuse(*_, **__):
        raise error

    return refuse


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("rm_file", PermissionError("AccessDenied: s3:DeleteObject")),
        ("pipe_file", TypeError("unexpected keyword argument 'mode'")),
        ("pipe_file", OSError(38, "A header you provided implies functionality that is not implemented")),
        ("_create", OSError(22, "At least one of the pre-conditions you specified did not hold")),
    ],
)
def test_a_store_that_ends_the_try_with_an_error_holds_no_claims(bucket, monkeypatch, method, error):
    real = disk_bucket.DiskBucket._create
    calls = []

    def second(self, *arguments):
        calls.append(1)
        if len(calls) > 1:
            raise error
        real(self, *arguments)

    monkeypatch.setattr(disk_bucket.DiskBucket, method, second if method == "_create" else raises(error))
    assert str(error.args[-1])[:30] in bucket.refuses_claims


def test_a_store_that_changes_what_it_says_it_kept_holds_no_claims(bucket, monkeypatch):
    def claim_to_fail(self, written, path):
        there = os.path.exists(path)  # noqa: PTH110
        written.replace(path)
        if there:
            raise FileExistsError(path)

    monkeypatch.setattr(disk_bucket.DiskBucket, "_create", claim_to_fail)
    assert "has changed" in bucket.refuses_claims


def test_one_has_a_shard_and_others_learn_who_that_is(bucket, tmp_path):
    path = tmp_path / SHARD
    with RemoteClaims(bucket, tmp_path) as one, RemoteClaims(bucket, tmp_path) as other:
        assert one.take(path) is None
        assert one.take(path) is None
        holder = other.take(path)
        assert (holder.owner.pid, holder.lapsed) == (os.getpid(), False)
        assert f"process {os.getpid()}, last sign of life" in str(holder)
        one.release(path)
        assert claims_in(bucket) == []
        assert other.take(path) is None
        assert one.take(path) is not None
        other.release(path)
    assert claims_in(bucket) == []


def test_who_gives_up_lets_the_next_one_have_it_at_once(bucket, tmp_path):
    path = tmp_path / SHARD
    with RemoteClaims(bucket, tmp_path) as other:
        with pytest.raises(KeyboardInterrupt), RemoteClaims(bucket, tmp_path) as one:
            one.take(path)
            assert other.take(path) is not None
            raise KeyboardInterrupt
        assert other.take(path) is None
        other.release(path)
    assert claims_in(bucket) == []  # those of all generations


@pytest.mark.parametrize("alive", [False, True])
def test_of_many_takers_of_one_claim_one_gets_it(bucket, tmp_path, ended, alive):
    takers, rounds = 6, 15
    for number in range(rounds):
        path = tmp_path / f"toy/key/shard-{number:06d}.safetensors"
        owner = Owner(os.getpid(), owners._machine(), "00000000", "here") if alive else ended
        bucket.write(f"toy/key/{CLAIM_PREFIX}{path.name}.1", f"{owner}\n0\n".encode())
        start, took = threading.Barrier(takers), []

        def work(path=path, start=start, took=took):
            claims = RemoteClaims(bucket, tmp_path)  # none gives it up
            start.wait()
            for _ in range(3):
                if claims.take(path) is None:
                    took.append(claims._owner)

        threads = [threading.Thread(target=work) for _ in range(takers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({*took}) == (0 if alive else 1)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from(["take", "made", "give up", "die", "late"])),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_shard_never_has_two_owners(tmp_path_factory, ended, steps):
    """Nor when one that was thought dead comes back, gives a sign of life, and gives up."""
    folder = tmp_path_factory.mktemp("claims")
    bucket = Bucket("memory://bucket")
    MemoryFileSystem.store.clear()
    paths = [folder / f"toy/key/shard-{number}" for number in range(2)]
    workers = [RemoteClaims(bucket, folder) for _ in range(3)]
    owner_of, late, made = dict.fromkeys(paths), {path: [] for path in paths}, set()
    for worker, place, what in steps:
        path, claims = paths[place], workers[worker]
        if path in made:
            continue
        if what == "take":
            took = claims.take(path) is None
            assert took is (owner_of[path] in (None, worker))
            owner_of[path] = worker if took else owner_of[path]
        elif what == "late" and late[path]:
            other, generation, content = late[path].pop()
            bucket.write(other._name(path, generation), content)
            other._give_up(path, generation, made=False)
        elif owner_of[path] != worker:
            continue
        elif what == "die":  # its process ends for all one can see, and another one has its place
            generation = claims._mine.pop(path)
            late[path].append((claims, generation, claims._content()))
            bucket.write(claims._name(path, generation), f"{ended}\n0\n".encode())
            owner_of[path] = None
        else:
            claims._let_go(path, made=what == "made")
            owner_of[path] = None
            if what == "made":
                made.add(path)
                assert claims_in(bucket) == sorted(each for each in claims_in(bucket) if path.name not in each)
    for each in workers:
        each.__exit__()


def test_a_claim_of_another_machine_lapses_when_its_object_stays_as_it_is(bucket, tmp_path, quick):
    path = tmp_path / SHARD
    put(bucket, elsewhere())
    with RemoteClaims(bucket, tmp_path) as claims:
        holder = claims.take(path)
        assert "node-7.cluster (process 1, last sign of life 0 s ago)" in str(holder)
        assert taken_within(claims, path, 5) >= LAPSE / 2
        assert len(claims_in(bucket)) == 2  # of both generations


def test_an_owner_that_works_on_is_alive_as_long_as_that_takes(bucket, tmp_path, quick):
    path = tmp_path / SHARD
    with RemoteClaims(bucket, tmp_path) as one, RemoteClaims(bucket, tmp_path) as other:
        one.take(path)
        assert taken_within(other, path, 2 * LAPSE) is None


@pytest.mark.parametrize("knows_times", [True, False])
def test_an_old_claim_is_watched_for_some_signs_of_life_only(bucket, tmp_path, monkeypatch, knows_times):
    """By the clock of the store, which may differ from ours; without one, for the whole lapse."""
    monkeypatch.setattr(RemoteClaims, "beat_seconds", BEAT)
    path = tmp_path / SHARD
    put(bucket, elsewhere())
    claim = tmp_path / "bucket" / "toy/key" / claims_in(bucket)[0]
    os.utime(claim, (time.time() - 3_600 - 1_000,) * 2)
    real = disk_bucket.DiskBucket.modified

    def an_hour_behind(self, path):
        if not knows_times:
            raise NotImplementedError
        found = real(self, path).timestamp()
        return type(real(self, path)).fromtimestamp(found if ".larpbench-claim" in path else found - 3_600)

    monkeypatch.setattr(disk_bucket.DiskBucket, "modified", an_hour_behind)
    assert bucket.refuses_claims is None
    with RemoteClaims(bucket, tmp_path) as claims:
        holder = claims.take(path)
        assert holder.doubtful is knows_times
        assert 900 < holder.seconds < 1_100 if knows_times else holder.seconds < 1
        assert (taken_within(claims, path, 0.5) is not None) is knows_times


def test_no_sign_of_life_brings_a_claim_back(bucket, tmp_path, quick, monkeypatch):
    """The object is deleted after the last one, though that one takes its time."""
    real = disk_bucket.DiskBucket.pipe_file

    def slow(self, path, value, mode="overwrite", **kwargs):
        if mode == "overwrite":
            time.sleep(5 * BEAT)
        real(self, path, value, mode=mode, **kwargs)

    monkeypatch.setattr(disk_bucket.DiskBucket, "pipe_file", slow)
    with RemoteClaims(bucket, tmp_path) as claims:
        for number in range(4):
            path = tmp_path / f"toy/key/shard-{number:06d}.safetensors"
            assert claims.take(path) is None
            time.sleep(1.5 * BEAT)
            claims.release(path)
            time.sleep(6 * BEAT)
            assert claims_in(bucket) == []


def test_a_create_whose_answer_was_lost_is_this_one_s_own(bucket, tmp_path, monkeypatch):
    path = tmp_path / SHARD
    real, lost = disk_bucket.DiskBucket.pipe_file, [1]

    def answer_lost(self, path, value, mode="overwrite", **kwargs):
        real(self, path, value, mode=mode, **kwargs)
        if mode == "create" and lost:
            lost.pop()
            raise ConnectionResetError("connection reset by peer")

    assert bucket.refuses_claims is None
    bucket.write("toy/key/card.json", b"{}")
    monkeypatch.setattr("larpbench.encoders.run.bucket._PAUSES", (0.0,))
    monkeypatch.setattr(disk_bucket.DiskBucket, "pipe_file", answer_lost)
    with RemoteClaims(bucket, tmp_path) as claims:
        assert claims.take(path) is None
        assert claims_in(bucket) == [f"{CLAIM_PREFIX}shard-000000.safetensors.1"]
        claims.release(path)
    assert claims_in(bucket) == []


@pytest.mark.parametrize("content", [b"", b"no owner at all", b"\xff\xfe", b"x" * 10_000])
def test_a_damaged_claim_lapses_like_any_other(bucket, tmp_path, quick, content):
    path = tmp_path / SHARD
    bucket.write(f"toy/key/{CLAIM_PREFIX}shard-000000.safetensors.1", content)
    with RemoteClaims(bucket, tmp_path) as claims:
        assert "unknown owner" in str(claims.take(path))
        assert taken_within(claims, path, 5) is not None
        claims.release(path)
    assert claims_in(bucket) == []


@pytest.mark.parametrize("alike", [pytest.param(True, marks=pytest.mark.slow), False])
def test_machines_and_kills_lose_nothing_and_change_nothing(tmp_path, alike):
    url, kills = f"diskbucket://{tmp_path}/bucket", 3
    found = torture(Scene(tmp_path, 24, 4, 0.05), url, workers=3, kills=kills, alike=alike)
    assert (found["kills"], found["failed"], found["lost"], found["different"], found["left"]) == (kills, 0, 0, 0, 0)
    assert found["recomputed"] <= 5 * kills  # what a machine has claimed at a time


def test_without_claims_machines_and_kills_lose_nothing_either(tmp_path):
    scene = Scene(tmp_path, 12, 4, 0.05)
    found = torture(scene, f"carelessbucket://{tmp_path}/bucket", workers=2, kills=1, alike=True)
    assert (found["failed"], found["lost"], found["different"], found["left"]) == (0, 0, 0, 0)
    assert "holds no claims" in scene.printed.read_text()
