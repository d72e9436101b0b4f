"""Yambda, TalkPlayData-Challenge, Melon and AotM-2011, from files written by hand in their exact formats."""

from __future__ import annotations

import datetime
import json

import numpy as np
import polars as pl
import pytest
from support.open_collections import (
    TALKPLAY_SETS,
    YAMBDA_LAST,
    YAMBDA_WEEKS,
    talkplay_id,
    talkplay_sessions,
    write_aotm,
    write_melon,
    write_onion,
    write_talkplay,
    write_yambda,
    yambda_likes,
)

WRITERS = {
    "onion": write_onion, "yambda": write_yambda, "talkplay": write_talkplay, "melon": write_melon, "aotm": write_aotm,
}  # fmt: skip


def build(cli, name, source, output, *more):
    return cli("dataset", "build", name, "--source", source, "--output", output, *more)


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


def entries(folder, *splits):
    frame = pl.read_parquet(folder / "playlists.parquet").filter(pl.col("split").is_in(splits))
    return set(frame.select("playlist_id", "track_id").iter_rows())


@pytest.mark.parametrize("name", WRITERS)
def test_built_checked_run_and_reported(cli, tmp_path, name):
    source = WRITERS[name](tmp_path / name)
    built = build(
        cli, name, source, tmp_path / "both", "--task", "continuation", "--min-length", "2", "--train-fraction", "0.4"
    )
    assert built.code == 0, built.err
    assert manifest(tmp_path / "both")["kind"] == "playlists"
    assert cli("dataset", "check", tmp_path / "both").code == 0
    cold = build(cli, name, source, tmp_path / "cold", "--task", "cold-tracks", "--cold-fraction", "0.4")
    assert cold.code == 0, cold.err
    assert manifest(tmp_path / "cold")["kind"] == "listeners"
    assert cli("dataset", "check", tmp_path / "cold").code == 0
    brought = json.loads(cli("list", "encoders", "--dataset", tmp_path / "both", "--json").out or "[]")
    ready = [row["name"] for row in brought if row["status"] == "ready"]
    assert bool(ready) == (name in ("onion", "yambda", "talkplay"))
    encoders = ",".join(["random", *ready])
    run = cli("run", "--dataset", tmp_path / "both", "--encoders", encoders, "--output", tmp_path / "r")
    assert run.code == 0, run.err
    known = cli(
        *("run", "--task", "cold-tracks", "--dataset", tmp_path / "cold", "--encoders", encoders),
        *("--recommenders", "itemknn,ridge", "--seeds", "1", "--budget", "1", "--output", tmp_path / "r"),
    )
    assert known.code == 0, known.err
    assert "## cold-tracks: cold" in known.out
    assert cli("report", tmp_path / "r", "--output", tmp_path / "report").code == 0
    described = json.loads(cli("describe", "dataset", name, "--json").out)
    assert described["page"] == f"docs/datasets/{name}.md"
    assert described["licence"]


class TestYambda:
    def test_the_last_weeks_are_cold(self, cli, tmp_path):
        built = build(cli, "yambda", write_yambda(tmp_path / "yambda"), tmp_path / "y")
        assert built.code == 0, built.err
        debut = {}
        for _, time, item in yambda_likes():
            debut[item] = min(time, debut.get(item, time))
        del debut[3]  # it has no vector
        cold = {str(item) for item, time in debut.items() if time > YAMBDA_LAST - YAMBDA_WEEKS}
        late = {str(item) for item, time in debut.items() if time > YAMBDA_LAST - 2 * YAMBDA_WEEKS} - cold
        pairs = {(str(uid), str(item)) for uid, _, item in yambda_likes() if item != 3}
        assert entries(tmp_path / "y", "test") == {pair for pair in pairs if pair[1] in cold}
        assert entries(tmp_path / "y", "valid") == {pair for pair in pairs if pair[1] in late}
        assert {track for _, track in entries(tmp_path / "y", "train")} == {*map(str, debut)} - cold - late
        assert "1 tracks without a vector in audio" in built.out

    def test_a_listen_counts_when_more_than_half_was_played(self, cli, tmp_path):
        source = write_yambda(tmp_path / "yambda")
        built = build(cli, "yambda", source, tmp_path / "y", "--events", "listens", "--cold-fraction", "0.2")
        assert built.code == 0, built.err
        listens = pl.read_parquet(source / "flat" / "50m" / "listens.parquet")
        counted = listens.filter((pl.col("played_ratio_pct") > 50) & (pl.col("item_id") != 3))
        wanted = counted.select(pl.col("uid").cast(pl.String), pl.col("item_id").cast(pl.String))
        assert entries(tmp_path / "y", "train", "valid", "test") == set(wanted.iter_rows())
        lost = listens.filter(pl.col("played_ratio_pct") <= 50).height
        assert manifest(tmp_path / "y")["left_out"]["rows: listens to 50 % of a track or less"] == lost

    def test_an_item_may_have_several_artists(self, cli, tmp_path):
        source = write_yambda(tmp_path / "yambda")
        assert build(cli, "yambda", source, tmp_path / "y").code == 0
        tracks = {row["track_id"]: row for row in pl.read_parquet(tmp_path / "y" / "tracks.parquet").to_dicts()}
        assert (tracks["1"]["artist"], tracks["1"]["artists"]) == ("artist 1", ["artist 1", "artist 20"])
        assert (tracks["2"]["artist"], tracks["2"]["album"]) == ("artist 2", "album 2")
        for name in ("artist_item_mapping.parquet", "album_item_mapping.parquet"):
            (source / name).unlink()
        built = build(cli, "yambda", source, tmp_path / "z")
        assert "artists are not known" in built.err

    def test_the_core_is_that_of_train(self, cli, tmp_path):
        built = build(cli, "yambda", write_yambda(tmp_path / "yambda"), tmp_path / "y", "--core", "9")
        assert built.code == 0, built.err
        tracks = [track for _, track in entries(tmp_path / "y", "train")]
        assert min(map(tracks.count, set(tracks))) >= 9
        assert len({track for _, track in entries(tmp_path / "y", "test")}) == 10, "cold tracks are not judged by it"

    def test_wrong_input_is_named(self, cli, tmp_path):
        source = write_yambda(tmp_path / "yambda")
        absent = build(cli, "yambda", source, tmp_path / "x", "--size", "5b")
        assert absent.code == 2
        assert "flat/5b/likes.parquet" in absent.err
        assert "Yambda's seconds" in build(cli, "yambda", source, tmp_path / "x", "--split-at", "2020,spring").err
        likes = source / "flat" / "50m" / "likes.parquet"
        whole = likes.read_bytes()
        likes.write_bytes(whole[:-30])
        assert "damaged or cut off" in build(cli, "yambda", source, tmp_path / "x").err
        pl.DataFrame({"uid": [1], "item": [1], "timestamp": [1]}).write_parquet(likes)
        assert "lacks the columns item_id" in build(cli, "yambda", source, tmp_path / "x").err


class TestTalkPlay:
    def test_sessions_are_playlists_and_users_are_listeners(self, cli, tmp_path):
        source = write_talkplay(tmp_path / "talkplay")
        rows = [row for split in talkplay_sessions().values() for row in split]
        lost = {10 + place for place, name in enumerate(TALKPLAY_SETS) if name != "cf-bpr"}
        wanted = {(session, talkplay_id(t)) for session, _, tracks in rows for t in tracks if t not in lost}
        options = ("--task", "continuation", "--train-fraction", "0", "--min-length", "1")
        assert build(cli, "talkplay", source, tmp_path / "all", *options).code == 0
        assert entries(tmp_path / "all", "test") == wanted
        assert build(cli, "talkplay", source, tmp_path / "users", "--task", "cold-tracks").code == 0
        of_users = {(user, talkplay_id(t)) for _, user, tracks in rows for t in tracks if t not in lost}
        assert entries(tmp_path / "users", "train", "valid", "test") == of_users

    def test_lists_of_different_lengths(self, cli, tmp_path):
        assert build(cli, "talkplay", write_talkplay(tmp_path / "t"), tmp_path / "o", "--vectors", "none").code == 0
        tracks = {row["track_id"]: row for row in pl.read_parquet(tmp_path / "o" / "tracks.parquet").to_dicts()}
        row = tracks[talkplay_id(3)]
        assert (row["title"], row["artist"], row["artists"]) == ("Song 3", "Artist 3", ["Artist 3", "Guest"])
        assert (row["tags"], row["release_date"]) == (["rock", "slow", "1999"], datetime.date(2003, 5, 31))
        assert (row["album"], row["popularity"]) == ("Album 0", 3.0)
        assert row["duration_s"] == pytest.approx(200.003)
        assert tracks[talkplay_id(7)]["title"] == ""
        assert tracks[talkplay_id(12)]["release_date"] is None
        assert tracks[talkplay_id(4)]["tags"] is None

    def test_the_set_made_from_interactions_is_a_leak(self, cli, tmp_path):
        assert build(cli, "talkplay", write_talkplay(tmp_path / "t"), tmp_path / "o").code == 0
        listed = cli("list", "encoders", "--dataset", tmp_path / "o", "--json")
        rows = {row["name"]: row["status"] for row in json.loads(listed.out)}
        assert rows.pop("provided:cf-bpr") == "leaky"
        assert set(rows.values()) == {"ready"}
        assert len(rows) == 5
        refused = cli("run", "--dataset", tmp_path / "o", "--encoders", "provided:cf-bpr", "--output", tmp_path / "r")
        assert refused.code == 2
        assert "made from the interactions that are tested" in refused.err
        ids = pl.read_parquet(tmp_path / "o" / "vectors" / "image-siglip2.ids.parquet")["track_id"]
        assert talkplay_id(11) not in set(ids)
        vectors = np.load(tmp_path / "o" / "vectors" / "image-siglip2.npy", mmap_mode="r")
        assert vectors.shape == (len(ids), 5)
        assert vectors.dtype == np.float32

    def test_the_leak_can_be_tested_as_a_yardstick_where_it_was_chosen(self, cli, tmp_path):
        source, chosen = write_talkplay(tmp_path / "t"), ("--vectors", "cf-bpr,audio-laion_clap")
        built = build(cli, "talkplay", source, tmp_path / "o", *chosen, "--task", "cold-tracks")
        assert "1 tracks without a vector in cf-bpr" in built.out
        encoders = "provided:cf-bpr,provided:audio-laion_clap"
        run = cli(
            *("run", "--task", "cold-tracks", "--dataset", tmp_path / "o", "--encoders", encoders, "--allow-leaky"),
            *("--recommenders", "itemknn", "--output", tmp_path / "r"),
        )
        assert run.code == 0, run.err
        assert "| provided:cf-bpr (control) | itemknn |" in run.out

    def test_a_copy_may_hold_a_track_in_several_files(self, cli, tmp_path):
        source = write_talkplay(tmp_path / "talkplay")
        assert build(cli, "talkplay", source, tmp_path / "a").code == 0
        for path in source.rglob("all_tracks-*.parquet"):
            part = pl.read_parquet(path).head(20)
            part.write_parquet(path.with_name("test_tracks-00000-of-00001.parquet"))
        assert build(cli, "talkplay", source, tmp_path / "b").code == 0
        assert manifest(tmp_path / "a")["fingerprint"] == manifest(tmp_path / "b")["fingerprint"]
        assert "unusable" not in cli("list", "encoders", "--dataset", tmp_path / "b").out

    def test_parts_that_are_missing_are_named(self, cli, tmp_path):
        source = write_talkplay(tmp_path / "talkplay")
        for path in (source / "TalkPlayData-Challenge-Track-Metadata").rglob("*.parquet"):
            path.unlink()
        refused = build(cli, "talkplay", source, tmp_path / "x")
        assert refused.code == 2
        assert "the metadata of the tracks of TalkPlayData-Challenge are not there" in refused.err
        assert "there is no" in build(cli, "talkplay", tmp_path / "nowhere", tmp_path / "x").err


class TestMelon:
    def test_train_alone_is_read(self, cli, tmp_path):
        source = write_melon(tmp_path / "melon")
        options = ("--train-fraction", "0", "--min-length", "1")
        built = build(cli, "melon", source, tmp_path / "m", *options)
        assert built.code == 0, built.err
        assert "not read, since they are masked: val.json, test.json" in built.err
        train = json.loads((source / "train.json").read_text())
        assert entries(tmp_path / "m", "test") == {(str(p["id"]), str(song)) for p in train for song in p["songs"]}
        assert manifest(tmp_path / "m")["left_out"] == {"playlists without tracks": 1, "duplicate entries": 1}
        tracks = {row["track_id"]: row for row in pl.read_parquet(tmp_path / "m" / "tracks.parquet").to_dicts()}
        assert (tracks["9"]["title"], tracks["9"]["artist"]) == ("노래 9", "가수 1")
        assert (tracks["9"]["artists"], tracks["9"]["release_date"]) == (["가수 1", "친구"], datetime.date(2009, 5, 14))
        assert tracks["7"]["release_date"] is None
        playlists = pl.read_parquet(tmp_path / "m" / "playlists.parquet").unique("playlist_id")
        rows = {row["playlist_id"]: row for row in playlists.to_dicts()}
        assert (rows["100005"]["tags"], rows["100005"]["updated"]) == (["락", "밤"], datetime.date(2013, 12, 19))

    def test_wrong_input_is_named(self, cli, tmp_path):
        source = write_melon(tmp_path / "melon")
        (source / "train.json").write_text('{"playlists": 1}')
        assert "the file" in build(cli, "melon", source, tmp_path / "x").err
        (source / "train.json").unlink()
        refused = build(cli, "melon", source, tmp_path / "x")
        assert refused.code == 2
        assert "val.json, test.json hold masked playlists" in refused.err


class TestAotm:
    def test_mixes_with_columns_of_their_own(self, cli, tmp_path):
        source = write_aotm(tmp_path / "aotm")
        path = source / "data" / "train-00000-of-00001.parquet"
        built = build(cli, "aotm", path, tmp_path / "a", "--train-fraction", "0", "--min-length", "1")
        assert built.code == 0, built.err
        mixes = pl.read_parquet(path)
        wanted = {(str(mix), song) for mix, songs in mixes.select("mix_id", "track_seq").iter_rows() for song in songs}
        assert entries(tmp_path / "a", "test") == wanted
        row = (
            pl.read_parquet(tmp_path / "a" / "playlists.parquet")
            .filter(pl.col("playlist_id") == "60007")
            .row(0, named=True)
        )
        assert (row["category"], row["date"]) == (mixes["category"][7], datetime.date(2007, 12, 17))
        assert "no titles, no artists, no sound" in manifest(tmp_path / "a")["notes"][0]

    def test_wrong_input_is_named(self, cli, tmp_path):
        (tmp_path / "x").mkdir()
        pl.DataFrame({"mix_id": [1], "track_seq": ["a"]}).write_parquet(tmp_path / "x" / "a.parquet")
        assert "lists of ids of songs" in build(cli, "aotm", tmp_path / "x", tmp_path / "o").err
        pl.DataFrame({"mix": [1]}).write_parquet(tmp_path / "x" / "a.parquet")
        assert "there are no mixes of AotM-2011" in build(cli, "aotm", tmp_path / "x", tmp_path / "o").err
