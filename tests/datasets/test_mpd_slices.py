"""Slices of MPD that are not as published: read as before where they can be, else refused with the place."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.published_data import draw_tracks, mpd_playlist, mpd_slices, track_id, write_zip

from larpbench.datasets.sources.mpd import slice_json
from larpbench.datasets.sources.mpd.addresses import NO_TRACK, Addresses
from larpbench.datasets.sources.mpd.pieces import Pieces
from larpbench.datasets.sources.mpd.slice_json import parse_slice
from larpbench.datasets.track_ids import ids_of_uris
from larpbench.errors import DataError

NAME = "mpd.slice.1000-1999.json"
SIZES = ("--train-tracks", 150, "--valid-playlists", 15, "--test-playlists", 25)


def slice_text(**other):
    """Three playlists, indented as published; the second has other fields."""
    playlists = [mpd_playlist(pid, draw_tracks(pid, 400)) for pid in (1_000, 1_001, 1_002)]
    playlists[1] |= other
    return json.dumps({"info": {}, "playlists": playlists}, indent=4)


def with_entry(**fields):
    playlist = mpd_playlist(1_001, draw_tracks(1_001, 400))
    playlist["tracks"][0] |= fields
    return slice_text(tracks=playlist["tracks"])


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (slice_text()[:-900], ("the JSON ends in the middle", "line 475", "after pid 1002")),
        (slice_text(name=float("nan")), ("malformed", "line ", "column 21", "after pid 1000")),
        (slice_text().replace('"pid": 1002', '"pid": 1002,,'), ("malformed", "after pid 1002")),
        (slice_text() + "x", ("trailing characters", "after pid 1002")),
        (with_entry(track_name=["x"]), ("got `array`", "playlists[1].tracks[0].track_name", "pid 1001")),
        (with_entry(artist_name={"a": 1}), ("got `object`", "artist_name", "pid 1001")),
        (slice_text(tracks="\u00e9"), ("got `str`", "playlists[1].tracks", "pid 1001")),
        (slice_text(name="a\ufffdb"), ("byte 0xff is no UTF-8", "after pid 1000")),
        (slice_text(pid=1_002), ("there twice: pid '1002'",)),
        (slice_text(name=[]).replace("[]", "[" * 5_000 + "]" * 5_000), ("no slice of playlists",)),
        ("<html>", ("malformed", "line 1, column 1")),
        ("", ("the JSON ends in the middle",)),
    ],
    ids=["cut", "nan", "commas", "more", "list", "object", "text", "utf8", "twice", "deep", "html", "empty"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["json", "gz"])
def test_what_is_wrong_is_said_with_its_place(cli, tmp_path, text, messages, packed):
    (tmp_path / "slices").mkdir()
    data = text.encode().replace(b"\\ufffd", b"\xff")
    path = tmp_path / "slices" / (f"{NAME}.gz" if packed else NAME)
    path.write_bytes(gzip.compress(data) if packed else data)
    refused = cli("dataset", "build", "mpd", "--source", tmp_path / "slices", "--output", tmp_path / "never", *SIZES)
    assert (refused.code, "Traceback" in refused.err) == (2, False)
    for message in (*messages, path.name):
        assert message in refused.err
    assert not (tmp_path / "never").exists()


def test_odd_but_readable_slices_give_the_same_data_set(cli, tmp_path):
    """Numbers as text, null entries, other spellings of ids: the same; what cannot count is counted."""
    plain, odd = mpd_slices(), mpd_slices()
    for part in odd.values():
        for number, playlist in enumerate(part["playlists"]):
            playlist["pid"], playlist["num_tracks"] = str(playlist["pid"]), float(len(playlist["tracks"]))
            playlist["tracks"][0]["track_uri"] += "?si=1"
            playlist["name"] = "<b>\x00\ud800 \U0001f3b5"
            if number == 3:
                playlist["tracks"].append(None)
        part["playlists"].append(None)
    odd[NAME]["playlists"].append(mpd_playlist(10**30, [1, 2, 3]))
    found = []
    for name, slices in (("plain", plain), ("odd", odd)):
        source, output = write_zip(tmp_path / f"{name}.zip", slices), tmp_path / name
        built = cli("dataset", "build", "mpd", "--source", source, "--output", output, *SIZES)
        assert built.code == 0, built.err
        found.append(json.loads((output / "dataset.json").read_text()))
    assert found[0]["fingerprint"] == found[1]["fingerprint"]
    assert found[1]["left_out"]["entries without a track id"] == 3
    assert "3 playlists hold another number of tracks" in built.err


URIS = st.sampled_from(
    [*(f"spotify:track:{track_id(number)}" for number in range(6)), f" spotify:track:{track_id(1)}?si=a", track_id(2),
     f"https://open.spotify.com/track/{track_id(3)}", "spotify:local:a:b:c:1", "spotify:track:", "", "x\x00", None]
)  # fmt: skip
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "<i>é</i>", "\x00", "\U0001f3b5"]), st.integers(0, 9))
ENTRIES = st.fixed_dictionaries({"track_uri": URIS, "track_name": TEXTS, "artist_name": TEXTS, "album_name": TEXTS})
LISTS = st.lists(st.one_of(ENTRIES, ENTRIES, ENTRIES, st.none()), max_size=8)
PLAYLISTS = st.lists(
    st.fixed_dictionaries({"pid": st.integers(-3, 2**63), "num_tracks": st.integers(0, 9), "tracks": LISTS}),
    max_size=5,
    unique_by=lambda each: each["pid"],
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.one_of(URIS, st.text(max_size=3)), max_size=9), max_size=3))
def test_addresses_of_one_track_have_one_number(uris):
    addresses, numbers = Addresses(), {}
    for part in uris:
        texts = pl.Series(part, dtype=pl.String)
        for name, number in zip(ids_of_uris(texts).to_list(), addresses.numbers(texts).tolist(), strict=True):
            assert (number == NO_TRACK) == (name is None)
            assert numbers.setdefault(name, number) == number
    assert len(set(numbers.values())) == len(numbers)


@settings(deadline=None, max_examples=30)
@given(st.lists(PLAYLISTS, min_size=1, max_size=2), st.sampled_from([1, 3]))
def test_both_ways_of_decoding_keep_the_same(tmp_path_factory, slices, shortest):
    kept = []
    for parse in (parse_slice, slice_json._parse_any):
        pieces = Pieces(tmp_path_factory.mktemp("pieces"))
        try:
            for playlists in slices:
                pieces.add(parse(json.dumps({"playlists": playlists}).encode(), "slice"), shortest)
        except DataError as error:
            kept.append(str(error))
            continue
        ids, offsets, tracks, last = pieces.playlists(last_apart=True)
        table = pieces.tracks()
        assert table["track_id"].is_unique().all()
        assert tracks.max(initial=0) <= max(table.height - 1, 0)
        kept.append((ids.tolist(), offsets.tolist(), tracks.tolist(), last, table.rows(), pieces.counts()))
        resumed = Pieces(pieces._folder)
        assert len(resumed) == len(slices)
        resumed.add(parse(json.dumps({"playlists": playlists}).encode(), "slice"), shortest)
        assert resumed.tracks().height == table.height, "a track that is there got another number"
        assert resumed.playlists(last_apart=True)[2].tolist() == tracks.tolist() + tracks[offsets[-1 - last] :].tolist()
    assert kept[0] == kept[1]
