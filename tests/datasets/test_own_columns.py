"""Columns that tables bring of their own are kept, whatever they are called, and change nothing else."""

from __future__ import annotations

import datetime
import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import TCON, TDRC, TLAN
from mutagen.wave import WAVE
from support.small_data import build_split_tables, split_tables
from support.sounds import write_tone

from larpbench import load_dataset
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.audio_files.tags import read_tags
from larpbench.datasets.check import check_dataset
from larpbench.datasets.columns import as_typed
from larpbench.datasets.schema import PLAYLIST_COLUMNS, TRACK_COLUMNS
from larpbench.datasets.sources.csv import build_csv
from larpbench.datasets.splits.rules import redraw_test

OPTIONS = BuildOptions("made", "a test", "none")


def build(folder, tracks, playlists, **options):
    """Build a data set of two frames, as CSV."""
    folder.mkdir()
    tracks.write_csv(folder / "t.csv")
    playlists.write_csv(folder / "p.csv")
    return build_csv(folder / "t.csv", folder / "p.csv", OPTIONS, folder / "data", **options)


@pytest.fixture
def frames(tmp_path):
    tables = split_tables(tmp_path / "plain")
    return pl.read_csv(tables.tracks), pl.read_csv(tables.playlists)


def test_columns_of_every_kind_are_kept_and_typed_and_no_digest_knows_them(tmp_path, frames):
    tracks, playlists = frames
    plain = build(tmp_path / "without", tracks, playlists)
    n = tracks.height
    own = {
        "genre": [f'["rock", "pop {i % 3}"]' if i % 4 else "" for i in range(n)],
        "language": ["de" if i % 2 else "en\u0007 <b>" for i in range(n)],
        "release_year": [1990 + i if i % 5 else None for i in range(n)],
        "tempo": [str(100 + i / 2) if i % 2 else "nan" for i in range(n)],
        "live": ["True" if i % 2 else "false" for i in range(n)],
        "released": ["2020-02-29" if i % 3 else "" for i in range(n)],
        "code": [f"00{i}" for i in range(n)],
    }
    moods = {name: f"mood {i % 2}" for i, name in enumerate(playlists["playlist_id"].unique().sort())}
    data = build(
        tmp_path / "with", tracks.with_columns(**{name: pl.Series(values) for name, values in own.items()}),
        playlists.with_columns(mood=pl.col("playlist_id").replace_strict(moods), position=pl.int_range(pl.len())),
    )  # fmt: skip
    assert data.manifest.fingerprint == plain.manifest.fingerprint
    assert data.manifest.digests == plain.manifest.digests
    assert data.scored_digest == plain.scored_digest
    kinds = {name: kind for name, kind in data.tracks.schema.items() if name not in TRACK_COLUMNS}
    assert kinds == {
        "genre": pl.List(pl.String), "language": pl.String, "release_year": pl.Int64, "tempo": pl.Float64,
        "live": pl.Boolean, "released": pl.Date, "code": pl.String,
    }  # fmt: skip
    first, second = data.tracks.filter(pl.col("title").is_not_null()).sort("code")[:2].rows(named=True)
    assert (first["genre"], first["language"], first["release_year"], first["tempo"]) == (None, "en  <b>", None, None)
    assert (second["genre"], second["live"], second["released"]) == (
        ["rock", "pop 1"],
        True,
        datetime.date(2020, 2, 29),
    )
    assert [name for name in data.playlists.columns if name not in PLAYLIST_COLUMNS] == ["mood"]
    assert dict(data.playlists.select("playlist_id", "mood").unique().iter_rows()) == moods
    findings = check_dataset(data.folder)
    assert all(each.ok for each in findings)
    assert {each.what: each.detail for each in findings}["columns of the playlists' own"] == "mood"
    known = data.tracks.select(list(TRACK_COLUMNS))
    assert known.equals(plain.tracks)
    assert data.playlists.select(list(PLAYLIST_COLUMNS)).equals(plain.playlists)


NASTY = (
    *("track", "rows", "row", "place", "released", "sha256", "samples_sha256", "bytes", "p", "t", "key", "index"),
    *("of_playlists", "seed", "heldout", "tracks", "playlist", "entries", "len", "value", "count", "name", "unit"),
    *(
        "query",
        "ranked",
        "scores",
        "n_seeds",
        "literal",
        "id",
        "song",
        "0",
        "1",
        "\x1f",
        "a\nb",
        "<b>",
        "track_id_right",
    ),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=8)), min_size=1, max_size=6, unique=True))
def test_no_name_of_a_column_gets_into_the_way(names, tmp_path_factory, frames):
    folder = tmp_path_factory.mktemp("nasty")
    tracks, playlists = frames
    own = {name: pl.Series([f"v{i % 3}" for i in range(tracks.height)]) for name in names if name not in tracks.columns}
    also = {name: pl.col("playlist_id") for name in names if name not in playlists.columns}
    plain = assemble(tracks, playlists, OPTIONS, folder / "plain")
    data = assemble(tracks.with_columns(**own), playlists.with_columns(**also), OPTIONS, folder / "data")
    assert data.manifest.fingerprint == plain.manifest.fingerprint
    assert all(each.ok for each in check_dataset(data.folder))
    assert (data.split("test").interactions("seed").tracks == plain.split("test").interactions("seed").tracks).all()
    assert redraw_test(data, 1).playlists.equals(redraw_test(plain, 1).playlists)
    found = [name for name in data.tracks.columns if name not in TRACK_COLUMNS]
    assert all(name.isprintable() or not any(char < " " for char in name) for name in found)
    assert data.tracks.select(list(TRACK_COLUMNS)).equals(plain.tracks)


def test_one_table_has_columns_of_tracks_and_of_playlists(tmp_path, capsys):
    rows = [(f"p{p}", f"t{t}", f"T{t}", "A", "", f"g{t % 2}", f"m{p}", t * p) for p in range(4) for t in range(6)]
    names = ["playlist_id", "track_id", "title", "artist", "album", "genre", "mood", "position"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(tmp_path / "x.parquet")
    options = BuildOptions("made", "a test", "none", train_fraction=0, min_length=2)
    data = build_csv(None, tmp_path / "x.parquet", options, tmp_path / "data")
    assert dict(data.tracks.select("track_id", "genre").iter_rows()) == {f"t{t}": f"g{t % 2}" for t in range(6)}
    assert set(data.playlists.select("playlist_id", "mood").iter_rows()) == {(f"p{p}", f"m{p}") for p in range(4)}
    assert "columns that differ within a playlist are left out: position" in capsys.readouterr().err


def test_columns_of_types_that_cannot_be_kept_and_row_numbers_are_left_out(tmp_path, frames):
    tracks, playlists = frames
    strange = tracks.with_columns(
        vector=pl.Series([[0.5, 1.5]] * tracks.height),
        nested=pl.struct("title", "artist"),
        raw=pl.col("title").cast(pl.Binary),
        kind=pl.Series(["x"] * tracks.height, dtype=pl.Categorical),
        at=pl.datetime(2020, 1, 2, 3),
        **{"Unnamed: 0": pl.int_range(pl.len()), "caption": pl.lit("mine"), "duration_s": pl.lit("long")},
    )
    strange.write_parquet(tmp_path / "t.parquet")
    playlists.write_parquet(tmp_path / "p.parquet")
    data = build_csv(tmp_path / "t.parquet", tmp_path / "p.parquet", OPTIONS, tmp_path / "data")
    own = data.tracks.drop(list(TRACK_COLUMNS))
    assert own.schema == {"kind": pl.String, "at": pl.Date}
    assert data.tracks["caption"][0] != "mine"


def test_rows_that_differ_in_own_columns_only_are_one_track(tmp_path, frames, capsys):
    tracks, playlists = frames
    twice = pl.concat([tracks.with_columns(plays=pl.lit(1)), tracks.with_columns(plays=pl.lit(2))])
    data = build(tmp_path / "x", twice, playlists)
    assert data.tracks["plays"].to_list() == [1] * tracks.height
    assert f"{tracks.height} rows of the tracks differ" in capsys.readouterr().err


def test_a_column_is_added_to_a_data_set_that_is_there(tmp_path, frames):
    tracks, playlists = frames
    before = build(tmp_path / "x", tracks, playlists)
    files = before.manifest.files
    tracks.with_columns(genre=pl.lit("rock")).write_csv(tmp_path / "x" / "t.csv")
    playlists.with_columns(mood=pl.lit("blue")).write_csv(tmp_path / "x" / "p.csv")
    again = build_csv(tmp_path / "x" / "t.csv", tmp_path / "x" / "p.csv", OPTIONS, before.folder)
    assert again.manifest.fingerprint == before.manifest.fingerprint
    assert set(again.tracks["genre"]) == {"rock"}
    assert set(again.playlists["mood"]) == {"blue"}
    assert {name for name in files if files[name] != again.manifest.files[name]} == {
        "tracks.parquet",
        "playlists.parquet",
    }
    assert all(each.ok for each in check_dataset(before.folder))
    tables = {name: (before.folder / name).read_bytes() for name in (*files, "dataset.json")}
    build_csv(tmp_path / "x" / "t.csv", tmp_path / "x" / "p.csv", OPTIONS, before.folder)
    assert tables == {name: (before.folder / name).read_bytes() for name in tables}


def test_a_hand_written_data_set_may_have_columns_of_its_own(tmp_path, cli):
    data = build_split_tables(tmp_path / "data")
    for name, column in (("tracks", "genre"), ("playlists", "mood")):
        path = data.folder / f"{name}.parquet"
        pl.read_parquet(path).with_columns(pl.lit("x", pl.Categorical).alias(column)).write_parquet(path)
    stated = json.loads((data.folder / "dataset.json").read_text())
    (data.folder / "dataset.json").write_text(json.dumps(stated | {"files": {}}))
    read = load_dataset(data.folder)
    assert (read.tracks["genre"][0], read.playlists["mood"][0]) == ("x", "x")
    assert cli("dataset", "check", data.folder).code == 0
    assert cli("run", "--dataset", data.folder, "--encoders", "random", "--output", tmp_path / "r").code == 0


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1", "-2", "+3", ""], [1, -2, 3, None]),
        (["1", "2.5", "1e3", "NaN"], [1.0, 2.5, 1000.0, None]),
        (["007", "1"], ["007", "1"]),
        (["9" * 25, "1"], ["9" * 25, "1"]),
        (["TRUE", "false"], [True, False]),
        (["2020-01-31", "2020-02-01T10:00:00Z"], [datetime.date(2020, 1, 31), datetime.date(2020, 2, 1)]),
        (["2020-02-30"], ["2020-02-30"]),
        ([" a\x1b[31m ", "\u2028"], ["a [31m", None]),
    ],
)
def test_texts_are_read_as_what_all_of_them_can_be_read_as(texts, found):
    assert as_typed(pl.Series("x", texts)).to_list() == found


def test_genre_language_and_year_are_read_from_tags(tmp_path, cli):
    library = tmp_path / "library"
    for number in range(4):
        write_tone(library / f"{number}.flac", 300 + 50 * number, album="One", title=f"Song {number}", artist="A")
    tagged = FLAC(library / "0.flac")
    tagged["genre"], tagged["language"], tagged["date"] = ["Rock", "Pop"], "deu", "1999-05-01"
    tagged.save()
    path = write_tone(library / "4.wav", 700)
    wave = WAVE(path)
    wave.add_tags()
    for frame in (TCON(3, ["(17)"]), TLAN(3, ["eng"]), TDRC(3, ["2004"])):
        wave.tags.add(frame)
    wave.save()
    tags = read_tags(path)
    assert (tags.genres, tags.languages, tags.year) == (("Rock",), ("eng",), 2004)
    given = ("--train-fraction", "0", "--min-length", "2", "--clip-seconds", "1", "--output", tmp_path / "data")
    assert cli("dataset", "build", "folder", "--audio", library, *given).code == 0
    tracks = load_dataset(tmp_path / "data").tracks.sort("track_id")
    assert tracks["genre"].to_list()[:2] == [["Rock", "Pop"], None]
    assert tracks["release_year"].to_list()[0] == 1999
    assert cli("dataset", "check", tmp_path / "data").code == 0
