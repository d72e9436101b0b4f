"""Collections are fetched whole or not at all, from a server on this machine that breaks off, lies and changes."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import namedtuple

import numpy as np
import pytest
from support import forked
from support.collections_server import serving
from support.open_collections import write_aotm, write_onion, write_talkplay, write_yambda

from larpbench.datasets.fetching import collections, listings
from larpbench.datasets.fetching.collections import COLLECTIONS, FetchableCollection
from larpbench.offline import go_offline, go_online

BIG = np.random.default_rng(0).bytes(300_000)
LOG = "userid_trackid_timestamp.tsv.bz2"
ONION, V1 = collections.ONION_RECORDS


@pytest.fixture
def server(monkeypatch):
    with serving() as made:
        made.records[ONION] = {LOG: BIG, "id_musicnn.tsv.bz2": b"musicnn", "id_maest.tsv.bz2": b"maest" * 1_000}
        made.records[V1] = {
            "userid_trackid_count.tsv.bz2": b"counts", "id_jukebox.tsv.bz2": b"jukebox", LOG: b"the first version",
        }  # fmt: skip
        monkeypatch.setattr(listings, "ZENODO", made.url)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setattr(COLLECTIONS["onion"], "digests", {})  # those of the real files
        yield made


@pytest.fixture(autouse=True)
def _may_be_changed(monkeypatch):
    monkeypatch.setattr(FetchableCollection, "__setattr__", object.__setattr__)
    monkeypatch.setattr(FetchableCollection, "__delattr__", object.__delattr__)


def files(home, source="onion"):
    folder = home / "fetched" / source
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"fetched.json"}


def ranges(server, name):
    return [asked for path, asked in server.asked if path.endswith(f"/{name}")]


def test_sizes_and_licence_come_first_and_nothing_is_fetched_unasked(cli, server, home, monkeypatch):
    monkeypatch.setattr(
        "typer.confirm", lambda question, err: pytest.fail("asked") if "0.3 MB" not in question else False
    )
    refused = cli("dataset", "fetch", "onion")
    assert refused.code == 1
    assert "licence: cc-by-nc-sa-4.0" in refused.err
    assert f"from zenodo.org, record {ONION}" in refused.err
    assert f"{LOG}  0.3 MB" in refused.err
    assert "jukebox (0.0 kB)" in refused.err
    assert "nothing was fetched" in refused.err
    assert files(home) == set()
    assert not [path for path, _ in server.asked if "/files/" in path]


def test_a_record_and_its_parts(cli, server, home):
    done = cli("dataset", "fetch", "onion", "--yes")
    assert done.code == 0, done.err
    assert done.out.strip() == str(home / "fetched" / "onion")
    assert files(home) == {LOG, "id_musicnn.tsv.bz2", "id_maest.tsv.bz2"}
    assert (home / "fetched" / "onion" / LOG).read_bytes() == BIG, "the newer record goes first"
    facts = json.loads((home / "fetched" / "onion" / "fetched.json").read_text())
    assert facts["licences"] == ["cc-by-nc-sa-4.0"]
    assert facts["files"][LOG]["digest"].startswith("md5:")
    more = cli("dataset", "fetch", "onion", "--parts", "jukebox,counts,log", "--yes")
    assert more.code == 0, more.err
    assert {"id_jukebox.tsv.bz2", "userid_trackid_count.tsv.bz2"} <= files(home)
    assert ranges(server, LOG) == [None], "what is there is not fetched again"
    assert len(json.loads((home / "fetched" / "onion" / "fetched.json").read_text())["files"]) == 5
    wrong = cli("dataset", "fetch", "onion", "--parts", "musicn", "--yes")
    assert wrong.code == 2
    assert "did you mean musicnn" in wrong.err
    unknown = cli("dataset", "fetch", "onoin")
    assert unknown.code == 2
    assert "did you mean onion" in unknown.err


def test_it_goes_on_where_the_connection_broke(cli, server, home):
    server.breaks_after = [100_000, 90_000]
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
    assert (home / "fetched" / "onion" / LOG).read_bytes() == BIG
    first, second, third = ranges(server, LOG)
    assert first is None
    assert int(second.removeprefix("bytes=").rstrip("-")) <= 100_000
    assert int(third.removeprefix("bytes=").rstrip("-")) <= 190_000


def test_it_goes_on_after_it_was_given_up(cli, server, home):
    server.breaks_after = [131_072, 0, 0]
    broken = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    assert broken.code == 3
    assert "run the same command again" in broken.err
    assert LOG not in files(home)
    build = cli("dataset", "build", "onion", "--output", home / "x")
    assert build.code == 2
    assert "there is no userid_trackid_timestamp.tsv.bz2" in build.err, "a part of a file is no file"
    server.breaks_after, server.asked = [], []
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
    assert ranges(server, LOG) == ["bytes=131072-"]
    assert files(home) == {LOG}


@pytest.mark.parametrize("tagged", [True, False])
def test_a_file_that_changed_in_between_is_fetched_whole(cli, server, home, tagged):
    server.tagged = tagged
    server.breaks_after = [131_072, 0, 0]
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 3
    server.breaks_after = []
    changed = server.records[ONION][LOG] = BIG[::-1]
    again = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    if not tagged:  # nobody can tell before it is whole; the digest tells
        assert again.code == 2
        assert "not the one that is meant" in again.err
        assert files(home) == set()
        again = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    assert again.code == 0, again.err
    assert (home / "fetched" / "onion" / LOG).read_bytes() == changed
    assert files(home) == {LOG}


def test_a_fetched_file_that_changed_on_the_server_or_on_disk(cli, server, home):
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
    path = home / "fetched" / "onion" / LOG
    for content in (BIG[:1_000], BIG[:-1] + b"x", b""):
        path.write_bytes(content)
        assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
        assert path.read_bytes() == BIG
    server.records[ONION][LOG] = BIG + b"a new version"
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
    assert path.read_bytes() == BIG + b"a new version"


def test_wrong_lengths(cli, server, home):
    server.states[LOG] = [200_000]  # it says that this is all
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0, "the rest is asked for"
    assert (home / "fetched" / "onion" / LOG).read_bytes() == BIG
    (home / "fetched" / "onion" / LOG).unlink()
    server.states[LOG] = [len(BIG) + 5_000, 0, 0]  # more than comes, and then nothing
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
    assert (home / "fetched" / "onion" / LOG).read_bytes() == BIG
    server.states.clear()
    assert cli("dataset", "fetch", "onion", "--parts", "log", "--yes").code == 0
    (home / "fetched" / "onion" / LOG).unlink()
    server.listed[LOG] = len(BIG) - 10  # the listing lies
    wrong = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    assert wrong.code == 2
    assert "it has 300,000 bytes, and should have 299,990" in wrong.err
    assert files(home) == set()
    server.listed[LOG] = len(BIG) + 10
    short = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    assert short.code == 2
    assert "should have 300,010" in short.err
    assert files(home) == set()


def test_wrong_digests(cli, server, home, monkeypatch):
    server.wrong_digests.add(LOG)
    wrong = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    assert wrong.code == 2
    assert "does not match the known hash" in wrong.err
    assert files(home) == set()
    server.wrong_digests.clear()
    monkeypatch.setattr(COLLECTIONS["onion"], "digests", {LOG: "md5:dfe82201036765f7463e6f3ce3d0f991"})
    other = cli("dataset", "fetch", "onion", "--parts", "log", "--yes")
    assert other.code == 2
    assert "is another file than the published one" in other.err


def test_no_room_no_server_no_record_offline(cli, server, home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: namedtuple("usage", "total used free")(10, 9, 1))
        full = cli("dataset", "fetch", "onion", "--yes")
        assert "MB are to be fetched, and 0 MB are free" in full.err
    with monkeypatch.context() as patch:  # other files of the collection are no room for these
        folder = home / "fetched" / "onion"
        (folder / "id_other.tsv.bz2").write_bytes(b"x" * 1_000_000)
        patch.setattr("shutil.disk_usage", lambda path: namedtuple("usage", "total used free")(10, 9, 100_000))
        full = cli("dataset", "fetch", "onion", "--yes")
        assert "0 MB are to be fetched, and 0 MB are free" in full.err
        assert files(home) == {"id_other.tsv.bz2"}
    go_offline()
    try:
        assert cli("dataset", "fetch", "onion", "--yes").code == 3
    finally:
        go_online()
    server.records[ONION] = {}
    gone = cli("dataset", "fetch", "onion", "--yes")
    assert gone.code == 3
    assert "is not there any more" in gone.err
    del server.records[ONION]
    assert "answers 404" in cli("dataset", "fetch", "onion", "--yes").err
    monkeypatch.setattr(listings, "ZENODO", "http://127.0.0.1:9")
    assert "cannot reach 127.0.0.1:9" in cli("dataset", "fetch", "onion", "--yes").err


def test_the_published_digests_are_known():
    assert COLLECTIONS["onion"].digests[LOG] == "md5:dfe82201036765f7463e6f3ce3d0f991"


def _put(server, repo, folder):
    server.datasets[repo] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } | {"README.md": b"hello", "../escape.parquet": b"no"}


def test_data_sets_of_the_hub_are_fetched_built_and_run_by_their_names(cli, server, home, tmp_path):
    _put(server, "yandex/yambda", write_yambda(tmp_path / "yambda"))
    _put(server, "seungheondoh/aotm2011", write_aotm(tmp_path / "aotm"))
    talkplay = write_talkplay(tmp_path / "talkplay")
    for part in talkplay.iterdir():
        _put(server, f"talkpl-ai/{part.name}", part)
    for name, source in (("yambda-50m", "yambda"), ("aotm", "aotm"), ("talkplay", "talkplay")):
        done = cli("dataset", "fetch", name, "--yes")
        assert done.code == 0, done.err
        assert "licence: apache-2.0" in done.err
        assert not [each for each in files(home, source) if not each.endswith(".parquet")]
        built = cli("dataset", "build", source, "--output", tmp_path / f"{source}-built")
        assert built.code == 0, built.err
    assert "flat/50m/likes.parquet" in files(home, "yambda")
    assert "flat/50m/listens.parquet" not in files(home, "yambda"), "no part of the default"
    run = cli("run", "--dataset", "talkplay", "--encoders", "random", "--output", tmp_path / "r")
    assert run.code == 0, run.err
    server.gated.add("talkpl-ai/TalkPlayData-Challenge-Dataset")
    gated = cli("dataset", "fetch", "talkplay", "--yes")
    assert gated.code == 3
    assert "accept the terms at https://huggingface.co/datasets/talkpl-ai/TalkPlayData-Challenge-Dataset" in gated.err


def test_onion_is_built_from_what_was_fetched(cli, server, home, tmp_path):
    copy = write_onion(tmp_path / "onion")
    server.records = {ONION: {path.name: path.read_bytes() for path in copy.iterdir()}, V1: {}}
    assert cli("dataset", "fetch", "onion", "--parts", "all", "--yes").code == 0
    shown = cli("list", "encoders", "--dataset", "onion")
    assert shown.code == 0, shown.err
    assert "provided:musicnn" in shown.out
    assert (
        "This is NOT the published split"
        in json.loads((home / "datasets" / "onion" / "dataset.json").read_text())["notes"][0]
    )


def test_killed_at_any_moment_and_run_again_it_is_whole(server, home, tmp_path):
    content = {"data/train-00000-of-00002.parquet": BIG, "data/train-00001-of-00002.parquet": BIG[::-1]}
    server.datasets["seungheondoh/aotm2011"] = content
    command = ("dataset", "fetch", "aotm", "--yes")

    def env(name):
        return {**os.environ, "LARPBENCH_HOME": str(tmp_path / name)}

    def require_whole(name, *, done):
        folder = tmp_path / name / "fetched" / "aotm"
        found = {path for path in folder.rglob("*.parquet") if path.is_file()}
        assert all(path.read_bytes() == content[path.relative_to(folder).as_posix()] for path in found)
        if done:
            assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
                *content, "fetched.json",
            }  # fmt: skip

    assert forked.run(*command, env=env("counted"), watched=tmp_path / "counted").code == 0
    changes = int((tmp_path / "counted.changes").read_text())
    for moment in random.Random(0).sample(range(1, changes + 1), 4):
        name = f"at-{moment}"
        killed = forked.run(*command, env=env(name), watched=tmp_path / name, kill_at=moment)
        assert killed.code == -signal.SIGKILL
        require_whole(name, done=False)
        assert forked.run(*command, env=env(name)).code == 0
        require_whole(name, done=True)
    server.slow = 0.02  # now in the middle of the transfer
    process = forked.start(*command, env=env("slow"))
    asked = len(server.asked)
    while not any("/resolve/" in path for path, _ in server.asked[asked:]):
        time.sleep(0.01)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    require_whole("slow", done=False)
    server.slow, server.asked = 0, []
    assert forked.run(*command, env=env("slow")).code == 0
    require_whole("slow", done=True)
    assert any(asked for _, asked in server.asked), "what had come was not fetched again"
