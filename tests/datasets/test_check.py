from __future__ import annotations

import itertools
import json

import numpy as np
import polars as pl
import pytest
from support.small_data import build_heard, build_split_tables, write_library

from larpbench import load_dataset


def test_a_whole_data_set_is_proven(cli, small):
    outcome = cli("dataset", "check", small.folder / "small")
    assert outcome.code == 0
    assert "track_ids shared by train and test: 0" in outcome.out
    assert "BAD" not in outcome.out


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("title", "Other", "digest of tracks.names"),
        ("artist", "Other", "digest of tracks.names"),
        ("caption", "Other words", "digest of tracks.text"),
        ("split", "valid", "digest of split"),
    ],
)
def test_edited_tracks_are_found(cli, small, column, value, message):
    path = small.folder / "small" / "tracks.parquet"
    frame = pl.read_parquet(path)
    edited = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    frame.with_columns(edited).write_parquet(path)
    outcome = cli("dataset", "check", small.folder / "small")
    assert outcome.code == 1
    assert f"BAD  {message}" in outcome.out
    refused = cli("run", "--dataset", small.folder / "small", "--output", small.folder / "r")
    assert refused.code == 2
    assert "was changed since it was built" in refused.err
    assert not (small.folder / "r").exists()


def test_a_data_set_of_another_artist_is_another_data_set(cli, small):
    pl.read_csv(small.tracks).with_columns(artist=pl.lit("One")).write_csv(small.tracks)
    build = ("dataset", "build", "csv", "--tracks", small.tracks, "--playlists", small.playlists, "--caption", "title")
    assert cli(*build, "--output", small.folder / "one").code == 0
    pl.read_csv(small.tracks).with_columns(artist=pl.lit("Two")).write_csv(small.tracks)
    assert cli(*build, "--output", small.folder / "two").code == 0
    one, two = (load_dataset(small.folder / name).manifest.fingerprint for name in ("one", "two"))
    assert one != two
    again = cli(*build, "--output", small.folder / "one")
    assert again.code == 2
    assert "holds something else" in again.err


def test_moved_roles_and_shared_tracks_are_found(cli, small):
    path = small.folder / "small" / "playlists.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(role=pl.lit("seed")).write_parquet(path)
    assert "BAD  digest of playlists" in cli("dataset", "check", small.folder / "small").out
    moved = frame.with_columns(
        split=pl.when(pl.col("playlist_id") == "p00000").then(pl.lit("valid")).otherwise("split")
    )
    moved.write_parquet(path)
    outcome = cli("dataset", "check", small.folder / "small", "--json")
    assert outcome.code == 1
    bad = [finding["what"] for finding in json.loads(outcome.out)["findings"] if not finding["ok"]]
    assert "entries whose track is not in the split of its playlist" in bad


@pytest.mark.parametrize("name", ["tracks.parquet", "playlists.parquet", "dataset.json"])
def test_damaged_files_are_named(cli, small, name):
    path = small.folder / "small" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for verb in (
        ("dataset", "check"),
        ("run", "--encoders", "tfidf", "--output", str(small.folder / "r"), "--dataset"),
    ):
        outcome = cli(*verb, small.folder / "small")
        assert outcome.code == 2
        assert name in outcome.err
        assert "Traceback" not in outcome.err


def test_a_table_with_other_columns_is_refused(cli, small):
    path = small.folder / "small" / "playlists.parquet"
    pl.read_parquet(path).drop("role").write_parquet(path)
    outcome = cli("dataset", "check", small.folder / "small")
    assert outcome.code == 2
    assert "other columns" in outcome.err


def test_stats_print_sizes_and_bounds(cli, small):
    found = json.loads(cli("dataset", "stats", small.folder / "small", "--json").out)
    test = next(row for row in found["sizes"] if row["split"] == "test")
    assert (test["tracks"], test["playlists"]) == (120, 30)
    recall = next(row for row in found["bounds"] if row["metric"] == "recall@10")
    assert 10 / 120 <= recall["chance"] <= 10 / 114
    assert "Chance and ceiling" in cli("dataset", "stats", small.folder / "small").out


def test_stats_say_how_wide_intervals_will_be_and_what_splits_share(cli, with_demo):
    found = json.loads(cli("dataset", "stats", "demo", "--json").out)
    rows = {row["metric"]: row for row in found["bounds"] if row["split"] == "test"}
    recall = 2 * rows["recall@10"]["chance"]
    heldout = found["manifest"]["counts"]["test.entries"] / 2
    assert rows["recall@10"]["interval"] == pytest.approx(2 * 1.96 * (recall * (1 - recall) / heldout) ** 0.5, rel=0.1)
    assert rows["ndcg@10"]["interval"] is None
    assert {row["of"] for row in found["overlaps"]} >= {"artist", "artist and album", "title"}
    assert found["homogeneity"] is None
    assert "smallest width for a recall of twice chance" in cli("dataset", "stats", "demo").out


def test_homogeneity_is_the_mean_cosine_of_the_pairs_of_a_playlist(cli, small):
    encoder = f"precomputed:{small.vectors}"
    found = json.loads(cli("dataset", "stats", small.folder / "small", "--encoder", encoder, "--json").out)
    stored = np.load(small.vectors)
    unit = {name: row / np.linalg.norm(row) for name, row in zip(stored["ids"], stored["embeddings"], strict=True)}
    playlists = pl.read_parquet(small.folder / "small" / "playlists.parquet").group_by("playlist_id")
    means = [
        np.mean([unit[a] @ unit[b] for a, b in itertools.combinations(rows["track_id"], 2)]) for _, rows in playlists
    ]
    assert found["homogeneity"] == pytest.approx(np.mean(means), abs=1e-6)
    assert "Homogeneity of the test playlists" in cli(
        "dataset", "stats", small.folder / "small", "--encoder", encoder
    ).out  # fmt: skip
    unknown = cli("dataset", "stats", "nothing")
    assert unknown.code == 2
    assert "unknown dataset 'nothing'" in unknown.err


def test_twice_chance_above_the_ceiling_has_no_interval(cli, tmp_path):
    data = build_split_tables(tmp_path / "few", tracks=24)
    found = json.loads(cli("dataset", "stats", data.folder, "--json").out)
    widths = {row["metric"]: (row["chance"], row["interval"]) for row in found["bounds"] if row["split"] == "test"}
    assert widths["recall@20"][0] > 0.5
    assert widths["recall@20"][1] is None
    assert widths["recall@10"][0] < 0.5
    assert widths["recall@10"][1] > 0


def test_copies_of_audio_are_counted_across_splits_and_within_test(cli, tmp_path):
    library = write_library(tmp_path / "library")
    copied = (library / "test-0-003.wav").read_bytes()
    for name in ("test-0-007", "test-0-008", "train-0-001"):
        (library / f"{name}.wav").write_bytes(copied)
    made = build_heard(tmp_path / "heard", library)
    checked = cli("dataset", "check", made.folder, "--json")
    assert checked.code == 0, checked.out  # copies make a data set worse, and not untrue
    found = json.loads(checked.out)
    shared = {(row["first"], row["second"]): row for row in found["overlaps"] if row["of"] == "audio (same bytes)"}
    assert {pair: row["shared"] for pair, row in shared.items()} == {
        ("train", "valid"): 0, ("train", "test"): 1, ("valid", "test"): 0,
    }  # fmt: skip
    assert shared["train", "test"]["share"] == pytest.approx(3 / 12)
    (copies,) = (row for row in found["copies"] if row["of"] == "audio (same bytes)")
    assert copies == {
        "split": "test", "of": "audio (same bytes)", "groups": 1, "tracks": 3, "share": 0.25,
        "example": ["test-0-003", "test-0-007", "test-0-008"],
    }  # fmt: skip
    assert "warning: 3 test tracks have the same audio (same bytes) as another" in checked.err
    plain = cli("dataset", "check", made.folder)
    assert "audio (same bytes): 3 tracks in 1 groups (25.0% of the tracks), such as 'test-0-003'" in plain.out
    described = cli("dataset", "stats", made.folder)
    assert "audio (same bytes): 3 tracks in 1 groups" in described.out
    assert json.loads(cli("dataset", "stats", made.folder, "--json").out)["copies"] == found["copies"]


def test_copies_of_songs_are_those_of_rule_13(cli, tmp_path):
    rows = [
        ("a", "Song (feat. Somebody)", "Beyoncé", "One", "train"),
        ("b", "Another", "B", "", "train"),
        ("c", "SONG - 2011 Remaster", "Beyonce", "Two", "test"),
        ("d", "Song", "BEYONCÉ", "", "test"),
        ("e", "Song (Live)", "Beyoncé", "", "test"),
        ("f", "", "Beyoncé", "", "test"),
    ]
    pl.DataFrame(rows, schema=["track_id", "title", "artist", "album", "split"], orient="row").write_csv(
        tmp_path / "t.csv"
    )
    entries = "playlist_id,track_id,split,role\np,a,train,\np,b,train,\nq,c,test,seed\nq,d,test,heldout\n"
    (tmp_path / "p.csv").write_text(entries)
    built = cli("dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
                "--output", tmp_path / "d")  # fmt: skip
    assert built.code == 0, built.err
    found = json.loads(cli("dataset", "check", tmp_path / "d", "--json").out)
    shared = {row["of"]: row for row in found["overlaps"] if (row["first"], row["second"]) == ("train", "test")}
    song = shared["artist and title (as in rule 13)"]
    assert (song["shared"], song["share"]) == (1, pytest.approx(2 / 3))
    assert shared["artist"]["shared"] == 1
    assert shared["artist and album"]["shared"] == 0
    (copies,) = found["copies"]
    assert (copies["of"], copies["groups"], copies["example"]) == (song["of"], 1, ["c", "d"])


def test_tracks_without_audio_and_rows_of_audio_that_fit_no_track_are_found(cli, tmp_path):
    made = build_heard(tmp_path / "heard", write_library(tmp_path / "library"))
    files = pl.read_parquet(made.folder / "audio-files.parquet")
    pl.concat([files[1:], files[-1:], files[-1:].with_columns(track_id=pl.lit("nobody"))]).write_parquet(
        made.folder / "audio-files.parquet"
    )
    tracks = pl.read_parquet(made.folder / "tracks.parquet")
    tracks.with_columns(
        audio=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit(None, dtype=pl.String)).otherwise("audio")
    ).write_parquet(made.folder / "tracks.parquet")
    checked = cli("dataset", "check", made.folder)
    assert checked.code == 1
    assert "BAD  tracks without audio, in a data set that has it: 1" in checked.out
    assert "BAD  rows of audio files that are there twice or of no track: 3" in checked.out
    assert "BAD  audio files: 1 differ: test-0-000" in checked.out
