"""Splits by date, to sizes and without shared artists, of tables and of libraries."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sounds import write_tone

from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.check import check_dataset
from larpbench.datasets.files import read_manifest
from larpbench.datasets.schema import SPLITS, SplitRule
from larpbench.datasets.splits.dates import DateSplit, parse_split_by, periods
from larpbench.errors import DataError, UsageError

PERIODS = ["train", "valid", "test"]


def tables(n_tracks=240, n_playlists=120, artists=60, seed=0, length=20):
    """Tracks of 2000 to 2023, the artist's own years within four of each other, and playlists of any of them."""
    generator = np.random.default_rng(seed)
    artist = generator.integers(artists, size=n_tracks)
    debut = generator.integers(2000, 2020, artists)
    tracks = pl.DataFrame(
        {
            "track_id": [f"t{number:04d}" for number in range(n_tracks)],
            "title": [f"Song {number}" for number in range(n_tracks)],
            "artist": [f"Artist {number}" for number in artist],
            "album": [""] * n_tracks,
            "release_year": debut[artist] + generator.integers(0, 4, n_tracks),
        }
    )
    rows = [(f"p{p}", f"t{t:04d}") for p in range(n_playlists) for t in generator.permutation(n_tracks)[:length]]
    return tracks, pl.DataFrame(rows, schema=["playlist_id", "track_id"], orient="row")


def split_of(dataset, column="track_id"):
    return dict(getattr(dataset, f"{column[:-3]}s").select(column, "split").unique().iter_rows())


def artists_in_two_splits(dataset):
    counts = dataset.tracks.filter(pl.col("artist") != "").group_by(pl.col("artist").str.to_lowercase())
    return counts.agg(pl.col("split").n_unique()).filter(pl.col("split") > 1).height


@pytest.mark.parametrize(
    ("values", "boundaries", "found"),
    [
        ([2019, 2020, 2021, 2022, None], "2020,2022", "train valid valid test -"),
        ([2019.0, 2020.0, 2022.5, float("nan")], "2020,2022", "train valid test -"),
        ([" 2019", "2020", "2022", ""], "2020,2022", "train valid test -"),
        (["1999", "2020-05", "2019-12-31", "2022-01-01T08:00:00Z"], "2020,2022", "train valid train test"),
        (["2019-12-31", "2020-06-01", "2020-12-31"], "2020-01,2020-12-31", "train valid test"),
        ([0.2, 0.5, 7.0], "0.5,1e0", "train valid test"),
        ([-3, -2, 8, 9], "-2,9", "train valid valid test"),
        (["2019", "2020", "2022", "unknown", "nan"], "2020,2022", "train valid test - -"),
    ],
)
def test_values_are_numbers_or_days(values, boundaries, found):
    tracks = pl.DataFrame({"track_id": [f"t{n}" for n in range(len(values))], "released": values}, strict=False)
    places, left_out = periods(tracks, parse_split_by(f"released:{boundaries}"))
    assert [*places] == [-1 if name == "-" else PERIODS.index(name) for name in found.split()]
    assert sum(left_out.values()) == found.count("-")


def test_dates_of_polars_are_days_too():
    text = pl.Series(["2019-12-31", "2020-01-01", "2022-07-01", None])
    for column in (text.str.to_date(), text.str.to_datetime("%Y-%m-%d"), text.cast(pl.Categorical)):
        tracks = pl.DataFrame({"track_id": ["a", "b", "c", "d"], "Release Date": column})
        places, left_out = periods(tracks, DateSplit("release_date", ("2020", "2022-07-01")))
        assert places.tolist() == [0, 1, 2, -1]
        assert left_out == {"tracks without a value in Release Date": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("release_year", "no split by date"),
        ("release_year:2020", "no split by date"),
        ("release_year:2020,2021,2022", "no split by date"),
        (":2020,2022", "no split by date"),
        ("release_year:2022,2020", "do not increase"),
        ("release_year:2020,2020-01-01", "do not increase"),
        ("release_year:then,now", "no boundary to split at: 'then', 'now'"),
        ("release_year:2020-13-01,2021", "no boundary to split at: '2020-13-01'"),
    ],
)
def test_a_split_that_is_none_is_refused(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_split_by(text)
    assert "COLUMN:A,B" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "column", "message"),
    [
        ([2019, 2020, 2022], "year", "no column 'year'"),
        (["rock", "pop", "2022"], "released", "holds no dates or numbers"),
        ([True, False, True], "released", "holds Boolean"),
        ([None, None, None], "released", "has no values"),
        ([1990, 1991, 1992], "released", "no track is in valid"),
        ([2019, 2020, 2021], "released", "no track is in test"),
    ],
)
def test_a_column_that_splits_nothing_is_refused(values, column, message):
    tracks = pl.DataFrame({"track_id": ["a", "b", "c"], "released": values})
    with pytest.raises(DataError, match=message) as caught:
        periods(tracks, DateSplit(column, ("2020", "2022")))
    if column == "year":
        assert "released" in str(caught.value)


ways = st.sampled_from(
    [
        {"split_by": "release_year:2012,2016"},
        {"split_by": "release_year:2012,2016", "train_fraction": 0.4},
        {"split_rule": "tracks"},
        {"split_rule": "playlists"},
        {"test_playlists": 9},
        {"valid_playlists": 6, "test_playlists": 5, "train_tracks": 60},
        {"train_tracks": 80},
    ]
)


@settings(max_examples=20, deadline=None)
@given(
    how=ways,
    artist_disjoint=st.booleans(),
    seed=st.integers(0, 500),
    undated=st.sets(st.integers(0, 239), max_size=40),
)
def test_no_way_to_split_shares_a_track_or_an_artist(tmp_path_factory, how, artist_disjoint, seed, undated):
    tracks, playlists = tables(seed=seed, n_playlists=80)
    year = pl.when(~pl.int_range(pl.len()).is_in(sorted(undated))).then("release_year")
    tracks = tracks.with_columns(release_year=year)
    chosen = BuildOptions("x", "s", "l", split_seed=seed, min_length=2, artist_disjoint=artist_disjoint, **how)
    try:
        made = assemble(tracks, playlists, chosen, tmp_path_factory.mktemp("split") / "data")
    except DataError as error:
        assert artist_disjoint or "no playlist has" in error.what, error
        assert error.next_step
        return
    assert all(finding.ok for finding in check_dataset(made.folder))
    splits, lists = split_of(made), split_of(made, "playlist_id")
    members = made.playlists.select("playlist_id", "track_id").rows()
    assert all(splits[track] == lists[playlist] for playlist, track in members)
    assert made.playlists.height + sum(made.manifest.left_out_entries.values()) == playlists.height or (
        made.manifest.split.test_playlists or made.manifest.split.train_tracks
    )
    if artist_disjoint:
        assert artists_in_two_splits(made) == 0
    rule = made.manifest.split
    assert rule.artist_disjoint is artist_disjoint
    if "split_by" in how:
        years = dict(tracks.select("track_id", "release_year").iter_rows())
        of = {track: SPLITS[(year >= 2012) + (year >= 2016)] for track, year in years.items() if year is not None}
        assert all(of[track] == split for track, split in splits.items())
        assert (rule.rule, rule.column, rule.boundaries) == ("date", "release_year", ("2012", "2016"))
        left = made.manifest.left_out
        assert left.get("tracks without a value in release_year", 0) == len(undated)
        assert made.tracks.height == 240 - sum(count for reason, count in left.items() if reason.startswith("tracks"))
        if not artist_disjoint:
            assert set(splits) == set(of)
    else:
        assert (rule.column, rule.boundaries) == (None, None)
        assert "column" not in json.loads((made.folder / "dataset.json").read_text())["split"]
    sizes = {name: count for name in SPLITS if (count := how.get(f"{name}_playlists"))}
    assert all(made.manifest.counts[f"{name}.playlists"] == count for name, count in sizes.items())


def test_an_artist_belongs_to_the_last_period_of_theirs(tmp_path):
    tracks, playlists = tables()
    options = BuildOptions("x", "s", "l", split_by="release_year:2012,2016", artist_disjoint=True, min_length=1)
    made = assemble(tracks, playlists, options, tmp_path / "data")
    last = tracks.group_by("artist").agg(pl.col("release_year").max())
    expected = {artist: SPLITS[(year >= 2012) + (year >= 2016)] for artist, year in last.iter_rows()}
    kept = dict(made.tracks.select("artist", "split").unique().iter_rows())
    assert all(expected[artist] == split for artist, split in kept.items())
    assert sum(split == "test" for split in kept.values()) == sum(split == "test" for split in expected.values())
    assert made.manifest.left_out["tracks whose artist has tracks of a later split"] == 240 - made.tracks.height


def test_playlists_of_a_split_by_date_are_those_of_the_rule_tracks(tmp_path):
    tracks, playlists = tables()
    common = {"source": "s", "licence": "l", "min_length": 1}
    by_date = assemble(
        tracks, playlists, BuildOptions("a", **common, split_by="release_year:2012,2016"), tmp_path / "a"
    )
    by_hash = assemble(tracks, playlists, BuildOptions("b", **common), tmp_path / "b")
    one, other = split_of(by_date, "playlist_id"), split_of(by_hash, "playlist_id")
    assert {name: other[name] for name in one if name in other} == {name: one[name] for name in one if name in other}
    frozen = BuildOptions("c", **common, split_by="release_year:2012,2016", train_fraction=0)
    whole = assemble(tracks, playlists, frozen, tmp_path / "c")
    assert set(split_of(whole, "playlist_id").values()) == {"test"}
    assert set(split_of(whole).values()) == set(SPLITS)


def build(cli, tmp_path, *more, output="data", tracks=None):
    frames = tables() if tracks is None else (tracks, tables()[1])
    for name, frame in zip(("t", "p"), frames, strict=True):
        frame.write_csv(tmp_path / f"{name}.csv")
    given = ("--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv", "--output", tmp_path / output)
    return cli("dataset", "build", "csv", *given, *more)


def test_the_command_splits_by_date_and_every_table_says_so(cli, tmp_path, home):
    outcome = build(cli, tmp_path, "--split-by", "release_year:2012,2016", "--min-length", 2)
    assert outcome.code == 0, outcome.err
    manifest = read_manifest(tmp_path / "data")
    assert manifest.split == SplitRule(
        rule="date", roles="drawn", seed=0, train_fraction=0.7, min_length=2,
        column="release_year", boundaries=("2012", "2016"),
    )  # fmt: skip
    assert cli("dataset", "check", tmp_path / "data").code == 0
    run = ("run", "--dataset", tmp_path / "data", "--encoders", "tfidf", "--output", tmp_path / "results")
    shown = cli(*run)
    assert shown.code == 0, shown.err
    assert "split rule date (release_year:2012,2016)" in shown.out.replace("\\", "")
    record = next((tmp_path / "results").rglob("*.json"))
    assert json.loads(record.read_text())["dataset"]["split"]["boundaries"] == ["2012", "2016"]
    build(cli, tmp_path, "--split-by", "release_year:2012,2017", "--min-length", 2, output="other/data")
    assert cli(*run[:2], tmp_path / "other" / "data", *run[3:]).code == 0
    shown = cli("table", tmp_path / "results").out.replace("\\", "")
    assert "split rule date (release_year:2012,2017)" in shown
    assert "2012,2016" not in shown
    assert sum("tfidf" in line for line in shown.splitlines()) == 1


def test_the_command_splits_to_sizes(cli, tmp_path):
    outcome = build(cli, tmp_path, "--test-playlists", 10, "--artist-disjoint", "--min-length", 2)
    assert outcome.code == 0, outcome.err
    manifest = read_manifest(tmp_path / "data")
    assert (manifest.counts["test.playlists"], manifest.counts["valid.playlists"]) == (10, 5)
    assert (manifest.split.rule, manifest.split.artist_disjoint) == ("playlists", True)
    again = build(cli, tmp_path, "--train-tracks", 50, "--test-playlists", 10, "--min-length", 2, output="fewer")
    assert again.code == 0, again.err
    assert read_manifest(tmp_path / "fewer").counts["train.tracks"] == 50


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--split-rule", "tracks", "--split-by", "release_year:1,2"),
            "--split-rule and --split-by are different ways",
        ),
        (("--split-rule", "tracks", "--test-playlists", 9), "--split-rule and --test-playlists are different ways"),
        (("--split-by", "release_year:1,2", "--train-tracks", 9), "--split-by and --train-tracks are different ways"),
        (("--train-fraction", 0.5, "--test-playlists", 9), "--train-fraction draws shares"),
        (("--split-by", "release_year:2016,2012"), "do not increase"),
        (("--split-by", "year:2012,2016"), "have no column 'year'"),
        (("--split-by", "title:2012,2016"), "holds no dates or numbers"),
        (("--split-by", "release_year:1990,1991"), "no track is in train"),
        (("--split-by", "release_year:2012,2030"), "no track is in test"),
        (("--split-by", "release_year:2012,2016", "--min-length", 100), "lower --min-length"),
        (("--test-playlists", 9, "--min-length", 100), "lower --min-length"),
        (("--test-playlists", 0), "--test-playlists"),
    ],
)
def test_contradictions_and_empty_splits_are_refused(cli, tmp_path, more, message):
    outcome = build(cli, tmp_path, *more)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    if message.startswith("lacks"):
        assert "release_year" in outcome.err
    assert not (tmp_path / "data").exists()


def test_a_stated_split_refuses_to_be_drawn(cli, tmp_path):
    tracks = tables()[0].with_columns(split=pl.lit("test"))
    for more in (
        ("--split-by", "release_year:2012,2016"),
        ("--test-playlists", 9),
        ("--artist-disjoint",),
    ):
        outcome = build(cli, tmp_path, *more, tracks=tracks)
        assert outcome.code == 2
        assert f"{more[0]} would change nothing" in outcome.err


def test_one_table_of_entries_is_split_by_date(cli, tmp_path):
    tracks, playlists = tables()
    playlists.join(tracks, on="track_id").write_parquet(tmp_path / "both.parquet")
    outcome = cli(
        "dataset", "build", "csv", "--playlists", tmp_path / "both.parquet", "--split-by", "Release Year:2012,2016",
        "--min-length", 1, "--output", tmp_path / "data",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    build(cli, tmp_path, "--split-by", "release_year:2012,2016", "--min-length", 1, output="two")
    one, two = (pl.read_parquet(tmp_path / name / "tracks.parquet") for name in ("data", "two"))
    assert one.select("track_id", "split").equals(two.select("track_id", "split"))


def test_a_library_is_split_by_the_dates_of_its_tags(cli, tmp_path):
    for number in range(12):
        tags = {
            "title": f"S{number}",
            "artist": f"A{number}",
            "album": f"B{number % 2}",
            "date": f"20{10 + number}-05-01",
        }
        write_tone(tmp_path / "library" / f"{number:02}.ogg", 200 + 60 * number, 1.0, 8_000, **tags)
    lists = tmp_path / "lists"
    lists.mkdir()
    for number in range(30):
        (lists / f"{number}.m3u").write_text("".join(f"{track:02}.ogg\n" for track in range(12)))
    given = ("dataset", "build", "folder", "--audio", tmp_path / "library", "--playlists", lists, "--clip-seconds", 1)
    options = ("--min-length", 2, "--output", tmp_path / "data")
    outcome = cli(*given, "--split-by", "date:2014,2018-05-01", *options)
    assert outcome.code == 0, outcome.err
    splits = pl.read_parquet(tmp_path / "data" / "tracks.parquet").sort("track_id")["split"].to_list()
    assert splits == ["train"] * 4 + ["valid"] * 4 + ["test"] * 4
    refused = cli(*given, "--split-by", "year:2014,2018", *options)
    assert refused.code == 2
    assert "date" in refused.err
