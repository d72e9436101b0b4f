from __future__ import annotations

import json

import polars as pl
import pytest

TRACKS = "track_id,title,artist,album\n" + "".join(f"{i:03d},Title {i},Artist {i % 3},\n" for i in range(12))
PLAYLISTS = "playlist_id,track_id\n" + "".join(f"p{p},{t:03d}\n" for p in range(4) for t in range(p, p + 6))


def build(cli, tmp_path, tracks=TRACKS, playlists=PLAYLISTS, *more):
    (tmp_path / "t.csv").write_text(tracks)
    (tmp_path / "p.csv").write_text(playlists)
    given = any("split" in table.partition("\n")[0].split(",") for table in (tracks, playlists))
    drawn = () if given else ("--train-fraction", "0", "--min-length", "2")
    return cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
        *drawn, "--output", tmp_path / "out", *more,
    )  # fmt: skip


def test_ids_stay_text_and_the_album_is_left_out_where_unknown(cli, tmp_path):
    assert build(cli, tmp_path).code == 0
    tracks = pl.read_parquet(tmp_path / "out" / "tracks.parquet")
    assert tracks["track_id"][0] == "000"
    assert tracks["caption"][1] == "The track Title 1 by Artist 1"


def test_parquet_input_gives_the_same_data_set(cli, tmp_path):
    built = build(cli, tmp_path)
    pl.read_csv(tmp_path / "t.csv", infer_schema=False).write_parquet(tmp_path / "t.parquet")
    pl.read_csv(tmp_path / "p.csv", infer_schema=False).write_parquet(tmp_path / "p.parquet")
    again = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "t.parquet", "--playlists", tmp_path / "p.parquet",
        "--train-fraction", "0", "--min-length", "2", "--output", tmp_path / "out2",
    )  # fmt: skip
    line = next(line for line in built.out.splitlines() if line.startswith("fingerprint"))
    assert line in again.out


@pytest.mark.parametrize(
    ("template", "caption"),
    [
        ("paper", "The track A {b} by C on album D"),
        ("release", "A {b} is a song by the artist C on the album D"),
        ("title", "A {b}"),
        ("title-artist", "A {b} by C"),
        ("no-artist", "The track A {b} on album D"),
    ],
)
def test_caption_templates(cli, tmp_path, template, caption):
    tracks = TRACKS + "x,A {b},C,D\n"
    assert build(cli, tmp_path, tracks, PLAYLISTS, "--caption", template).code == 0
    made = pl.read_parquet(tmp_path / "out" / "tracks.parquet")
    assert made.filter(pl.col("track_id") == "x")["caption"].item() == caption


@pytest.mark.parametrize(
    ("tracks", "playlists", "more", "message"),
    [
        ("track_id,title\n1,a\n", PLAYLISTS, (), "lacks the columns artist, album"),
        (TRACKS, "playlist,track_id\np,000\n", (), "lacks the column playlist_id"),
        (TRACKS + "003,Again,X,\n", PLAYLISTS, (), "occur more than once: '003'"),
        (TRACKS + ",No id,X,\n", PLAYLISTS, (), "empty track_id"),
        (TRACKS, "playlist_id,track_id\np,zzz\n", (), "no playlist holds a track"),
        (TRACKS, PLAYLISTS, ("--caption", "prose"), "unknown caption template"),
        (TRACKS, PLAYLISTS, ("--train-fraction", "1.5"), "train fraction"),
        (TRACKS, "playlist_id,track_id,role\np,000,seed\n", (), "nothing says their split"),
        (TRACKS, "playlist_id,track_id,split\np,000,tset\n", (), "split of tset"),
        (TRACKS, "playlist_id,track_id,split,role\np,000,test,hidden\n", (), "role of hidden"),
        (TRACKS, "playlist_id,track_id,split\np,000,test\nq,000,train\n", (), "1 tracks are in two splits: '000'"),
        (
            TRACKS,
            "playlist_id,track_id,split\np,000,test\np,001,train\n",
            ("--task", "continuation"),
            "1 playlists are in two splits: 'p'",
        ),
        (
            TRACKS.replace("album\n", "album,split\n").replace(",\n", ",,train\n"),
            "playlist_id,track_id,split\np,000,test\n",
            (),
            "1 tracks are in two splits: '000'",
        ),
    ],
)
def test_bad_tables_are_refused_with_the_reason_and_nothing_is_left(cli, tmp_path, tracks, playlists, more, message):
    outcome = build(cli, tmp_path, tracks, playlists, *more)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "t.csv"]


def test_files_that_are_no_tables_are_refused(cli, tmp_path):
    outcome = build(cli, tmp_path)
    assert outcome.code == 0
    whole = (tmp_path / "out" / "tracks.parquet").read_bytes()
    for name, content in [
        ("cut.parquet", whole[: len(whole) // 2]),
        ("empty.csv", b""),
        ("latin.csv", b"track_id\n\xe9"),
    ]:
        (tmp_path / name).write_bytes(content)
        refused = cli(
            "dataset", "build", "csv", "--tracks", tmp_path / name, "--playlists", tmp_path / "p.csv",
            "--output", tmp_path / "never",
        )  # fmt: skip
        assert refused.code == 2, name
        assert name in refused.err
        assert not (tmp_path / "never").exists()
    missing = cli("dataset", "build", "csv", "--tracks", "no.csv", "--playlists", "no.csv", "--output", tmp_path / "n")
    assert missing.code == 2
    assert "there is no file no.csv" in missing.err


def test_given_roles_are_taken_and_a_track_in_both_is_a_seed(cli, tmp_path):
    rows = "playlist_id,track_id,split,role\np,000,test,seed\np,000,test,heldout\np,001,test,heldout\nq,002,test,seed\n"
    outcome = build(cli, tmp_path, TRACKS, rows)
    assert outcome.code == 0, outcome.err
    assert "held-out entries that are seeds of the same playlist" in outcome.out
    made = pl.read_parquet(tmp_path / "out" / "playlists.parquet").select("playlist_id", "track_id", "role").rows()
    assert made == [("p", "000", "seed"), ("p", "001", "heldout"), ("q", "002", "seed")]
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert manifest["counts"]["test.tracks"] == 12


def test_tracks_in_no_playlist_are_train_where_there_is_a_train_split(cli, tmp_path):
    rows = "playlist_id,track_id,split\np,000,train\np,001,train\nq,002,test\nq,003,test\n"
    assert build(cli, tmp_path, TRACKS, rows).code == 0
    counts = json.loads((tmp_path / "out" / "dataset.json").read_text())["counts"]
    assert (counts["train.tracks"], counts["test.tracks"]) == (10, 2)


def test_playlists_of_one_track_are_kept_but_not_counted(cli, tmp_path):
    rows = "playlist_id,track_id,split\none,000,test\ntwo,001,test\ntwo,002,test\n"
    assert build(cli, tmp_path, TRACKS, rows).code == 0
    run = cli("run", "--dataset", tmp_path / "out", "--encoders", "tfidf", "--output", tmp_path / "results")
    assert run.code == 0, run.err
    assert "1 playlists counted (left out: 1 no seed)" in run.out


def test_a_data_set_where_no_playlist_counts_is_refused_before_anything_is_encoded(cli, tmp_path, home):
    rows = "playlist_id,track_id,split\none,000,test\n"
    assert build(cli, tmp_path, TRACKS, rows).code == 0
    for verb in ("plan", "run"):
        refused = cli(verb, "--dataset", tmp_path / "out", "--encoders", "tfidf", "--output", tmp_path / "results")
        assert refused.code == 2
        assert "no playlist of the test split has both a seed and a held-out track" in refused.err
    assert not list(home.rglob("*.safetensors"))


def test_few_valid_playlists_are_a_warning(cli, tmp_path):
    rows = "playlist_id,track_id,split\n" + "".join(f"p{n},{n:03d},valid\np{n},{n + 1:03d},valid\n" for n in (0, 2))
    assert "valid has only 2 playlists to score" in build(cli, tmp_path, TRACKS, rows).err


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_tables_are_not_read_from_json(cli, tmp_path, suffix):
    path = tmp_path / f"tracks{suffix}"
    path.write_text('{"track_id": "000", "title": "a"}\n')
    command = ("dataset", "build", "csv", "--tracks", path, "--playlists", path, "--output", tmp_path / "out")
    refused = cli(*command)
    assert refused.code == 2
    assert "tables are not read from JSON" in refused.err
    assert "allowed: CSV with a header, or Parquet" in refused.err


def test_building_twice_is_fine_and_building_over_something_else_is_not(cli, tmp_path):
    assert build(cli, tmp_path).code == 0
    assert build(cli, tmp_path).code == 0
    other = build(cli, tmp_path, TRACKS, PLAYLISTS, "--caption", "title")
    assert other.code == 2
    assert "holds something else" in other.err
