"""A store at an fsspec URL: shards are put there, and read through local copies whose digests are checked."""

from __future__ import annotations

import builtins
import json
import threading

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from larpbench import load_dataset
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import store as store_module
from larpbench.encoders.run.place import default_store
from larpbench.encoders.run.remote import Remote
from larpbench.encoders.run.remote_claims import RemoteClaims
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.errors import MissingPartError, StorageError, UsageError, WaitError
from larpbench.storage import home

URL = "memory://bucket/embeddings"


@pytest.fixture(autouse=True)
def bucket(monkeypatch):
    monkeypatch.setattr(store_module, "TEXT_SHARD", 16)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", URL)
    return fsspec.filesystem("memory")


@pytest.fixture
def data(small):
    return load_dataset(small.folder / "small")


@pytest.fixture
def encoded(monkeypatch):
    """The rows that were encoded."""
    rows = []
    real = store_module.encode_parts

    def counted(*arguments):
        for job, part, vectors, cost in real(*arguments):
            rows.append(part.start)
            yield job, part, vectors, cost

    monkeypatch.setattr(store_module, "encode_parts", counted)
    return rows


def remote_shards(bucket):
    return sorted(path for path in bucket.find("/bucket/embeddings") if path.endswith(".safetensors"))


def another_machine(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path_factory.mktemp("machine")))


def vectors(data, store=None):
    return (store or default_store()).embed(get_encoder("tfidf"), data, "test", 0).vectors


def test_another_machine_reads_what_one_has_encoded(data, bucket, encoded, monkeypatch, tmp_path_factory):
    first = vectors(data)
    assert len(encoded) == len(remote_shards(bucket)) == 8
    described = {path.rpartition("/")[2]: bucket.cat_file(path) for path in bucket.find("/bucket") if "json" in path}
    assert len(json.loads(described["ids.json"])) == 120
    assert "card.json" in described
    another_machine(monkeypatch, tmp_path_factory)
    store = default_store()
    assert store.missing_tracks(get_encoder("tfidf"), data, data.split("test"), 0) == 0
    np.testing.assert_array_equal(vectors(data, store), first)
    assert len(encoded) == 8
    assert len(list(home().glob("embeddings/*/*/*.safetensors"))) == 8  # the copies
    monkeypatch.delenv("LARPBENCH_EMBEDDINGS")
    np.testing.assert_array_equal(vectors(data), first)
    assert len(encoded) == 8


def test_only_what_is_missing_is_encoded_and_what_is_only_here_is_sent(
    data, bucket, encoded, monkeypatch, tmp_path_factory
):
    monkeypatch.delenv("LARPBENCH_EMBEDDINGS")
    whole = vectors(data)
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", URL)
    vectors(data)
    assert len(remote_shards(bucket)) == 8  # a kill may have come before the PUT
    assert {"ids.json", "card.json"} <= {path.rpartition("/")[2] for path in bucket.find("/bucket")}
    for path in remote_shards(bucket)[2:5]:
        bucket.rm_file(path)
    encoded.clear()
    another_machine(monkeypatch, tmp_path_factory)
    np.testing.assert_array_equal(vectors(data), whole)
    assert sorted(encoded) == [32, 48, 64]
    assert len(remote_shards(bucket)) == 8


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_remote_shard_is_encoded_anew_and_replaced(
    data, bucket, encoded, monkeypatch, tmp_path_factory, capsys, damage
):
    whole = vectors(data)
    path = remote_shards(bucket)[1]
    bucket.pipe_file(path, bucket.cat_file(remote_shards(bucket)[2]) if damage is None else damage)
    encoded.clear()
    another_machine(monkeypatch, tmp_path_factory)
    np.testing.assert_array_equal(vectors(data), whole)
    assert encoded == [16]
    assert "cannot be trusted, and is encoded anew" in capsys.readouterr().err
    another_machine(monkeypatch, tmp_path_factory)
    vectors(data)
    assert encoded == [16]
    assert not list(home().rglob(".larpbench-*"))


def test_machines_that_encode_at_once_come_to_the_same(data, bucket, encoded, tmp_path):
    """None is lost or different, and by the claims in the bucket none is encoded twice."""
    found = {}

    def work(number):
        root = tmp_path / f"machine-{number}"
        found[number] = vectors(data, EmbeddingStore(root, remote=Remote(URL, root)))

    machines = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in machines:
        each.start()
    for each in machines:
        each.join()
    assert len(encoded) <= 9  # two threads may, rarely, create one object in memory
    alone = vectors(data, EmbeddingStore(tmp_path / "alone"))
    assert len(found) == 4
    for each in found.values():
        np.testing.assert_array_equal(each, alone)
    assert len(remote_shards(bucket)) == 8


def test_a_file_system_of_fsspec_on_disk_serves_too(data, tmp_path, encoded):
    for name in ("one", "two"):
        root = tmp_path / name
        store = EmbeddingStore(root, remote=Remote(f"file://{tmp_path}/bucket", root))
        vectors(data, store)
    assert len(encoded) == 8
    assert len(list(tmp_path.glob("bucket/*/*/*.safetensors"))) == 8


@pytest.mark.parametrize("address", ["{folder}/elsewhere", "file://{folder}/elsewhere"])
def test_a_folder_is_a_root_like_any_other(data, monkeypatch, tmp_path, address):
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", address.format(folder=tmp_path))
    store = default_store()
    vectors(data, store)
    assert len(list(tmp_path.glob("elsewhere/*/*/*.safetensors"))) == 8
    assert (store.remote, store.checkpoints) == (None, home() / "checkpoints")


def test_parts_and_a_run_use_it(cli, small, bucket, monkeypatch, tmp_path, tmp_path_factory):
    data = small.folder / "small"
    for part in ("1/2", "2/2"):
        another_machine(monkeypatch, tmp_path_factory)
        done = cli("encode", "--encoder", "tfidf", "--dataset", data, "--part", part)
        assert done.code == 0, done.err
        assert "shards: 4 encoded, 0 there already" in done.out
    another_machine(monkeypatch, tmp_path_factory)
    ran = cli("run", "--dataset", data, "--encoders", "tfidf", "--output", tmp_path / "results")
    assert ran.code == 0, ran.err
    assert "encode tfidf" not in ran.err


def test_a_store_that_fails_is_an_error_that_says_what_to_do(data, bucket, monkeypatch, cli, small):
    def refuse(*_, **__):
        raise PermissionError("403 forbidden")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(StorageError, match=r"(?s)cannot write the remote store.*403 forbidden.*memory://bucket"):
        vectors(data)
    monkeypatch.setattr(MemoryFileSystem, "ls", refuse)
    failed = cli("encode", "--encoder", "tfidf", "--dataset", small.folder / "small")
    assert failed.code == 1
    assert "cannot read the remote store of embeddings" in failed.err
    assert "LARPBENCH_EMBEDDINGS" in failed.err


@pytest.fixture
def no_pauses(monkeypatch):
    """The tries of what has failed, without the time between them; the pauses that there would have been."""
    pauses = []
    monkeypatch.setattr("larpbench.encoders.run.bucket.time.sleep", pauses.append)
    return pauses


def lost_network(monkeypatch, answers, failures):
    """A network that goes away after so many writes, and comes back after so many tries."""
    real, tries = MemoryFileSystem.pipe_file, []

    def write(self, *arguments, **options):
        tries.append(1)
        if answers < len(tries) <= answers + failures:
            raise ConnectionResetError(104, "Connection reset by peer")
        return real(self, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", write)
    return tries


def test_a_network_that_comes_back_is_waited_for(data, bucket, encoded, monkeypatch, no_pauses, capsys):
    lost_network(monkeypatch, answers=9, failures=5)
    vectors(data)
    assert len(encoded) == len(remote_shards(bucket)) == 8
    assert len(no_pauses) == 5
    assert no_pauses[0] == 1
    printed = capsys.readouterr().err
    assert "warning: cannot write the remote store of embeddings (ConnectionResetError" in printed
    assert printed.count("trying again in") == 5


def test_a_network_that_stays_away_is_an_error_and_what_is_encoded_stays(
    data, bucket, encoded, monkeypatch, no_pauses, tmp_path_factory
):
    tries = lost_network(monkeypatch, answers=9, failures=1_000)
    with pytest.raises(StorageError, match=r"(?s)Connection reset by peer.*the same command continues"):
        vectors(data)
    assert sum(no_pauses) in (63, 126)  # a shard is claimed ahead by another thread, which may try, too
    assert len(remote_shards(bucket)) <= len(encoded) < 8
    here = len(list(home().rglob("*.safetensors")))
    assert here == len(encoded)
    tries.extend([1] * 1_000)
    monkeypatch.setattr(RemoteClaims, "beat_seconds", 0.001)
    monkeypatch.setattr("larpbench.encoders.run.keeping.LAPSE_SECONDS", 0.1)  # the claim could not be given up
    again = vectors(data)
    assert len(remote_shards(bucket)) == len(encoded) == 8
    np.testing.assert_array_equal(again, vectors(data, EmbeddingStore(tmp_path_factory.mktemp("alone"))))


def test_a_store_that_has_never_answered_is_not_waited_for(data, monkeypatch, no_pauses):
    monkeypatch.setattr(MemoryFileSystem, "ls", lambda *_: (_ for _ in ()).throw(TimeoutError("no answer")))
    with pytest.raises(StorageError, match="cannot read the remote store of embeddings: TimeoutError: no answer"):
        vectors(data)
    assert not no_pauses


@pytest.mark.parametrize("error", [PermissionError("403"), OSError("Forbidden: 403"), NotImplementedError("read only")])
def test_a_store_that_refuses_writing_is_not_waited_for_and_nothing_is_encoded(
    data, bucket, encoded, monkeypatch, no_pauses, error
):
    vectors(data)
    bucket.rm_file(remote_shards(bucket)[0])
    encoded.clear()
    monkeypatch.setenv("LARPBENCH_HOME", str(home() / "another"))

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    for path in bucket.find("/bucket"):
        if path.endswith(".json"):
            bucket.rm_file(path)
    with pytest.raises(StorageError, match="cannot write the remote store of embeddings"):
        vectors(data)
    assert encoded == no_pauses == []


def test_what_a_kill_left_before_the_put_is_sent_and_not_encoded_again(data, bucket, encoded, monkeypatch):
    """Another process on this machine has stored a shard here, and was killed before it was in the bucket."""
    whole = vectors(data)
    encoded.clear()
    lost = remote_shards(bucket)[3]
    bucket.rm_file(lost)
    [local] = home().glob(f"embeddings/*/*/{lost.rpartition('/')[2]}")
    hidden = local.rename(local.with_suffix(".hidden"))
    real = RemoteClaims.take

    def take(self, path):
        if hidden.exists():
            hidden.rename(local)
        return real(self, path)

    monkeypatch.setattr(RemoteClaims, "take", take)
    np.testing.assert_array_equal(vectors(data), whole)
    assert encoded == []
    assert bucket.cat_file(lost) == local.read_bytes()


def test_claims_on_shards_that_are_there_are_deleted(data, bucket, monkeypatch, tmp_path_factory):
    """Their owners were killed after the PUT."""
    vectors(data)
    there, absent = remote_shards(bucket)[:2]
    bucket.rm_file(absent)
    claims = [f"{path.rpartition('/')[0]}/.larpbench-claim-{path.rpartition('/')[2]}.1" for path in (there, absent)]
    for claim in claims:
        bucket.pipe_file(claim, b"1.00c0ffee.0a1b2c3d.node-7\n0\n")
    another_machine(monkeypatch, tmp_path_factory)
    store = default_store()
    store.patience.seconds = 0.0
    with pytest.raises(WaitError, match=r"(?s)1 shard of node-7 \(process 1.*shard-000001"):
        vectors(data, store)
    assert not bucket.exists(claims[0])
    assert bucket.exists(claims[1])


def test_a_shard_that_others_finish_while_one_waits_is_fetched(data, bucket, encoded, monkeypatch, tmp_path_factory):
    whole = vectors(data)
    path = remote_shards(bucket)[2]
    content = bucket.cat_file(path)
    bucket.rm_file(path)
    claim = f"{path.rpartition('/')[0]}/.larpbench-claim-{path.rpartition('/')[2]}.1"
    bucket.pipe_file(claim, b"1.00c0ffee.0a1b2c3d.node-7\n0\n")  # which outlives the shard: its owner is then killed
    encoded.clear()
    another_machine(monkeypatch, tmp_path_factory)
    monkeypatch.setattr("larpbench.encoders.run.sharing._FIRST_LOOK_S", 0.01)
    threading.Timer(0.3, bucket.pipe_file, (path, content)).start()
    np.testing.assert_array_equal(vectors(data), whole)
    assert encoded == []


def test_plan_list_and_describe_see_what_a_remote_store_has(cli, small, bucket, monkeypatch, tmp_path_factory):
    data = small.folder / "small"
    assert cli("encode", "--encoder", "tfidf", "--dataset", data, "--part", "1/2").code == 0
    another_machine(monkeypatch, tmp_path_factory)
    planned = cli("plan", "--dataset", data, "--encoders", "tfidf")
    assert planned.code == 0, planned.err
    assert "tracks to encode: 56" in planned.out
    assert not list(home().rglob("*.safetensors"))  # a plan copies nothing
    again = cli("encode", "--encoder", "tfidf", "--dataset", data, "--part", "1/2")
    assert "shards: 0 encoded, 4 there already, 4 of other parts" in again.out
    assert cli("list", "encoders").code == 0
    monkeypatch.setattr(MemoryFileSystem, "ls", lambda *_: (_ for _ in ()).throw(TimeoutError("no answer")))
    assert cli("list", "encoders").code == 0
    failed = cli("plan", "--dataset", data, "--encoders", "tfidf")
    assert failed.code == 1
    assert "cannot read the remote store of embeddings: TimeoutError: no answer" in failed.err


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
@pytest.mark.parametrize("rest", ["", "/prefix"])
def test_an_address_without_a_bucket_is_refused(cli, small, monkeypatch, kind, rest):
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (MemoryFileSystem(), url.partition("://")[2]))
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", f"{kind}://{rest}")
    refused = cli("encode", "--encoder", "tfidf", "--dataset", small.folder / "small")
    assert refused.code == 2
    assert f"embeddings in {kind}://{rest}: no bucket is named" in refused.err


@pytest.mark.parametrize("address", ["s3:/bucket/prefix", "://bucket", "file:/somewhere", "://", "file://"])
def test_an_address_with_a_typing_error_is_no_folder(cli, small, monkeypatch, tmp_path, address):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", address)
    refused = cli("encode", "--encoder", "tfidf", "--dataset", small.folder / "small")
    assert refused.code == 2
    assert "such as s3://bucket/prefix" in refused.err
    assert not [each for each in tmp_path.iterdir() if ":" in each.name or each.name == "tfidf"]


@pytest.mark.parametrize("address", ["nope://bucket", "s3:/bucket"])
def test_what_needs_no_store_works_without_one_and_doctor_names_the_problem(cli, monkeypatch, address):
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", address)
    assert cli("list", "encoders").code == 0
    assert cli("describe", "encoder", "tfidf").code == 0
    ill = cli("doctor")
    assert ill.code == 3
    assert f"embeddings     {address}" in ill.out
    assert "PROBLEM  there is no place for embeddings" in ill.out
    assert "LARPBENCH_EMBEDDINGS" in ill.out


def test_an_address_that_nothing_serves_is_refused(monkeypatch, cli, small):
    encode = ("encode", "--encoder", "tfidf", "--dataset", small.folder / "small")
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", "nope://bucket")
    with pytest.raises(UsageError, match=r"(?s)nope.*a folder, or an address that fsspec knows"):
        default_store()
    assert cli(*encode).code == 2
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] in ("fsspec", "s3fs"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **options)

    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", "s3://bucket/prefix")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPartError, match=r"(?s)fsspec, which is not installed.*larpbench\[fsspec\]"):
        default_store()
    monkeypatch.setattr(builtins, "__import__", real)
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (_ for _ in ()).throw(ImportError("Install s3fs")))
    with pytest.raises(MissingPartError, match=r"(?s)Install s3fs.*pip install s3fs"):
        default_store()
    monkeypatch.setenv("LARPBENCH_EMBEDDINGS", "sftp://host/folder")
    with pytest.raises(MissingPartError, match=r"(?s)Install s3fs.*install what serves sftp://"):
        default_store()
