"""What ``larpbench describe dataset`` says before and after a data set is built."""

from __future__ import annotations

import json

import pytest
from support.published_data import mpd_slices, write_zip
from support.small_data import build_split_tables

from larpbench.datasets.catalogue import DATASETS, datasets_folder


def described(cli, name):
    outcome = cli("describe", "dataset", name, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_says_what_it_is_and_makes_nothing(cli, home, name):
    facts = described(cli, name)
    for key in ("summary", "content", "where", "licence", "size", "command", "status", "page"):
        assert facts[key], key
    assert facts["command"].startswith("larpbench dataset ")
    assert facts["without"] or facts["status"] == "made on first use"
    assert not datasets_folder().exists()
    shown = cli("describe", "dataset", name).out
    assert facts["command"] in shown
    assert all(line.strip() for line in shown.splitlines())


def test_published_collections_name_where_they_are_had_and_what_to_do_without(cli):
    mpd, lfm = described(cli, "mpd"), described(cli, "lfm")
    assert "aicrowd.com" in mpd["where"]
    assert "1,000,000 playlists" in mpd["content"]
    assert "research only" in mpd["licence"]
    assert "withdrawn" in lfm["where"]
    for facts in (mpd, lfm):
        assert facts["status"].startswith("not built")
        assert any("dataset build csv" in sentence for sentence in facts["without"])
    assert "larpbench describe dataset mpd" not in cli("list", "datasets").out


def test_once_it_is_built_it_says_what_was_built(cli, home, tmp_path):
    write_zip(tmp_path / "mpd.zip", mpd_slices())
    sizes = ("--test-playlists", 5, "--train-tracks", 40, "--min-length", 2)
    assert cli("dataset", "build", "mpd", "--source", tmp_path / "mpd.zip", *sizes).code == 0
    facts = described(cli, "mpd")
    assert facts["status"] == "built"
    assert facts["splits"][2].startswith("test: ")
    assert "5 playlists" in facts["splits"][2]
    assert facts["folder"] == str(datasets_folder() / "mpd")
    assert "aicrowd.com" in facts["where"]


def test_a_folder_says_what_its_manifest_says(cli, tmp_path):
    made = build_split_tables(tmp_path / "mine")
    facts = described(cli, made.folder)
    assert facts["name"] == "mine"
    assert facts["licence"] == "none"
    assert facts["split_rule"] == "given"
    assert "24 tracks" in facts["splits"][0]
    assert "10 playlists" in facts["splits"][0]
    assert facts["fingerprint"] == made.manifest.fingerprint
    assert "dataset stats" in facts["next"]


def test_unknown_names_and_other_folders_are_refused(cli, tmp_path):
    unknown = cli("describe", "dataset", "mpdd")
    assert unknown.code == 2
    assert "mpd" in unknown.err
    empty = cli("describe", "dataset", tmp_path)
    assert empty.code == 2
    assert "dataset.json" in empty.err
