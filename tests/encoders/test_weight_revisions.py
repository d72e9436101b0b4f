"""Weights that change under a revision are refused, wherever they lie; a plan of downloads says what they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
from support.weights_server import COMMIT, empty_hub_cache, hub_serving, put_in_hub_cache

from larpbench.encoders.names import ENCODERS, get_encoder
from larpbench.encoders.weights.fetch import fetch
from larpbench.encoders.weights.finder import WeightFile, Weights, weights_root
from larpbench.errors import DataError

MODEL = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"[]"}
WEIGHTS = Weights("some-model", "MIT", size=12_000_000, repo="maker/some-model")
PINNED = replace(WEIGHTS, revision=COMMIT)
OTHER = "f" * 40


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    with hub_serving(monkeypatch, MODEL) as made:
        yield made


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    return empty_hub_cache(tmp_path, monkeypatch)


def put_in_cache(cache, commit, branch=None, files=None):
    return put_in_hub_cache(cache, files or MODEL, commit=commit, branch=branch)


@pytest.mark.parametrize("weights", [WEIGHTS, PINNED], ids=["main", "pinned"])
class TestAnotherFileUnderTheSameRevision:
    def test_on_the_hub(self, server, weights):
        shutil.rmtree(fetch(weights))
        server.models["maker/some-model"]["model.safetensors"] = b"others!"
        server.asked.clear()
        with pytest.raises(DataError) as caught:
            fetch(weights)
        assert f"maker/some-model@{COMMIT}/model.safetensors has changed" in caught.value.what
        assert f"expected sha256 {sha256(b'weights')}, found {sha256(b'others!')}" in caught.value.what
        assert "larpbench fetch" in caught.value.next_step
        assert not [path for path, _ in server.asked if "resolve" in path], "refused before anything is downloaded"
        assert weights.found() is None

    def test_on_the_hub_where_the_listing_has_no_digest(self, server, weights):
        shutil.rmtree(fetch(weights))
        server.models["maker/some-model"]["config.json"] = b"{ }"
        with pytest.raises(DataError, match=r"config\.json has changed"):
            fetch(weights)
        assert weights.found() is None
        assert not [*weights_root().glob(".partial-*")]
        server.models["maker/some-model"] = dict(MODEL)
        assert fetch(weights) == weights.folder()

    def test_in_the_folder(self, server, weights):
        folder = fetch(weights)
        before = weights.digest()
        (folder / "model.safetensors").write_bytes(b"others!")  # as many bytes
        for act in (weights.digest, lambda: fetch(weights)):
            with pytest.raises(DataError, match=r"model\.safetensors has changed: expected") as caught:
                act()
            assert caught.value.where == str(folder)
            assert caught.value.exit_code == 2
        shutil.rmtree(folder)
        fetch(weights)
        assert weights.digest() == before

    def test_in_the_cache_of_the_hub(self, cache, weights):
        snapshot = put_in_cache(cache, COMMIT, "main")
        weights.digest()
        (snapshot / "tokenizer.json").write_bytes(b"[1]")
        with pytest.raises(DataError, match=r"tokenizer\.json has changed"):
            weights.digest()

    def test_a_folder_that_an_earlier_version_fetched(self, server, weights):
        folder = fetch(weights)
        (weights_root() / "revisions.json").unlink()
        (folder / "config.json").write_bytes(b"[]")
        with pytest.raises(DataError, match=r"config\.json has changed"):
            weights.digest()

    def test_it_can_be_trusted(self, server, weights):
        shutil.rmtree(fetch(weights))
        server.models["maker/some-model"]["model.safetensors"] = b"others!"
        memory = weights_root() / "revisions.json"
        kept = {key: value for key, value in json.loads(memory.read_text()).items() if "model.safe" not in key}
        memory.write_text(json.dumps(kept))
        assert (fetch(weights) / "model.safetensors").read_bytes() == b"others!"


def test_another_revision_is_no_change(server):
    first = fetch(WEIGHTS)
    facts = json.loads((first / "weights.json").read_text())
    assert (facts["commit"], WEIGHTS.commit(first), WEIGHTS.pinned) == (COMMIT, COMMIT, None)
    (first / "model.safetensors").write_bytes(b"cut")
    server.commit = OTHER
    server.models["maker/some-model"]["model.safetensors"] = b"a newer one"
    assert WEIGHTS.commit(fetch(WEIGHTS)) == OTHER


def test_a_pinned_revision_is_what_is_asked_for(server):
    fetch(PINNED)
    assert server.asked[0][0] == f"/api/models/maker/some-model/revision/{COMMIT}"
    shutil.rmtree(PINNED.folder())
    server.commit = OTHER
    with pytest.raises(DataError, match=f"expected {COMMIT}, found {OTHER}"):
        fetch(PINNED)


def test_the_pinned_one_is_preferred_in_the_cache_and_another_is_used_where_it_is_missing(cache):
    other = put_in_cache(cache, OTHER, "main")
    assert PINNED.found() == other
    assert PINNED.commit(other) == OTHER
    pinned = put_in_cache(cache, COMMIT)
    assert PINNED.found() == pinned


def test_files_with_addresses(server):
    server.files["/a/b.pt"] = b"weights"
    plain = Weights("plain", "MIT", 7, files=(WeightFile("b.pt", f"{server.url}/a/b.pt"),))
    shutil.rmtree(fetch(plain))
    server.files["/a/b.pt"] = b"others!"
    with pytest.raises(DataError, match=r"/a/b\.pt has changed"):
        fetch(plain)
    known = replace(plain, name="known", files=(replace(plain.files[0], sha256=sha256(b"others!")),))
    folder = fetch(known)  # what larpbench knows counts more than what was recorded
    (folder / "b.pt").write_bytes(b"weights")
    with pytest.raises(DataError, match="has changed") as caught:
        known.digest()
    assert "trust" not in caught.value.next_step


def test_files_that_were_put_there_by_hand_have_no_revision(home):
    folder = WEIGHTS.folder()
    folder.mkdir(parents=True)
    for content in (b"one", b"two!"):
        for name in MODEL:
            (folder / name).write_bytes(content)
        WEIGHTS.digest()
    assert not (weights_root() / "revisions.json").exists()


class TestPlan:
    def test_all(self, cli, server, monkeypatch):
        done = cli("fetch", "--plan", "all")
        assert done.code == 0
        assert server.asked == []
        built_in = [ENCODERS.get(name) for name in ENCODERS.names() if ENCODERS.origin(name).built_in]
        sizes = {spec.weights.name: spec.weights.size for spec in built_in if spec.weights}
        header, *rows, last = done.out.splitlines()
        assert header.split() == ["encoder", "checkpoint", "size", "revision", "state", "licence"]
        assert [row.split()[0] for row in rows] == [spec.card.name for spec in built_in if spec.weights]
        total = f"{sum(sizes.values()) / 1e9:.2f} GB"
        assert last.startswith(f"{total} to fetch of {total}, {len(sizes)} checkpoints")
        (clap,) = (row for row in rows if row.startswith("clap-pt "))
        assert clap.split()[1:] == ["clap-htsat-unfused", "0.61", "GB", "8fa0f1c6d043", "to", "fetch", "Apache-2.0"]
        (mule,) = (row for row in rows if row.startswith("mule "))
        assert "not pinned" in mule

    def test_what_is_here_is_measured(self, cli, server, monkeypatch):
        spec = replace(get_encoder("bert"), weights=PINNED)
        monkeypatch.setattr("larpbench.encoders.names.get_encoder", lambda name: spec)
        fetch(PINNED)
        plan = json.loads(cli("fetch", "--plan", "--json", "bert", "bert").out)
        (row, again) = plan["encoders"]
        assert row == again
        assert (row["state"], row["bytes"], row["revision"]) == ("here", 11, COMMIT)
        assert (plan["bytes"], plan["bytes_to_fetch"]) == (11, 0)

    def test_parts_and_encoders_without_weights(self, cli):
        plan = json.loads(cli("fetch", "--plan", "--json", "bert+htsat", "tfidf", "text:a/b").out)
        rows = [(row["encoder"], row["checkpoint"]) for row in plan["encoders"]]
        assert rows == [
            ("bert+htsat", "bert-base-uncased"),
            ("bert+htsat", "clap-htsat-unfused"),
            ("tfidf", None),
            ("text:a/b", "a/b"),
        ]
        assert plan["encoders"][2]["state"] == "needs no weights"

    def test_a_model_of_the_hub_of_which_nothing_is_known(self, cli):
        row = json.loads(cli("fetch", "--plan", "--json", "text:a/b").out)["encoders"][0]
        assert row["bytes"] is None
        _, row, last = cli("fetch", "--plan", "hf-audio:nvidia/audio-flamingo-3-hf@32").out.splitlines()
        assert " unknown " in row
        assert last.startswith("0.00 GB to fetch of 0.00 GB, 1 checkpoints, each counted once, 1 of unknown size;")
        assert "of unknown size" in cli("describe", "encoder", "text:a/b").out

    def test_wrong_use(self, cli):
        assert cli("fetch", "--json", "bert").code == 2
        assert cli("fetch", "--plan").code == 2
        assert "unknown encoder 'nope'" in cli("fetch", "--plan", "nope").err


def test_fetch_says_what_it_got(cli, server, monkeypatch):
    spec = replace(get_encoder("bert"), weights=WEIGHTS)
    monkeypatch.setattr("larpbench.encoders.names.get_encoder", lambda name: spec)
    done = cli("fetch", "bert")
    assert done.code == 0, done.err
    assert f"bert: revision {COMMIT} (not pinned)" in done.err
