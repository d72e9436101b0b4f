"""Pretrained weights: found where they lie, fetched whole or not at all, told apart by their digest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from support.weights_server import COMMIT, empty_hub_cache, hub_serving, put_in_hub_cache

from larpbench.downloads import RemoteFile, download
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import ENCODERS
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.fetch import fetch
from larpbench.encoders.weights.finder import WeightFile, Weights
from larpbench.errors import DataError, MissingPartError, StorageError, UnknownNameError
from larpbench.offline import go_offline, go_online

BIG = np.random.default_rng(0).bytes(300_000)
MODEL = {
    "config.json": b"{}",
    "model.safetensors": BIG,
    "pytorch_model.bin": b"the same in another format",
    "tokenizer.json": b"[]",
    "README.md": b"hello",
    "onnx/model.onnx": b"not wanted",
    "../escape.json": b"not wanted",
}
WEIGHTS = Weights("some-model", "MIT", size=300_000, repo="maker/some-model")


@pytest.fixture
def server(monkeypatch):
    with hub_serving(monkeypatch, MODEL) as made:
        yield made


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A cache of the hub with nothing in it."""
    return empty_hub_cache(tmp_path, monkeypatch)


def put_in_cache(cache, repo="maker/some-model", files=("config.json", "model.safetensors", "tokenizer.json")):
    return put_in_hub_cache(cache, {name: MODEL[name] for name in files}, repo)


class TestFetching:
    def test_a_model_of_the_hub(self, server, home):
        assert WEIGHTS.found() is None
        folder = fetch(WEIGHTS)
        assert folder == home / "weights" / "some-model" == WEIGHTS.found()
        assert {p.name for p in folder.iterdir()} == {
            "config.json", "model.safetensors", "tokenizer.json", "weights.json",
        }  # fmt: skip
        assert (folder / "model.safetensors").read_bytes() == BIG
        facts = json.loads((folder / "weights.json").read_text())
        assert (facts["commit"], facts["licence"]) == (COMMIT, "MIT")
        assert facts["files"]["model.safetensors"]["sha256"] == hashlib.sha256(BIG).hexdigest()
        asked = len(server.asked)
        assert fetch(WEIGHTS) == folder
        assert len(server.asked) == asked, "what is here is not asked for"

    def test_the_older_format_where_there_is_no_newer(self, server):
        del server.models["maker/some-model"]["model.safetensors"]
        assert (fetch(WEIGHTS) / "pytorch_model.bin").exists()

    def test_it_goes_on_where_the_connection_broke(self, server):
        server.breaks_after = [10**9, 10**9, 131_072]  # listing, config, model
        folder = fetch(WEIGHTS)
        assert (folder / "model.safetensors").read_bytes() == BIG
        assert [r for path, r in server.asked if path.endswith("model.safetensors")] == [None, "bytes=131072-"]

    def test_it_goes_on_after_it_was_given_up(self, server, home):
        server.breaks_after = [10**9, 10**9, 131_072, 0, 0, 0]
        with pytest.raises(MissingPartError, match=r"broke: .*168928 more expected") as caught:
            fetch(WEIGHTS)
        assert "again" in caught.value.next_step
        assert WEIGHTS.found() is None
        server.breaks_after, server.asked = [], []
        fetch(WEIGHTS)
        assert [(path.split("/")[-1], r) for path, r in server.asked if "resolve" in path] == [
            ("model.safetensors", "bytes=131072-"),
            ("tokenizer.json", None),
        ]
        assert (WEIGHTS.found() / "model.safetensors").read_bytes() == BIG

    def test_a_whole_file_is_not_fetched_again_after_a_kill(self, server, home, monkeypatch):
        with monkeypatch.context() as killed:
            killed.setattr("larpbench.encoders.weights.fetch._describe", lambda *arguments: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                fetch(WEIGHTS)
        (partial,) = home.rglob(".partial-*")
        (partial / "tmp1234abcd").touch()  # of pooch
        server.asked = []
        folder = fetch(WEIGHTS)
        assert not [path for path, _ in server.asked if "resolve" in path]
        assert not (folder / "tmp1234abcd").exists()
        assert (folder / "model.safetensors").read_bytes() == BIG
        assert not list(home.rglob(".larpbench-*"))
        assert not list(home.rglob(".partial-*"))

    def test_a_wrong_digest(self, server, home):
        server.wrong_digests.add("model.safetensors")
        with pytest.raises(DataError, match=r"does not match the known hash: expected sha256:0000.* but got"):
            fetch(WEIGHTS)
        assert WEIGHTS.found() is None
        assert not list(home.rglob("model.safetensors*"))
        server.wrong_digests.clear()
        assert fetch(WEIGHTS) == WEIGHTS.found()

    def test_files_that_are_known(self, server):
        """Of a pinned revision: other sizes or digests than those that are known are refused, large file or small."""

        def known(name, content):
            return WeightFile(name, "", len(content), hashlib.sha256(content).hexdigest())

        files = (known("model.safetensors", BIG), known("config.json", MODEL["config.json"]))
        pinned = replace(WEIGHTS, revision=COMMIT, files=files)
        for name in ("model.safetensors", "config.json"):
            server.models["maker/some-model"][name] = MODEL[name][::-1]
            with pytest.raises(DataError, match=f"{name} has changed: expected sha256"):
                fetch(pinned)
            assert pinned.found() is None
            server.models["maker/some-model"][name] = MODEL[name]
        assert {path.name for path in fetch(pinned).iterdir()} == {*(each.name for each in files), "weights.json"}

    def test_no_such_model(self, server):
        with pytest.raises(MissingPartError, match="answers 404") as caught:
            fetch(replace(WEIGHTS, repo="maker/nothing"))
        assert caught.value.where.endswith("/api/models/maker/nothing/revision/main?blobs=true")

    def test_a_model_without_weights(self, server):
        server.models["maker/some-model"] = {"config.json": b"{}"}
        with pytest.raises(MissingPartError, match="has not the files"):
            fetch(WEIGHTS)

    def test_no_server(self, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(MissingPartError, match=r"cannot reach 127\.0\.0\.1:9") as caught:
            fetch(WEIGHTS)
        assert caught.value.exit_code == 3

    def test_no_room(self, server, monkeypatch):
        usage = namedtuple("usage", "total used free")(10, 9, 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(StorageError, match="0 MB are to be fetched, and 0 MB are free"):
            fetch(WEIGHTS)
        assert [path for path, _ in server.asked if "resolve" in path] == []

    def test_the_disk_gets_full(self, server, home, monkeypatch):
        from pathlib import Path

        original = Path.open

        class Full:
            def __init__(self, stream):
                self._stream = stream

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self._stream.close()

            def write(self, chunk):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def opened(path, mode="r", *rest, **named):
            stream = original(path, mode, *rest, **named)
            return Full(stream) if path.name == "model.safetensors.part" and "b" in mode and "r" not in mode else stream

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", opened)
            with pytest.raises(StorageError, match="No space left") as caught:
                fetch(WEIGHTS)
        assert "free some space" in caught.value.next_step
        assert fetch(WEIGHTS) == WEIGHTS.found()

    def test_files_with_addresses(self, server):
        server.files["/a/b.pt"] = BIG
        weights = Weights("plain", "MIT", 300_000, files=(WeightFile("b.pt", f"{server.url}/a/b.pt"),))
        assert (fetch(weights) / "b.pt").read_bytes() == BIG
        assert weights.found() == weights.folder()
        again = replace(weights, name="other", files=(replace(weights.files[0], sha256="1" * 64),))
        with pytest.raises(DataError):
            fetch(again)

    def test_a_login_is_for_the_hub_alone(self, server, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        server.files["/b.pt"] = BIG
        fetch(WEIGHTS)
        fetch(Weights("plain", "MIT", 300_000, files=(WeightFile("b.pt", f"{server.url}/b.pt"),)))
        (model,) = (token for path, token in server.tokens.items() if path.endswith("model.safetensors"))
        assert (model, server.tokens["/b.pt"]) == ("Bearer hf_secret", None)


class TestOneFile:
    def test_a_file_that_changed_is_fetched_whole(self, server, tmp_path):
        server.files["/f"] = BIG
        server.breaks_after = [100_000, 0]
        with pytest.raises(MissingPartError):
            download(RemoteFile("f", f"{server.url}/f"), tmp_path)
        server.files["/f"] = BIG[::-1]
        steps = []
        download(RemoteFile("f", f"{server.url}/f"), tmp_path, steps.append)
        assert (tmp_path / "f").read_bytes() == BIG[::-1]
        assert sum(steps) == len(BIG)
        assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["f"]

    def test_all_of_it_was_there(self, server, tmp_path):
        server.files["/f"] = BIG
        (tmp_path / "f.part").write_bytes(BIG)
        download(RemoteFile("f", f"{server.url}/f"), tmp_path)
        assert (tmp_path / "f").read_bytes() == BIG

    def test_more_than_all_of_it_was_there(self, server, tmp_path):
        server.files["/f"] = BIG
        (tmp_path / "f.part").write_bytes(BIG + b"more")
        download(RemoteFile("f", f"{server.url}/f"), tmp_path)
        assert (tmp_path / "f").read_bytes() == BIG

    def test_only_the_web(self, tmp_path):
        with pytest.raises(DataError, match="no address of the web"):
            download(RemoteFile("f", "file:///etc/passwd"), tmp_path)


class TestFinding:
    def test_the_cache_of_the_hub(self, empty_cache):
        snapshot = put_in_cache(empty_cache)
        assert WEIGHTS.found() == snapshot
        assert replace(WEIGHTS, repo="no/such: name/").found() is None

    def test_a_cache_with_the_settings_alone(self, empty_cache):
        put_in_cache(empty_cache, files=("config.json",))
        assert WEIGHTS.found() is None

    def test_a_folder_of_another_program(self, tmp_path, monkeypatch):
        (tmp_path / "theirs").mkdir()
        for name in ("config.json", "model.safetensors"):
            (tmp_path / "theirs" / name).write_bytes(MODEL[name])
        weights = replace(WEIGHTS, elsewhere=("$SOME_MODEL_DIR", "~/nowhere"))
        assert weights.found() is None
        monkeypatch.setenv("SOME_MODEL_DIR", str(tmp_path / "theirs"))
        assert weights.found() == tmp_path / "theirs"

    def test_files_put_there_by_hand(self):
        WEIGHTS.folder().mkdir(parents=True)
        (WEIGHTS.folder() / "config.json").write_text("{}")
        assert WEIGHTS.found() is None
        (WEIGHTS.folder() / "model.safetensors").write_bytes(BIG)
        assert WEIGHTS.found() == WEIGHTS.folder()

    def test_a_fetched_file_that_was_cut(self, server):
        (fetch(WEIGHTS) / "model.safetensors").write_bytes(BIG[:10])
        assert WEIGHTS.found() is None
        fetch(WEIGHTS)
        assert (WEIGHTS.found() / "model.safetensors").read_bytes() == BIG

    def test_the_digest_is_that_of_the_files_wherever_they_lie(self, server, empty_cache):
        fetch(WEIGHTS)
        fetched = WEIGHTS.digest()
        shutil.rmtree(WEIGHTS.folder())
        with pytest.raises(MissingPartError):
            WEIGHTS.digest()
        snapshot = put_in_cache(empty_cache)
        assert WEIGHTS.digest() == fetched
        other = snapshot.with_name("f" * 40)
        snapshot.rename(other)
        (other.parents[1] / "refs" / "main").write_text(other.name)
        (other / "tokenizer.json").write_text("[1]")
        assert WEIGHTS.digest() != fetched

    def test_a_digest_is_taken_once(self, server, monkeypatch):
        from larpbench.encoders.weights import finder as weights

        fetch(WEIGHTS)
        first = WEIGHTS.digest()
        monkeypatch.setattr(weights, "digest_file", lambda path: pytest.fail("read again"))
        assert WEIGHTS.digest() == first


def spec_with(**options):
    card = EncoderCard(
        name="x", version=1, summary="", modalities=("text",), dim=2, weights="pretrained: x", licence="MIT, MIT",
        tracks_per_second=1,
    )  # fmt: skip
    return EncoderSpec(card, factory=lambda context, argument: context, **options)


class TestStatus:
    def test_missing_weights_and_then_ready(self, server):
        spec = spec_with(weights=WEIGHTS)
        status = spec.status()
        assert (status.state, status.next_step) == ("missing-weights", "larpbench fetch x")
        assert status.reason == "some-model, 0 MB, MIT"
        with pytest.raises(MissingPartError, match="missing-weights"):
            spec.build(EncodeContext(0, None))
        fetch(WEIGHTS)
        assert spec.status().state == "ready"
        assert spec.build(EncodeContext(0, None)).weights == WEIGHTS.folder()
        assert spec.weights_digest(EncodeContext(0, None)) == WEIGHTS.digest()

    def test_incompatible(self):
        status = spec_with(requires=("numpy",), versions=("numpy<1.0",), extra="old").status()
        assert status.state == "incompatible"
        assert "it needs numpy<1.0" in status.text
        assert "larpbench[old]" in status.next_step
        assert spec_with(versions=("numpy>=1", "not-installed<3")).status().state == "ready"
        assert spec_with(incompatible=lambda: "no such machine").status().text == "incompatible (no such machine)"
        assert spec_with(incompatible=lambda: None).status().state == "ready"

    def test_a_package_that_breaks_when_it_is_imported_is_not_imported(self, tmp_path, monkeypatch):
        (tmp_path / "breaks_on_import.py").write_text("raise OSError('libc10_cuda.so: cannot open')")
        monkeypatch.syspath_prepend(tmp_path)
        assert spec_with(requires=("breaks_on_import",)).status().state == "ready"
        assert spec_with(requires=("breaks_on_import.part",)).status().state == "missing-package"

    def test_a_broken_package_in_the_way_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "torchaudio.py").write_text("raise OSError('libc10_cuda.so: cannot open')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)

        def build(context, argument):
            raise RuntimeError("could not import module ClapModel")

        with pytest.raises(MissingPartError, match=r"torchaudio: OSError: libc10_cuda\.so") as caught:
            replace(spec_with(), factory=build).build(EncodeContext(0, None))
        assert caught.value.next_step.startswith("pip uninstall -y torchaudio")


def test_offline_refuses_the_network_but_no_pipes(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    go_offline()
    try:
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        with pytest.raises(MissingPartError, match="--offline"):
            fetch(WEIGHTS)
        assert server.asked == []
    finally:
        go_online()
    assert fetch(WEIGHTS)


def test_the_command_line(server, cli, monkeypatch):
    spec = spec_with(weights=WEIGHTS)
    real = ENCODERS.get
    from larpbench.encoders import names as encoders

    monkeypatch.setattr(encoders, "get_encoder", lambda name: spec if name == "x" else real(name))
    done = cli("fetch", "x", "tfidf")
    assert done.code == 0, done.err
    assert "x: licence of the weights: MIT" in done.err
    assert "x: some-model, about 0 MB, from maker/some-model of the Hugging Face hub" in done.err
    assert done.out.splitlines() == [f"x: {WEIGHTS.folder()}", "tfidf: needs no weights that could be fetched"]
    server.models.clear()
    shutil.rmtree(WEIGHTS.folder())
    done = cli("fetch", "x")
    assert done.code == 3
    assert f"the files, put into {WEIGHTS.folder()} by hand" in done.err
    assert cli("fetch").code == 2
    with pytest.raises(UnknownNameError):
        real("y")


def test_offline_and_download_contradict_each_other(cli):
    done = cli("run", "--offline", "--download")
    assert done.code == 2
    assert "--offline refuses it" in done.err


def test_doctor_names_a_broken_package_and_says_how_to_mend_it(cli, tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    done = cli("doctor")
    assert done.code == 3
    assert "torchvision: RuntimeError: operator torchvision::nms does not exist" in done.out
    assert "pip uninstall -y torchvision" in done.out
