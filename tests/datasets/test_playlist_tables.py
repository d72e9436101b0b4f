"""Tables in the shapes, spellings and encodings that other programs write."""

from __future__ import annotations

import csv
import gzip
import io
import re
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets.reading.column_names import parse_columns
from larpbench.datasets.reading.playlist_tables import COLUMNS, read_playlist_tables
from larpbench.datasets.schema import TEXT_COLUMNS
from larpbench.errors import DataError, UsageError

ID = "0123456789abcdefghijAB"
TRACKS = "track_id,title,artist,album\n1,One,X,L\n2,Two,Y,L\n3,Three,X,\n"
PLAYLISTS = "playlist_id,track_id\np,1\np,2\nq,3\n"


def read(folder, tracks=TRACKS, playlists=PLAYLISTS, *, columns=None, max_bad_rows=0.0, audio=False):
    """Return the tables of two files of this content; a table of a frame is Parquet."""
    paths = []
    for name, content in (("t", tracks), ("p", playlists)):
        path = folder / name
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        elif content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths.append(None if content is None else path)
    return read_playlist_tables(*paths, audio=audio, columns=columns or {}, max_bad_rows=max_bad_rows)


@pytest.fixture
def plain(tmp_path_factory):
    """What the tables hold as they stand."""
    return read(tmp_path_factory.mktemp("plain"))


def require_same(found, plain):
    assert found.tracks.equals(plain.tracks)
    assert found.entries.equals(plain.entries)
    assert found.left_out == plain.left_out == {}


@pytest.mark.parametrize(
    ("tracks", "playlists", "said"),
    [
        (
            "Track URI,Track Name,Album Name,Artist Name(s),Album Artist Name(s)",
            "pid,playlist_name,track_uri",
            "track_id is 'Track URI', title is 'Track Name', artist is 'Artist Name(s)', album is 'Album Name'",
        ),
        ("track_uri,track_name,album_name,artist_name,duration_ms", "PID,name,Track Uri", "playlist_id is 'PID'"),
        ("\ufeffTrack_ID,TITLE,Album, Artist ,x", "\ufeffPlaylist Id,x,TRACKID", "track_id is 'Track_ID'"),
        ("id,name,album,artists,x", "playlist_name,x,uri", "playlist_id is 'playlist_name', track_id is 'uri'"),
        ("Spotify ID,Song,Release Name,Track Artist,Unnamed: 0", "playlist_uri,,song_id", "title is 'Song'"),
    ],
)
def test_usual_names_of_columns_are_known_and_printed(tmp_path, capsys, tracks, playlists, said):
    found = read(tmp_path, f"{tracks}\n{ID},T,L,A;B,zzz\n", f"{playlists}\np,zzz,{ID}\n")
    assert found.tracks.select("track_id", *TEXT_COLUMNS).rows() == [(ID, "T", "A;B", "L")]
    assert found.entries.select("playlist_id", "track_id").rows() == [("p", ID)]
    assert said in capsys.readouterr().err


def test_our_own_name_wins_and_two_others_are_refused(tmp_path):
    found = read(tmp_path, "track_uri,track_id,name,title,artist,album\nu,1,no,One,X,L\n")
    assert found.tracks.select("track_id", *TEXT_COLUMNS).rows() == [("1", "One", "X", "L")]
    with pytest.raises(DataError, match="2 columns may be track_id: 'track_uri', 'spotify_id'") as raised:
        read(tmp_path, "track_uri,spotify_id,title,artist,album\nu,1,One,X,L\n")
    assert "--columns track_id=NAME" in str(raised.value)


def test_columns_are_named_for_both_tables(tmp_path, cli):
    (tmp_path / "t").write_text("key;Track, Name;artist;album\n1;One;X;L\n2;Two;Y;L\n")
    (tmp_path / "p").write_text("list\tKEY\np\t1\np\t2\n")
    outcome = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "t", "--playlists", tmp_path / "p", "--train-fraction", "0",
        "--min-length", "1", "--output", tmp_path / "out",
        "--columns", 'track_id=key, title="Track, Name",playlist_id=list',
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert pl.read_parquet(tmp_path / "out" / "tracks.parquet")["title"].to_list() == ["One", "Two"]
    assert "separated by semicolons" in outcome.err
    assert "separated by tabs" in outcome.err


@pytest.mark.parametrize("text", ["track=x", "track_id", "track_id=", "title=a,title=b", "=x", "title='a"[:5], ","])
def test_columns_that_name_nothing_are_refused(text):
    with pytest.raises(UsageError, match="--columns") as raised:
        parse_columns(text, COLUMNS)
    assert "playlist_id, track_id, title" in str(raised.value)


def test_a_named_column_that_no_table_has_is_refused(tmp_path):
    assert parse_columns("title='a b' , album=\"c,d\",artist=e=f", COLUMNS) == {
        "title": "a b", "album": "c,d", "artist": "e=f",
    }  # fmt: skip
    with pytest.raises(UsageError, match="title=Name"):
        read(tmp_path, columns={"title": "Name"})


@pytest.mark.parametrize(("separator", "said"), [("\t", "tabs"), (";", "semicolons"), ("|", "vertical bars")])
def test_separators_are_found_and_named(tmp_path, plain, capsys, separator, said):
    found = read(tmp_path, TRACKS.replace(",", separator), PLAYLISTS)
    require_same(found, plain)
    assert f"t: columns are separated by {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", "t: the encoding is UTF-16\n"),
        ("utf-16-le", "t: the encoding is UTF-16-LE\n"),
        ("utf-16-be", "t: the encoding is UTF-16-BE\n"),
        ("cp1252", "t: the encoding is Windows-1252\n"),
        ("latin-1", "t: the encoding is Latin-1\n"),
    ],
)
def test_encodings_are_found_and_named(tmp_path, capsys, encoding, said):
    title = "Café Ü" + {"cp1252": "–", "latin-1": "\x81"}.get(encoding, "漢" if "utf" in encoding else "")
    found = read(tmp_path, TRACKS.replace("Two", title).encode(encoding))
    assert found.tracks["title"].to_list() == ["One", title, "Three"]
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\r\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\n\n") + "  \n,,\n",
        lambda text: text.replace(",", ", "),
        lambda text: re.sub(r",([^,\n]*)", r', "\1"', text),
        lambda text: "sep=;\r\n" + text.replace(",", ";"),
        lambda text: gzip.compress(text.encode()),
    ],
    ids=["windows", "old-mac", "twice-translated", "no-end", "empty-rows", "spaces", "quotes", "excel", "gzip"],
)
def test_line_ends_spaces_and_compression_change_nothing(tmp_path, plain, change):
    found = read(tmp_path, change(TRACKS), change(PLAYLISTS))
    assert found.tracks["title"].to_list() == ["One", "Two", "Three"]
    require_same(found, plain)


def test_a_file_in_two_encodings_is_not_read_in_one(tmp_path):
    tracks = TRACKS.encode() + "4,é,X,L\n".encode() + "5,ü,X,L\n".encode("latin-1")
    with pytest.raises(DataError, match="line 6: bytes that are not UTF-8"):
        read(tmp_path, tracks)
    found = read(tmp_path, tracks, max_bad_rows=0.2)
    assert found.tracks["title"].to_list() == ["One", "Two", "Three", "é"]
    assert found.left_out == {"bad rows of the tracks": 1}


def test_quotes_in_a_text_with_tabs_are_text_where_they_enclose_no_cell(tmp_path):
    tracks = TRACKS.replace(",", "\t") + '4\t"Heroes" (live)\t"X\tL\n5\t"Five"\tX\tL\n'
    found = read(tmp_path, tracks)
    assert found.tracks.rows()[3:] == [("4", '"Heroes" (live)', '"X', "L"), ("5", "Five", "X", "L")]
    assert not found.left_out


def test_headers_among_the_rows_of_joined_files_are_no_rows(tmp_path, plain, capsys):
    require_same(read(tmp_path, TRACKS + "\ufeff" + TRACKS.splitlines()[0] + "\n", PLAYLISTS), plain)
    assert "the header stands 1 times more" in capsys.readouterr().err


def test_splits_and_roles_in_other_words(tmp_path):
    rows = [
        "a,1,VAL,Seed",
        "b,1,validation,held-out",
        "c,1,Dev,HELD_OUT",
        "d,2,TEST,seed",
        "e,3,Train,",
        "e,3,training,x",
    ]
    found = read(tmp_path, TRACKS, "playlist_id,track_id,split,role\n" + "\n".join(rows) + "\n")
    assert found.entries["split"].to_list() == ["valid", "valid", "valid", "test", "train", "train"]
    assert found.entries["role"].to_list()[:4] == ["seed", "heldout", "heldout", "seed"]
    tracks = read(tmp_path, "track_id,title,artist,album,split\n1,a,b,c,Val\n2,a,b,c,\n").tracks
    assert tracks["split"].to_list() == ["valid", None]


def test_exact_copies_of_a_row_are_dropped_with_a_count(tmp_path, cli):
    found = read(tmp_path, TRACKS + "2,Two,Y,L\n2, Two,Y,L\n3,Three,X,\n")
    assert found.tracks.height == 3
    assert found.left_out == {"duplicate rows of the tracks": 3}
    (tmp_path / "t").write_text(TRACKS + "2,Other,Y,L\n")
    outcome = cli("dataset", "build", "csv", "--tracks", tmp_path / "t", "--playlists", tmp_path / "p",
                  "--output", tmp_path / "out")  # fmt: skip
    assert outcome.code == 2
    assert "1 track ids occur more than once: '2'" in outcome.err


@pytest.mark.parametrize("given", [None, "the same file"])
def test_a_table_with_one_row_an_entry_is_both_tables(tmp_path, capsys, given):
    rows = ["p,1,One,X,L", "q,1,One,X,L", "r,1,ONE,X,L", "p,2,Two,Y,", "q,2,TWO,Y,", "r,3,Three,,"]
    path = tmp_path / "all.csv"
    path.write_text("playlist_id,track_id,title,artist,album\n" + "\n".join(rows) + "\n")
    tracks = None if given is None else tmp_path / ".." / tmp_path.name / "all.csv"
    found = read_playlist_tables(tracks, path, audio=False, columns={}, max_bad_rows=0.0)
    assert sorted(found.tracks.rows()) == [("1", "One", "X", "L"), ("2", "Two", "Y", ""), ("3", "Three", "", "")]
    assert found.entries.rows() == [tuple(row.split(",")[:2]) for row in rows]
    assert "2 tracks have rows that differ in their texts" in capsys.readouterr().err


def test_a_table_of_playlists_alone_is_not_enough(tmp_path):
    with pytest.raises(DataError, match="lacks the columns title, artist, album") as raised:
        read_playlist_tables(None, _written(tmp_path / "p", PLAYLISTS), audio=False, columns={}, max_bad_rows=0.0)
    assert "--tracks" in str(raised.value)


def _written(path, text):
    path.write_text(text)
    return path


def test_a_folder_of_exported_playlists(tmp_path, capsys):
    header = "Track URI,Track Name,Album Name,Artist Name(s),Release Date\n"
    exported = {
        "Rock é": [f"spotify:track:{ID},One,L,X,1999"],
        "mix.2": [f"spotify:track:{ID},One,L,X,1999", "b,Two,L,Y,"],
    }
    for name, rows in exported.items():
        (tmp_path / f"{name}.csv").write_text(header + "\n".join(rows) + "\n")
    (tmp_path / "empty.csv").write_text(header)
    (tmp_path / ".hidden.csv").write_text("no table")
    (tmp_path / "notes.txt").write_text("no table")
    for tracks in (None, tmp_path):
        found = read_playlist_tables(tracks, tmp_path, audio=False, columns={}, max_bad_rows=0.0)
        assert sorted(found.tracks.rows()) == [(ID, "One", "X", "L", 1999), ("b", "Two", "Y", "L", None)]
        assert sorted(found.entries.select("playlist_id", "track_id").rows()) == [
            ("Rock é", ID),
            ("mix.2", ID),
            ("mix.2", "b"),
        ]
    assert "and 2 more: track_id is 'Track URI'" in capsys.readouterr().err


def test_a_folder_of_pieces_of_one_table_keeps_its_playlists(tmp_path):
    for number in range(2):
        (tmp_path / f"part-{number}.csv").write_text(f"playlist_id,track_id\np,{number}\n")
    (tmp_path / "tracks").write_text("track_id,title,artist,album\n0,a,b,c\n1,a,b,c\n")
    found = read_playlist_tables(tmp_path / "tracks", tmp_path, audio=False, columns={}, max_bad_rows=0.0)
    assert found.entries.rows() == [("p", "0"), ("p", "1")]
    (tmp_path / "part-1.csv").write_text("playlist_id,track_id,split\np,1,test\n")
    with pytest.raises(DataError, match="some tables have the column split") as raised:
        read_playlist_tables(tmp_path / "tracks", tmp_path, audio=False, columns={}, max_bad_rows=0.0)
    assert "part-0.csv" in str(raised.value)


def test_playlists_without_a_known_track_name_ids_of_both_sides(tmp_path, cli):
    (tmp_path / "t").write_text(TRACKS)
    (tmp_path / "p").write_text("playlist_id,track_id\np,1.0\np,2.0\n")
    outcome = cli("dataset", "build", "csv", "--tracks", tmp_path / "t", "--playlists", tmp_path / "p",
                  "--output", tmp_path / "out")  # fmt: skip
    assert outcome.code == 2
    assert "the playlists hold '1.0', '2.0'; the tracks are '1', '2', '3'" in outcome.err


PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")


def composed(text):
    return unicodedata.normalize("NFC", text)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), ids=st.lists(PRINTABLE, min_size=1, max_size=6, unique=True))
def test_what_the_csv_module_writes_comes_back(tmp_path_factory, data, ids):
    encoding = data.draw(st.sampled_from(ENCODINGS))
    if encoding == "cp1252":
        ids = list(dict.fromkeys(each.encode("cp1252", "replace").decode("cp1252") for each in ids))
    ids = list({composed(each): each for each in ids}.values())  # two forms of one text are one id
    separator = data.draw(st.sampled_from(",\t;|"))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    texts = st.sampled_from([*ids, "", 'a "b" c', "two, parts; of|one\ttext", "two\nlines", " spaced "])
    rows = [[each, *data.draw(st.tuples(texts, texts, texts))] for each in ids]
    entries = [[data.draw(st.sampled_from(ids)), data.draw(st.sampled_from(ids))] for _ in range(5)]
    files = []
    for columns, content in ((COLUMNS[1:5], rows), (COLUMNS[:2], entries)):
        stream = io.StringIO()
        quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting).writerows([columns, *content])
        files.append(stream.getvalue().encode(encoding))
    found = read(tmp_path_factory.mktemp("made"), *files)
    expected = [
        (composed(each), *(" ".join(text.split("\n")).replace("\t", " ").strip() for text in more))
        for each, *more in rows
    ]
    assert found.tracks.rows() == expected
    assert found.entries.rows() == [(composed(playlist), composed(track)) for playlist, track in entries]
