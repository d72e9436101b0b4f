"""Splits that leave nothing to train on, that contradict what was asked, or that hold what no score can count."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from larpbench.datasets.files import read_dataset, read_manifest
from larpbench.fingerprint import digest_file

SMALL = Path(__file__).parents[1] / "fixtures" / "earlier-version" / "small"


def long_tailed(folder, playlists=1_500, tracks=3_000, seed=0):
    """Playlists of 6 to 130 tracks; the first tracks are in very many of them, most are in few."""
    generator = np.random.default_rng(seed)
    weights = 1 / (np.arange(tracks) + 20.0)
    lengths = np.clip(generator.lognormal(3.5, 0.8, playlists), 6, 130).astype(int)
    drawn = [generator.choice(tracks, size, replace=False, p=weights / weights.sum()) for size in lengths]
    ids = [f"t{track}" for track in range(tracks)]
    folder.mkdir()
    pl.DataFrame({"track_id": ids, "title": ids, "artist": ids, "album": ids}).write_parquet(folder / "t.parquet")
    pl.DataFrame(
        {
            "playlist_id": [f"p{number}" for number, each in enumerate(drawn) for _ in each],
            "track_id": [f"t{track}" for each in drawn for track in each],
        }
    ).write_parquet(folder / "p.parquet")
    return "--tracks", folder / "t.parquet", "--playlists", folder / "p.parquet"


def test_the_rule_playlists_starves_train_and_the_default_does_not(cli, tmp_path):
    tables = long_tailed(tmp_path / "tables")
    entries = pl.read_parquet(tmp_path / "tables" / "p.parquet").height
    starved = cli("dataset", "build", "csv", *tables, "--split-rule", "playlists", "--output", tmp_path / "starved")
    fed = cli("dataset", "build", "csv", *tables, "--output", tmp_path / "fed")
    assert (starved.code, fed.code) == (0, 0)
    before, after = (read_manifest(tmp_path / name) for name in ("starved", "fed"))
    assert (before.split.rule, after.split.rule) == ("playlists", "tracks")
    assert before.counts["train.entries"] < 0.05 * entries
    assert after.counts["train.entries"] > 0.4 * entries
    assert after.counts["train.playlists"] > 0.6 * 1_500
    assert min(after.counts.values()) > 0
    for made in (before, after):
        kept = sum(made.counts[f"{name}.entries"] for name in ("train", "valid", "test"))
        assert kept + sum(made.left_out_entries.values()) == entries
    kept = sum(before.counts[f"{name}.entries"] for name in ("train", "valid", "test"))
    assert f"entries: {kept} of {entries} kept" in starved.out
    reason = "entries whose track belongs to another split"
    assert f"dropped: {before.left_out_entries[reason] / entries:.1%} of the entries: {reason}" in starved.out
    assert (
        f"warning: {1 - kept / entries:.0%} of the playlist entries were dropped; --split-rule tracks keeps more"
        in starved.err
    )


def test_an_empty_split_is_said_with_the_option_that_mends_it(cli, tmp_path):
    generator = np.random.default_rng(0)
    rows = [(f"p{p}", f"t{t}") for p in range(300) for t in generator.permutation(40)[:20]]
    pl.DataFrame(rows, schema=["playlist_id", "track_id"], orient="row").write_csv(tmp_path / "p.csv")
    ids = [f"t{track}" for track in range(40)]
    pl.DataFrame({"track_id": ids, "title": ids, "artist": ids, "album": ids}).write_csv(tmp_path / "t.csv")
    build = ("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv", "--output")
    starved = cli(*build, tmp_path / "starved", "--split-rule", "playlists")
    assert starved.code == 0
    assert "warning: there is no playlist for train and valid; --split-rule tracks keeps more" in starved.err
    fed = cli(*build, tmp_path / "fed", "--min-length", 2)
    assert fed.code == 0
    assert "no playlist is left" not in fed.err
    short = cli(*build, tmp_path / "short", "--min-length", 10)
    assert "there is no playlist for valid and test; a lower --min-length" in short.err
    frozen = cli(*build, tmp_path / "frozen", "--train-fraction", 0)
    assert (frozen.code, frozen.err.count("warning")) == (0, 0)
    assert read_manifest(tmp_path / "frozen").split.rule == "playlists"
    refused = cli(*build, tmp_path / "never", "--train-fraction", 0, "--split-rule", "tracks")
    assert refused.code == 2
    assert "everything is test" in refused.err
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("option", [("--split-rule", "tracks"), ("--train-fraction", "0.7"), ("--min-length", "5")])
def test_options_of_the_draw_are_refused_where_the_split_is_given(cli, small, option):
    refused = cli(
        "dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists, *option,
        "--output", small.folder / "never",
    )  # fmt: skip
    assert refused.code == 2
    assert f"{option[0]} would change nothing" in refused.err
    assert not (small.folder / "never").exists()


def test_a_manifest_of_an_earlier_version_names_the_rule_playlists(cli, tmp_path):
    shutil.copytree(SMALL, tmp_path / "old")
    path = tmp_path / "old" / "dataset.json"
    manifest = json.loads(path.read_text())
    manifest["split"]["rule"] = "cold-start"
    path.write_text(json.dumps(manifest))
    read = read_dataset(tmp_path / "old").manifest
    assert (read.split.rule, read.left_out_entries, read.uncounted) == ("playlists", None, {})
    assert read.split == read.split.model_copy(update={"rule": "playlists"})
    assert json.loads(read.model_dump_json())["split"]["rule"] == "playlists"
    checked = cli("dataset", "check", tmp_path / "old")
    assert checked.code == 0, checked.out
    assert cli("dataset", "stats", tmp_path / "old").code == 0


ROLES = "playlist_id,track_id,split,role\n"
GOOD = "good,t3,test,seed\ngood,t4,test,heldout\n"


@pytest.mark.parametrize(
    ("rows", "uncounted", "bad"),
    [
        ("p,t1,test,seed\np,t2,test,seed\n" + GOOD, {"test": 1}, ["test"]),
        ("p,t1,test,seed\n" + GOOD, {"test": 1}, ["test"]),
        ("p,t1,test,seed\np,t1,test,heldout\n" + GOOD, {"test": 1}, ["test"]),
        ("p,t1,test,heldout\np,t2,test,heldout\n" + GOOD, {"test": 1}, ["test"]),
        ("p,t1,test,heldout\np,t2,test,heldout\nq,t3,valid,seed\nq,t4,valid,seed\n",
         {"valid": 1, "test": 1}, ["valid", "test"]),
        ("p,t1,test,heldout\n" + GOOD, {"test": 1}, []),
        (GOOD, {}, []),
    ],
)  # fmt: skip
def test_playlists_that_no_score_can_count_are_said_and_found(cli, tmp_path, rows, uncounted, bad):
    ids = [f"t{track}" for track in range(6)]
    pl.DataFrame({"track_id": ids, "title": ids, "artist": ids, "album": ids}).write_csv(tmp_path / "t.csv")
    (tmp_path / "p.csv").write_text(ROLES + rows)
    built = cli("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
                "--output", tmp_path / "d")  # fmt: skip
    assert built.code == 0, built.err
    assert read_manifest(tmp_path / "d").uncounted == uncounted
    checked = cli("dataset", "check", tmp_path / "d")
    assert checked.code == (1 if bad else 0), checked.out
    for name in ("valid", "test"):
        mark, count = ("BAD", 1) if name in bad else ("ok ", 0)
        assert f"{mark}  {name} playlists without a seed or without a held-out track: {count}" in checked.out
        count = uncounted.get(name, 0)
        assert (f"warning: {count} {name} playlists lack a seed or a held-out track" in built.err) == bool(count)


def test_drawn_playlists_of_one_track_are_found_too(cli, tmp_path):
    ids = [f"t{track}" for track in range(6)]
    pl.DataFrame({"track_id": ids, "title": ids, "artist": ids, "album": ids}).write_csv(tmp_path / "t.csv")
    (tmp_path / "p.csv").write_text("playlist_id,track_id\np,t1\nq,t2\nq,t3\n")
    build = ("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv")
    built = cli(*build, "--train-fraction", 0, "--min-length", 1, "--output", tmp_path / "one")
    assert "1 test playlists lack a seed or a held-out track" in built.err
    assert "--min-length of 2" in built.err
    checked = cli("dataset", "check", tmp_path / "one")
    assert checked.code == 0
    assert "ok   test playlists that scores count: 1 of 2; 1 have one track" in checked.out
    (tmp_path / "p.csv").write_text("playlist_id,track_id\np,t1\nq,t2\n")
    assert cli(*build, "--train-fraction", 0, "--min-length", 1, "--output", tmp_path / "alone").code == 0
    assert "BAD  test playlists that scores count: 0 of 2" in cli("dataset", "check", tmp_path / "alone").out
    (tmp_path / "p.csv").write_text("playlist_id,track_id\np,t1\nq,t2\nq,t3\n")
    assert cli(*build, "--train-fraction", 0, "--min-length", 2, "--output", tmp_path / "two").code == 0
    assert cli("dataset", "check", tmp_path / "two").code == 0


def test_roles_of_train_entries_are_counted_and_not_taken(cli, tmp_path):
    ids = [f"t{track}" for track in range(6)]
    pl.DataFrame({"track_id": ids, "title": ids, "artist": ids, "album": ids}).write_csv(tmp_path / "t.csv")
    rows = "p,t1,train,seed\np,t1,train,heldout\np,t2,train,\nq,t3,test,seed\nq,t4,test,heldout\n"
    (tmp_path / "p.csv").write_text(ROLES + rows)
    built = cli("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
                "--output", tmp_path / "d")  # fmt: skip
    assert built.code == 0, built.err
    assert "left out: 2 roles of train entries, which are all members" in built.out
    assert read_dataset(tmp_path / "d").playlists.filter(pl.col("split") == "train")["role"].to_list() == ["member"] * 2
    assert cli("dataset", "check", tmp_path / "d").code == 0


def edited(folder, change):
    """Change the manifest or a table, and its digest in the manifest, so that only the contradiction is left."""
    path = folder / "dataset.json"
    manifest = json.loads(path.read_text())
    change(manifest, folder)
    manifest["files"] = {name: digest_file(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest))


def lose_a_role(_manifest, folder):
    path = folder / "playlists.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(
        role=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(None, dtype=pl.String)).otherwise("role")
    ).write_parquet(path)


def lose_a_split(_manifest, folder):
    path = folder / "tracks.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(
        split=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(None, dtype=pl.String)).otherwise("split")
    ).write_parquet(path)


def spoil_an_id(_manifest, folder):
    for name in ("tracks.parquet", "playlists.parquet"):
        frame = pl.read_parquet(folder / name)
        frame.with_columns(pl.col("track_id").str.replace("^t00000$", "t\x1b[31m")).write_parquet(folder / name)


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        (lambda manifest, _: manifest["counts"].update({"test.playlists": 31}), "counts of the manifest"),
        (lambda manifest, _: manifest["counts"].pop("test.entries"), "counts of the manifest"),
        (lambda manifest, _: manifest["digests"].update({"tracks.audio": "0" * 64}), "digest of tracks.audio"),
        (lose_a_role, "playlist entries without a role"),
        (lose_a_split, "tracks in no split"),
        (spoil_an_id, "track ids that are empty or have control characters"),
    ],
)
def test_what_contradicts_itself_is_found(cli, small, change, bad):
    edited(small.folder / "small", change)
    checked = cli("dataset", "check", small.folder / "small")
    assert checked.code == 1
    assert f"BAD  {bad}: " in checked.out
    assert "\x1b" not in checked.out


def test_a_table_that_only_says_the_same_is_not_the_one_that_was_built(cli, small):
    path = small.folder / "small" / "tracks.parquet"
    pl.read_parquet(path).write_parquet(path, compression="uncompressed")
    checked = cli("dataset", "check", small.folder / "small")
    assert checked.code == 1
    assert "BAD  table files: changed or gone: 'tracks.parquet'" in checked.out


def test_ids_that_differ_by_letter_case_are_not_shared(cli, tmp_path):
    (tmp_path / "t.csv").write_text(
        "track_id,title,artist,album,split\nAb,One,A,,train\naB,Two,B,,train\nab,Three,C,,test\nAB,Four,D,,test\n"
    )
    (tmp_path / "p.csv").write_text(ROLES + "P,Ab,train,\nP,aB,train,\np,ab,test,seed\np,AB,test,heldout\n")
    built = cli("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
                "--output", tmp_path / "d")  # fmt: skip
    assert built.code == 0, built.err
    checked = cli("dataset", "check", tmp_path / "d", "--json")
    assert checked.code == 0, checked.out
    assert not [row for row in json.loads(checked.out)["overlaps"] if row["shared"]]
