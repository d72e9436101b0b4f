"""Tables as people have them: what has no one reading is refused by name, and no row leaves without a word."""

from __future__ import annotations

import csv
import gzip
import io
import json

import polars as pl
import pytest

ID = "0123456789abcdefghijAB"
OTHER = "0123456789abcdefghijCD"
COLUMNS = ["track_id", "title", "artist", "album"]
LISTED = [[f"{number:03d}", f"Title {number}", f"Artist {number % 3}", f"Album {number % 4}"] for number in range(24)]
ENTRIES = [[f"p{playlist}", f"{track:03d}"] for playlist in range(4) for track in range(playlist, playlist + 20)]


def text_of(columns, rows, separator=","):
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows([columns, *rows])
    return stream.getvalue()


TRACKS = text_of(COLUMNS, LISTED)
PLAYLISTS = text_of(["playlist_id", "track_id"], ENTRIES)


def put(path, content):
    if isinstance(content, pl.DataFrame):
        content.write_parquet(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def build(cli, folder, tracks=TRACKS, playlists=PLAYLISTS, *more):
    given = [] if tracks is None else ["--tracks", put(folder / "t.csv", tracks)]
    return cli("dataset", "build", "csv", *given, "--playlists", put(folder / "p.csv", playlists),
               "--train-fraction", "0", "--min-length", "1", "--output", folder / "out", *more)  # fmt: skip


def built(cli, folder, *tables):
    """Return what was printed, the tracks by id, the entries, and what was left out."""
    outcome = build(cli, folder, *tables)
    assert outcome.code == 0, outcome.err
    tracks = pl.read_parquet(folder / "out" / "tracks.parquet").rows_by_key("track_id", named=True, unique=True)
    entries = sorted(pl.read_parquet(folder / "out" / "playlists.parquet").select("playlist_id", "track_id").rows())
    return outcome, tracks, entries, json.loads((folder / "out" / "dataset.json").read_text())["left_out"]


def refused(cli, folder, *tables):
    outcome = build(cli, folder, *tables)
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert not (folder / "out").exists()
    return outcome.err


def tracks_with(**columns):
    return pl.DataFrame(
        {"track_id": ["000", "001"], "title": ["A", "B"], "artist": ["x", "y"], "album": ["", ""]} | columns
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([["A", "B"], ["C"]]), ["A, B", "C"]),
        (pl.Series([["A", None, "B"], []]), ["A, B", ""]),
        (pl.Series([["A", "B"], ["C", "D"]], dtype=pl.Array(pl.String, 2)), ["A, B", "C, D"]),
        (pl.Series(["A", "B"]).cast(pl.Categorical), ["A", "B"]),
        (pl.Series([b"A", "É".encode()]), ["A", "É"]),
        (pl.Series([1989.0, None]), ["1989", ""]),
        (pl.Series([311, 10_000]), ["311", "10000"]),
        (pl.Series([2**70, 1], dtype=pl.Decimal(38, 0)), ["1180591620717411303424", "1"]),
    ],
)
def test_a_typed_column_of_artists_is_text(cli, tmp_path, values, expected):
    _, tracks, _, _ = built(cli, tmp_path, tracks_with(artist=values), "playlist_id,track_id\np,000\np,001\n")
    assert [tracks["000"]["artist"], tracks["001"]["artist"]] == expected
    assert tracks["000"]["caption"] == f"The track A by {expected[0]}"


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("artist", pl.Series([{"name": "A 0", "id": "x"}] * 2), "Struct"),
        ("artist", pl.Series([[{"name": "A 0"}]] * 2), "List(Struct"),
        ("artist", pl.Series([[["A"]]] * 2), "List(List(String))"),
        ("title", pl.Series([b"\xff\xfe"] * 2), "Binary"),
        ("track_id", pl.Series([b"\xff\x00", b"\xff\x01"]), "Binary"),
        ("track_id", pl.Series([["000"], ["001"]]), "List(String)"),
        ("track_id", pl.Series([True, False]), "Boolean"),
        ("track_id", pl.Series([1.5, 2.0]), "not whole"),
        ("track_id", pl.Series([2.0**60, 2.0**61]), "too large"),
        ("track_id", pl.Series([2.0**24, 1.0], dtype=pl.Float32), "too large"),
    ],
)
def test_a_column_without_one_reading_is_refused_by_name_and_type(cli, tmp_path, column, values, kind):
    message = refused(cli, tmp_path, tracks_with(**{column: values}))
    assert f"the column {column}" in message
    assert kind in message
    assert "next: " in message


@pytest.mark.parametrize("name", ["track_id", "tracks", "track_ids", "items"])
def test_a_list_of_track_ids_is_a_playlist(cli, tmp_path, name):
    lists = pl.DataFrame({"playlist_id": ["p", "q", "r", "s"], name: [["000", "001"], ["002"], [], None]})
    _, _, entries, _ = built(cli, tmp_path, TRACKS, lists)
    assert entries == [("p", "000"), ("p", "001"), ("q", "002")]


@pytest.mark.parametrize("cell", ["['000', '001']", '["000","001"]', " [ '000','001' ] "])
def test_a_written_list_of_track_ids_is_a_playlist(cli, tmp_path, cell):
    _, _, entries, _ = built(cli, tmp_path, TRACKS, text_of(["playlist_id", "tracks"], [["p", cell], ["q", "[]"]]))
    assert entries == [("p", "000"), ("p", "001")]


def test_a_written_list_without_commas_is_not_joined_to_one_id(cli, tmp_path):
    assert "one cannot be read" in refused(cli, tmp_path, TRACKS, "playlist_id,track_id\np,['000' '001']\n")


def test_a_written_list_of_artists_is_joined(cli, tmp_path):
    rows = [["000", "A", "['X', \"Y's\"]", ""], ["001", "B", "['Z']", ""]]
    _, tracks, _, _ = built(cli, tmp_path, text_of(COLUMNS, rows), "playlist_id,track_id\np,000\np,001\n")
    assert [tracks[name]["artist"] for name in ("000", "001")] == ["X, Y's", "Z"]
    (tmp_path / "more").mkdir()
    objects = text_of(COLUMNS, [["000", "A", "[{'name': 'X'}]", ""]])
    assert "one cannot be read" in refused(cli, tmp_path / "more", objects)


def test_lists_of_structs_and_counts_are_no_track_ids(cli, tmp_path):
    structs = pl.DataFrame({"pid": [1], "tracks": [[{"track_uri": "000"}]]})
    assert "List(Struct" in refused(cli, tmp_path, TRACKS, structs)
    counts = pl.DataFrame({"pid": [1], "tracks": [3]})
    assert "the column 'tracks' holds no lists" in refused(cli, tmp_path, TRACKS, counts)


def test_ids_that_pandas_made_floats_are_the_integers(cli, tmp_path):
    tracks = pl.DataFrame({"track_id": [7, 8], "title": ["A", "B"], "artist": ["", ""], "album": ["", ""]})
    rows = pl.DataFrame({"playlist_id": [1.0] * 3, "track_id": [7.0, 8.0, float("nan")]})
    outcome, _, entries, left_out = built(cli, tmp_path, tracks, rows, "--max-bad-rows", "0.5")
    assert entries == [("1", "7"), ("1", "8")]
    assert "track_id holds numbers of type Float64" in outcome.err
    assert left_out == {"bad rows of the playlists": 1}


def test_a_track_in_two_spellings_of_its_id_is_one(cli, tmp_path):
    tracks = text_of(COLUMNS, [[f"spotify:track:{ID}", "A", "X", ""], [ID, "A", "X", ""], [OTHER, "B", "Y", ""]])
    rows = [
        ["p", f"https://open.spotify.com/track/{ID}?si=0f"],
        ["p", f"spotify:track:{ID}?si=77"],
        ["p", f"spotify:track:{OTHER}"],
    ]
    outcome, found, entries, left_out = built(cli, tmp_path, tracks, text_of(["playlist_id", "track_id"], rows))
    assert sorted(found) == [ID, OTHER]
    assert entries == [("p", ID), ("p", OTHER)]
    assert left_out == {"duplicate rows of the tracks": 1, "duplicate entries": 1}
    assert outcome.err.count("read as their 22 characters: 1 of the tracks, 3 of the playlists") == 1


def test_two_spellings_of_one_id_with_different_titles_are_refused(cli, tmp_path):
    tracks = text_of(COLUMNS, [[f"spotify:track:{ID}", "A", "X", ""], [ID, "B", "X", ""]])
    assert ID in refused(cli, tmp_path, tracks, text_of(["playlist_id", "track_id"], [["p", ID]]))


def test_a_local_file_is_not_its_length_in_seconds(cli, tmp_path):
    local = "spotify:local:Artist:Album:Title:200"
    tracks = text_of(COLUMNS, [[local, "A", "X", ""], ["200", "B", "Y", ""]])
    _, found, entries, _ = built(
        cli, tmp_path, tracks, text_of(["playlist_id", "track_id"], [["p", local], ["p", "200"]])
    )
    assert found[local]["title"] == "A"
    assert entries == [("p", "200"), ("p", local)]


@pytest.mark.parametrize(
    ("row", "place", "fault"),
    [
        (b"p9,000,extra\n", "line 42", "3 fields instead of 2"),
        (b"p9\n", "line 42", "1 fields instead of 2"),
        (b"p9,\n", "line 42, column track_id", "empty track_id"),
        (b",000\n", "line 42, column playlist_id", "empty playlist_id"),
        (b'p9,"  "\n', "line 42, column track_id", "empty track_id"),
        (b"p9,0\x0000\n", "line 42, column track_id", "control characters in track_id: '0\\x0000'"),
        (b"p9,\x1b[2J\n", "line 42, column track_id", "control characters in track_id: '\\x1b[2J'"),
        ("p8,é\np8,ü\n".encode() + b"p9,\xe9\n", "line 44", "bytes that are not UTF-8: 'p9,\\\\xe9'"),
        (b'p9,"000\n', "line 42", "a quote that is not closed"),
        (b'p9,"000"x\n', "line 42", "a quote that is not closed, or is followed by text"),
    ],
)
def test_a_bad_row_is_counted_and_named_and_costs_no_other(cli, tmp_path, row, place, fault):
    first, second = text_of(["playlist_id", "track_id"], ENTRIES[:40]).encode(), text_of(*[ENTRIES[40], ENTRIES[41:]])
    table = first + row + second.encode()
    outcome, _, entries, left_out = built(cli, tmp_path, TRACKS, table, "--max-bad-rows", "0.02")
    assert entries == sorted(map(tuple, ENTRIES))
    assert left_out["bad rows of the playlists"] == 1
    assert f"p.csv, {place}" in outcome.err
    assert fault in outcome.err
    assert "\x1b" not in outcome.err
    (tmp_path / "strict").mkdir()
    message = refused(cli, tmp_path / "strict", TRACKS, table, "--max-bad-rows", "0")
    assert "cannot be used" in message
    assert fault in message


def test_a_quote_that_is_closed_a_hundred_rows_later_swallows_none(cli, tmp_path):
    rows = [[f"{number:03d}", f"T{number}", "X", "Y"] for number in range(300)]
    lines = text_of(COLUMNS, rows).splitlines(keepends=True)
    lines[101] = '100,"T100,X,Y\n'
    lines[201] = '200,T200",X,Y\n'
    outcome, tracks, _, left_out = built(cli, tmp_path, "".join(lines), "playlist_id,track_id\np,000\np,150\n")
    assert sorted(tracks) == [f"{number:03d}" for number in range(300) if number != 100]
    assert left_out == {"bad rows of the tracks": 1}
    assert "line 102: a quote that is not closed on its line" in outcome.err


def test_a_quote_that_is_never_closed_swallows_none(cli, tmp_path):
    lines = text_of(COLUMNS, [[f"{number:03d}", "T", "X", "Y"] for number in range(300)]).splitlines(keepends=True)
    lines[11] = '010,"T,X,Y\n'
    _, tracks, _, left_out = built(cli, tmp_path, "".join(lines), "playlist_id,track_id\np,000\np,299\n")
    assert len(tracks) == 299
    assert left_out == {"bad rows of the tracks": 1}


def test_one_percent_of_bad_rows_is_allowed_and_more_is_not(cli, tmp_path):
    rows = [[f"p{number % 9}", f"{number % 24:03d}"] for number in range(198)]
    table = text_of(["playlist_id", "track_id"], rows) + "x\ny\n"
    assert built(cli, tmp_path, TRACKS, table)[3]["bad rows of the playlists"] == 2
    (tmp_path / "more").mkdir()
    message = refused(cli, tmp_path / "more", TRACKS, table + "z\n")
    assert "3 of 201 rows of the playlists cannot be used" in message
    assert "line 200" in message
    assert "--max-bad-rows" in message
    for share in ("nan", "1", "-0.1"):
        assert "0 <= share < 1" in refused(cli, tmp_path / "more", TRACKS, PLAYLISTS, "--max-bad-rows", share)


def test_what_is_legal_and_odd_stays(cli, tmp_path):
    odd = ['two\nlines, "quoted"', "<b>&amp;</b>", '=HYPERLINK("x")', "a\0b", '12" mix', "\u202eabc", "x" * 5000]
    rows = [[f"0{number}", title, "1e5", "007"] for number, title in enumerate(odd)]
    _, tracks, _, left_out = built(cli, tmp_path, text_of(COLUMNS, rows), "playlist_id,track_id\np,00\np,01\n")
    expected = ['two lines, "quoted"', *odd[1:3], "a b", *odd[4:]]
    assert [tracks[f"0{number}"]["title"] for number in range(len(odd))] == expected
    assert {tracks["00"]["artist"], tracks["00"]["album"]} == {"1e5", "007"}
    assert not left_out


def test_an_inch_mark_within_a_cell_is_text(cli, tmp_path):
    table = TRACKS + '500,12" Mix,X,Y\n501,a "b" c,X,Y\n'
    _, tracks, _, _ = built(cli, tmp_path, table)
    assert tracks["500"]["title"] == '12" Mix'
    assert tracks["501"]["title"] == 'a "b" c'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks the columns"),
        (TRACKS.splitlines()[0].encode(), "the tracks have no rows"),
        (b"PK\x03\x04" + b"\0" * 30, "Excel"),
        (gzip.compress(TRACKS.encode())[:-20], "damaged"),
        (b'"track_id,title,artist,album\n1,a,b,c\n', "lacks the columns"),
        (b"track_id,title,title,artist,album\n1,a,a,b,c\n", "2 columns may be title"),
        (b"\xff\xfea", "UTF-16"),
    ],
)
def test_a_file_that_is_no_table_is_refused(cli, tmp_path, content, message):
    assert message in refused(cli, tmp_path, content)


def test_a_name_that_is_too_long_is_a_clear_error_in_every_command(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "n" * 300
    (tmp_path / "p.csv").write_text(PLAYLISTS)
    for arguments in (
        (
            "dataset",
            "build",
            "csv",
            "--tracks",
            put(tmp_path / "t.csv", TRACKS),
            "--playlists",
            "p.csv",
            "--output",
            name,
        ),
        ("dataset", "build", "csv", "--tracks", name, "--playlists", "p.csv", "--output", "out"),
        ("dataset", "check", name),
    ):
        outcome = cli(*arguments)
        assert outcome.code == 2
        assert "too long" in outcome.err
        assert "(3" in outcome.err  # how many characters; the name itself is shortened
        assert len(outcome.err) < 600


@pytest.mark.parametrize("other", ["Café ", "Cafe\u0301"])
def test_a_playlist_in_two_spellings_is_one(cli, tmp_path, other):
    tracks = "".join(f"t{n},Song {n},Somebody,\n" for n in range(8))
    (tmp_path / "tracks.csv").write_text(f"track_id,title,artist,album\n{tracks}", encoding="utf-8")
    rows = "".join(f"{'Café' if n % 2 else other},t{n}\n" for n in range(8))
    (tmp_path / "playlists.csv").write_text(f"playlist_id,track_id\n{rows}", encoding="utf-8")
    built = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "tracks.csv", "--playlists", tmp_path / "playlists.csv",
        "--train-fraction", "0", "--min-length", "2", "--output", tmp_path / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    assert pl.read_parquet(tmp_path / "data" / "playlists.parquet")["playlist_id"].unique().to_list() == ["Café"]
    assert "4 of the playlists" in built.err
