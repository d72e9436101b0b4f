"""The Million Playlist Dataset, from a zip of three slices written by hand in its exact format."""

from __future__ import annotations

import json
import os
import signal
import time
import zipfile

import polars as pl
import pytest
from support import forked
from support.published_data import draw_tracks, mpd_playlist, mpd_slices, track_id, write_challenge, write_zip
from support.sounds import write_tone

SIZES = ("--train-tracks", 150, "--valid-playlists", 15, "--test-playlists", 25)


@pytest.fixture
def archive(tmp_path):
    return write_zip(tmp_path / "spotify_million_playlist_dataset.zip", mpd_slices())


def build(cli, source, output, *more):
    return cli("dataset", "build", "mpd", "--source", source, "--output", output, *more)


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


def members(folder, split=None):
    frame = pl.read_parquet(folder / "playlists.parquet")
    frame = frame if split is None else frame.filter(pl.col("split") == split)
    return {name: set(rows["track_id"]) for (name,), rows in frame.group_by("playlist_id")}


def without(name):
    """A slice whose tracks lack something."""
    playlists = [mpd_playlist(pid, draw_tracks(pid, 400)) for pid in range(3_000, 3_010)]
    for playlist in playlists:
        for entry in playlist["tracks"]:
            del entry[name]
    return {"playlists": playlists}


def test_built_checked_and_run_under_its_name(cli, archive, home):
    refused = cli("run", "--dataset", "mpd", "--encoders", "tfidf", "--output", home / "r")
    assert refused.code == 3
    assert "next: larpbench dataset build mpd --source" in refused.err
    assert "not built" in cli("list", "datasets").out
    built = cli("dataset", "build", "mpd", "--source", archive, *SIZES)
    assert built.code == 0, built.err
    assert "licence: Million Playlist Dataset: research only" in built.out
    check = cli("dataset", "check", "mpd")
    assert check.code == 0, check.out
    run = cli("run", "--dataset", "mpd", "--encoders", "tfidf", "--output", home / "r")
    assert run.code == 0, run.err
    assert "25 playlists counted" in run.out
    assert "cannot be reproduced to the digit" in run.out
    assert "not built; next: larpbench dataset build mpd" not in cli("list", "datasets").out


@pytest.mark.parametrize("rule", ["tracks", "playlists"])
def test_without_sizes_the_split_is_the_protocols(cli, tmp_path, archive, rule):
    asked = () if rule == "tracks" else ("--split-rule", rule)
    assert build(cli, archive, tmp_path / "mpd", *asked).code == 0
    tracks, rows = {}, []
    for part in mpd_slices().values():
        for playlist in part["playlists"]:
            for entry in playlist["tracks"]:
                uri = entry["track_uri"].split(":")[-1]
                tracks[uri] = (uri, entry["track_name"], entry["artist_name"], entry["album_name"])
                rows.append((str(playlist["pid"]), uri))
    pl.DataFrame(list(tracks.values()), ["track_id", "title", "artist", "album"], orient="row").write_csv(
        tmp_path / "t.csv"
    )
    pl.DataFrame(rows, ["playlist_id", "track_id"], orient="row").write_csv(tmp_path / "p.csv")
    plain = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
        "--output", tmp_path / "csv", *asked,
    )  # fmt: skip
    assert plain.code == 0, plain.err
    collected, listed = manifest(tmp_path / "mpd"), manifest(tmp_path / "csv")
    assert collected["fingerprint"] == listed["fingerprint"]
    assert collected["split"]["rule"] == listed["split"]["rule"] == rule
    assert collected["left_out_entries"] == listed["left_out_entries"]
    assert sum(collected["left_out_entries"].values()) > 0


def entries_read(slices, keep=lambda playlist: True):
    """Entries of the playlists that are kept, each track of a playlist once."""
    return sum(
        len({entry["track_uri"] for entry in playlist["tracks"]})
        for part in slices.values()
        for playlist in part["playlists"]
        if keep(playlist)
    )


@pytest.mark.parametrize("more", [(), ("--split-rule", "playlists"), SIZES, ("--preset", "paper", *SIZES),
                                  ("--max-length", 6), ("--artist-disjoint",)])  # fmt: skip
def test_entries_that_left_are_counted_by_reason(cli, tmp_path, archive, more):
    built = build(cli, archive, tmp_path / "mpd", *more)
    assert built.code == 0, built.err
    made = manifest(tmp_path / "mpd")
    kept = sum(made["counts"][f"{name}.entries"] for name in ("train", "valid", "test"))
    assert kept + sum(made["left_out_entries"].values()) == entries_read(mpd_slices())
    assert f"entries: {kept} of {entries_read(mpd_slices())} kept" in built.out
    assert ("entries beyond 6 of a valid or test playlist" in made["left_out_entries"]) == ("--max-length" in more)
    assert cli("dataset", "check", tmp_path / "mpd").code == 0


def test_by_the_rule_tracks_artists_may_be_drawn_instead(cli, tmp_path, archive):
    built = build(cli, archive, tmp_path / "mpd", "--artist-disjoint", "--min-length", 2)
    assert built.code == 0, built.err
    assert manifest(tmp_path / "mpd")["split"]["rule"] == "tracks"
    tracks = pl.read_parquet(tmp_path / "mpd" / "tracks.parquet")
    assert tracks.height == 400
    assert tracks.group_by("artist").agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(tracks["split"]) == {"train", "valid", "test"}
    shares = tracks.group_by("artist").first()["split"].value_counts(normalize=True)
    assert 0.5 < dict(shares.iter_rows())["train"] < 0.9


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--preset", "paper", *SIZES, "--split-rule", "tracks"), "--preset paper has a rule of its own"),
        (("--test-playlists", 10, "--split-rule", "tracks"), "numbers of tracks and playlists are drawn by the rule"),
        (("--train-tracks", 100, "--split-rule", "tracks"), "numbers of tracks and playlists are drawn by the rule"),
    ],
)
def test_a_split_rule_beside_what_has_one_is_refused(cli, tmp_path, archive, more, message):
    refused = build(cli, archive, tmp_path / "never", *more)
    assert refused.code == 2
    assert message in refused.err
    assert not (tmp_path / "never").exists()


def test_a_folder_of_slices_gives_the_same_and_slices_come_in_the_order_of_their_numbers(cli, tmp_path, archive):
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(tmp_path / "unpacked")
    assert build(cli, archive, tmp_path / "zip", *SIZES).code == 0
    assert build(cli, tmp_path / "unpacked", tmp_path / "folder", *SIZES).code == 0
    found = [manifest(tmp_path / name) for name in ("zip", "folder")]
    assert found[0]["fingerprint"] == found[1]["fingerprint"]
    assert "3 slices (playlists 0 to 2999)" in found[0]["source"]


def test_the_papers_preset_lets_train_claim_first_and_cuts_test_playlists(cli, tmp_path):
    slices = mpd_slices(tracks=4_000)
    slices["mpd.slice.0-999.json"]["playlists"] += [
        mpd_playlist(pid, draw_tracks(pid, 4_000, 130, 160)) for pid in range(900, 960)
    ]
    source = write_zip(tmp_path / "mpd.zip", slices)
    built = build(cli, source, tmp_path / "mpd", "--preset", "paper", *SIZES)
    assert built.code == 0, built.err
    made = manifest(tmp_path / "mpd")
    assert (made["split"]["rule"], made["split"]["min_length"], made["split"]["max_length"]) == ("paper", 10, 101)
    assert made["counts"]["train.tracks"] == 150
    assert (made["counts"]["valid.playlists"], made["counts"]["test.playlists"]) == (15, 25)
    train = set(pl.read_parquet(tmp_path / "mpd" / "tracks.parquet").filter(pl.col("split") == "train")["track_id"])
    listed = {
        str(p["pid"]): [e["track_uri"][14:] for e in p["tracks"]] for s in slices.values() for p in s["playlists"]
    }
    valid = set().union(*members(tmp_path / "mpd", "valid").values())
    for name, found in members(tmp_path / "mpd", "test").items():
        left = [each for each in listed[name] if each not in train and each not in valid]
        assert found == set(left[:101])
        assert 10 <= len(found) <= 101
    assert max(map(len, members(tmp_path / "mpd", "test").values())) == 101
    for name, found in members(tmp_path / "mpd", "train").items():
        assert found == set(listed[name]) & train
    assert cli("dataset", "check", tmp_path / "mpd").code == 0


def test_another_seed_draws_otherwise_and_the_same_twice_the_same(cli, tmp_path, archive):
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        assert build(cli, archive, tmp_path / name, *SIZES, "--seed", seed).code == 0
    a, b, c = (manifest(tmp_path / name)["fingerprint"] for name in "abc")
    assert a == b != c
    again = build(cli, archive, tmp_path / "a", *SIZES)
    assert again.code == 0
    assert "read playlists" not in again.err
    other = build(cli, archive, tmp_path / "a", *SIZES, "--seed", 1)
    assert other.code == 2
    assert "holds something else" in other.err
    assert "read playlists" not in other.err


@pytest.mark.parametrize("preset", [(), ("--preset", "paper")])
def test_no_artist_is_in_two_splits_if_asked(cli, tmp_path, archive, preset):
    sizes = ("--train-tracks", 120, "--valid-playlists", 3, "--test-playlists", 3, "--min-length", 5)
    built = build(cli, archive, tmp_path / "mpd", *preset, *sizes, "--artist-disjoint")
    assert built.code == 0, built.err
    found = json.loads(cli("dataset", "check", tmp_path / "mpd", "--json").out)
    shared = {row["of"]: row["shared"] for row in found["overlaps"] if row["shared"]}
    assert shared == {}
    assert all(each["ok"] for each in found["findings"])
    assert min(manifest(tmp_path / "mpd")["counts"].values()) > 0


def test_test_playlists_of_the_challenge_set(cli, tmp_path, archive):
    challenge = write_challenge(tmp_path / "challenge_set.json")
    for name, more in [("paper", ("--preset", "paper", *SIZES)), ("protocol", ()), ("sized", SIZES)]:
        built = build(cli, archive, tmp_path / name, "--challenge", challenge, *more)
        assert built.code == 0, built.err
        assert set(members(tmp_path / name, "test")) == {"1000000", "1000002", "1000004", "1000006"}
        assert all(int(pid) < 1_000_000 for split in ("train", "valid") for pid in members(tmp_path / name, split))
        assert cli("dataset", "check", tmp_path / name).code == 0
    assert "25 test playlists were asked for, 4 have enough tracks" in build(
        cli, archive, tmp_path / "again", "--challenge", challenge, *SIZES
    ).err  # fmt: skip
    nothing = write_challenge(tmp_path / "small.json", playlists=1)
    nothing.write_text(nothing.read_text().replace('"pos": 99', '"pos": 98'))
    whole = json.loads(nothing.read_text())
    whole["playlists"][0]["tracks"].pop()
    nothing.write_text(json.dumps(whole))
    refused = build(cli, archive, tmp_path / "never", "--challenge", nothing)
    assert refused.code == 2
    assert "no playlist of the challenge set has 100 visible tracks" in refused.err


def test_reduced_copies_and_wrong_numbers_are_used_with_a_warning(cli, tmp_path):
    slices = mpd_slices()
    for playlist in slices["mpd.slice.1000-1999.json"]["playlists"]:
        for entry in playlist["tracks"]:
            for name in ("album_name", "album_uri", "pos", "artist_uri", "duration_ms"):
                del entry[name]
    first = slices["mpd.slice.0-999.json"]["playlists"]
    first[3]["num_tracks"] = 99
    first[4]["tracks"].append({**first[4]["tracks"][0], "pos": 50})
    first[5]["tracks"] = []
    first[6]["tracks"][0]["track_uri"] = None
    built = build(cli, write_zip(tmp_path / "mpd.zip", slices), tmp_path / "mpd", "--caption", "release")
    assert built.code == 0, built.err
    assert "warning: 3 playlists hold another number of tracks than num_tracks says" in built.err
    assert "warning: 1 slices lack album_name" in built.err
    left_out = manifest(tmp_path / "mpd")["left_out"]
    assert left_out["duplicate entries"] == 1
    assert left_out["playlists without tracks"] == 1
    assert left_out["entries without a track id"] == 1
    captions = pl.read_parquet(tmp_path / "mpd" / "tracks.parquet")["caption"]
    assert captions.str.contains(" on the album ").any()
    assert cli("dataset", "check", tmp_path / "mpd").code == 0
    for part in slices.values():
        for playlist in part["playlists"]:
            for entry in playlist["tracks"]:
                entry.pop("album_name", None)
    bare = build(cli, write_zip(tmp_path / "bare.zip", slices), tmp_path / "bare")
    assert bare.code == 0, bare.err
    assert not pl.read_parquet(tmp_path / "bare" / "tracks.parquet")["caption"].str.contains("album").any()


def test_files_that_are_no_slices_or_not_whole(cli, tmp_path, archive):
    whole = archive.read_bytes()
    slices = mpd_slices()
    cases = {
        "cut.zip": (whole[: len(whole) // 2], "the zip is damaged or cut off"),
        "flipped.zip": (whole[:5_000] + bytes(200) + whole[5_200:], "the zip is damaged or cut off"),
        "text.zip": (b"hello", "the zip is damaged or cut off"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        refused = build(cli, tmp_path / name, tmp_path / "never")
        assert (refused.code, "Traceback" in refused.err) == (2, False), name
        assert message in refused.err, name
    first = slices["mpd.slice.0-999.json"]
    other = {
        "twice": ({"mpd.slice.2000-2499.json": first}, "are there twice"),
        "pids": ({"mpd.slice.3000-3999.json": first}, "the same pid is in several"),
        "columns": ({"mpd.slice.3000-3999.json": {"playlists": [{"pid": 1, "songs": []}]}}, "no playlist of the file"),
        "artists": ({"mpd.slice.3000-3999.json": without("artist_name")}, "tracks with id, name and artist"),
        "uris": ({"mpd.slice.3000-3999.json": without("track_uri")}, "tracks with id, name and artist"),
        "kind": ({"mpd.slice.3000-3999.json": ["x"]}, "the file is no slice of playlists"),
    }
    for name, (content, message) in other.items():
        refused = build(cli, write_zip(tmp_path / f"{name}.zip", slices | content), tmp_path / "never")
        assert (refused.code, "Traceback" in refused.err) == (2, False), name
        assert message in refused.err, name
    assert "there are no slices" in build(cli, write_zip(tmp_path / "none.zip", {}), tmp_path / "never").err
    assert "there is no" in build(cli, tmp_path / "nothing.zip", tmp_path / "never").err
    assert not (tmp_path / "never").exists()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mpd.slice.0-999.json").write_text(json.dumps(first)[:-900])
    refused = build(cli, folder, tmp_path / "never")
    assert refused.code == 2
    assert "mpd.slice.0-999.json" in refused.err


def test_sizes_that_cannot_be_had(cli, tmp_path, archive):
    for more, message in [
        (("--train-tracks", 100_000, "--preset", "paper"), "no playlist has 10 tracks left for valid"),
        (("--test-playlists", 5, "--min-length", 90), "no playlist has 90 tracks left for test"),
        (("--min-length", 20, "--max-length", 10), "at least 20 and at most 10"),
        (("--caption", "prose"), "unknown caption template"),
    ]:
        refused = build(cli, archive, tmp_path / "never", *more)
        assert refused.code == 2, more
        assert message in refused.err
        assert not (tmp_path / "never").exists()
    few = build(cli, archive, tmp_path / "few", "--test-playlists", 10_000, "--valid-playlists", 1)
    assert few.code == 2
    assert "no playlist has 5 tracks left for valid" in few.err


def test_audio_by_id_leaves_only_tracks_that_can_be_heard(cli, tmp_path, archive):
    for number in range(60):
        if number != 17:
            suffix = ("ogg", "flac", "wav")[number % 3]
            write_tone(tmp_path / "clips" / str(number % 5) / f"{track_id(number)}.{suffix}", 200 + number, seconds=1)
    (tmp_path / "clips" / f"{track_id(17)}.mp3").write_text("no music")
    write_tone(tmp_path / "clips" / "unknown.ogg", 300)
    sizes = ("--test-playlists", 5, "--valid-playlists", 3, "--min-length", 2)
    built = build(cli, archive, tmp_path / "mpd", "--audio", tmp_path / "clips", *sizes)
    assert built.code == 0, built.err
    assert "audio: 60 of 400 tracks have a file (15.0%)" in built.err
    assert "1 files belong to no track" in built.err
    assert "340 tracks without an audio file" in built.out
    assert "1 tracks whose audio is unreadable" in built.out
    tracks = pl.read_parquet(tmp_path / "mpd" / "tracks.parquet")
    assert set(tracks["track_id"]) <= {track_id(number) for number in range(60)} - {track_id(17)}
    assert tracks["audio"].null_count() == 0
    assert cli("dataset", "check", tmp_path / "mpd").code == 0
    run = cli("run", "--dataset", tmp_path / "mpd", "--encoders", "handcrafted,tfidf", "--output", tmp_path / "r")
    assert run.code == 0, run.err
    rows = "".join(f"spotify:track:{path.stem},{path}\n" for path in (tmp_path / "clips").rglob("*.*"))
    (tmp_path / "clips.csv").write_text("track_id,path\n" + rows)
    by_table = build(cli, archive, tmp_path / "table", "--audio", tmp_path / "clips.csv", *sizes)
    assert by_table.code == 0, by_table.err
    assert manifest(tmp_path / "table")["fingerprint"] == manifest(tmp_path / "mpd")["fingerprint"]


def test_audio_that_matches_nothing(cli, tmp_path, archive):
    write_tone(tmp_path / "clips" / "my song.ogg", 300)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("id,file\nx,y\n")
    for audio, message in [
        ("clips", "none of 1 audio files belongs to any of 400 tracks"),
        ("empty", "there are no audio files"),
        ("gone", "there is no"),
        ("bad.csv", "lacks the columns track_id, path"),
    ]:
        refused = build(cli, archive, tmp_path / "never", "--audio", tmp_path / audio)
        assert refused.code == 2
        assert message in refused.err
        assert not (tmp_path / "never").exists()


def test_after_kills_the_same_command_gives_what_an_uninterrupted_one_does(cli, tmp_path):
    slices = {}
    for first in range(0, 30_000, 1_000):
        playlists = [mpd_playlist(pid, draw_tracks(pid, 4_000)) for pid in range(first, first + 40)]
        slices[f"mpd.slice.{first}-{first + 999}.json"] = {"info": {}, "playlists": playlists}
    source = write_zip(tmp_path / "mpd.zip", slices)
    assert build(cli, source, tmp_path / "whole", *SIZES).code == 0
    command = ("dataset", "build", "mpd", "--source", source, "--output", tmp_path / "killed", *SIZES)
    for pieces in (3, 11, 24, 30):
        process = forked.start(*command)
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob(".larpbench-work-killed-*/*.json"))) < pieces and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.communicate().code == -signal.SIGKILL
        assert not (tmp_path / "killed").exists()
        assert cli("dataset", "check", tmp_path / "killed").code == 2
    (kept,) = tmp_path.glob(".larpbench-work-killed-*")
    assert len(list(kept.glob("*.json"))) == 30
    done = forked.run(*command)
    assert done.code == 0, done.err
    names = {"name": "", "recipe": ""}
    assert manifest(tmp_path / "killed") | names == manifest(tmp_path / "whole") | names
    assert not list(tmp_path.glob(".*"))
