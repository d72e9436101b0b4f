"""Published collections as people have them: nothing in them changes a data set, or leaves it, without a word."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import zipfile

import polars as pl
import pytest
from support.published_data import (
    lfm_tables,
    mpd_entry,
    mpd_slices,
    track_id,
    tsv,
    write_challenge,
    write_lfm,
    write_zip,
)

LFM_SIZES = ("--train-tracks", 120, "--valid-playlists", 4, "--test-playlists", 8, "--min-length", 6)
MPD_SIZES = ("--train-tracks", 150, "--valid-playlists", 15, "--test-playlists", 25)
LOCAL = "spotify:local:Artist:Album:Title:200"


def build(cli, kind, source, output, *more):
    sizes = LFM_SIZES if kind == "lfm" else MPD_SIZES
    return cli("dataset", "build", kind, "--source", source, "--output", output, *sizes, *more)


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


def built(cli, kind, source, output, *more):
    """The manifest and what was said, of a build that must work."""
    made = build(cli, kind, source, output, *more)
    assert made.code == 0, made.err
    return manifest(output), made.err


def refused(cli, kind, source, output, *messages):
    """A build that must fail without a traceback."""
    made = build(cli, kind, source, output)
    assert made.code == 2, made.err
    assert "Traceback" not in made.err
    for message in messages:
        assert message in made.err
    assert not output.exists()


def with_times(write):
    """The tables of LFM with other times: `write` takes seconds since 1970 and the number of the row."""
    tables = lfm_tables()
    head, *lines = tables["listening-events.tsv"].splitlines()
    rows = []
    for number, line in enumerate(lines):
        user, track, album, at = line.split("\t")
        moment = datetime.datetime.fromisoformat(at).replace(tzinfo=datetime.UTC)
        rows.append((user, track, album, write(int(moment.timestamp()), number)))
    tables["listening-events.tsv"] = head + "\n" + tsv(*rows)
    return tables


def iso(seconds, hours, more=""):
    """A date in another time zone than UTC."""
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    return datetime.datetime.fromtimestamp(seconds, zone).strftime(f"%Y-%m-%dT%H:%M:%S{more}%z")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda at, _: at, "the times are seconds since 1970"),
        (lambda at, _: f"{at}.0", "the times are seconds since 1970"),
        (lambda at, row: at * 1000 + row % 900, "the times are milliseconds since 1970"),
        (lambda at, _: at * 10**6, "the times are microseconds since 1970"),
        (lambda at, _: f"{at}000000.0", "the times are microseconds since 1970"),
        (lambda at, _: at * 10**9 + 999_999_999, "the times are nanoseconds since 1970"),
        (lambda at, _: iso(at, 0, ".250"), "the times are dates"),
        (lambda at, row: iso(at, row % 23 - 11), "the times are dates"),
        (lambda at, _: iso(at, 0).replace("+0000", "Z"), "the times are dates"),
    ],
    ids=["s", "float", "ms", "us", "float-us", "ns", "fraction", "zones", "Z"],
)
def test_the_same_moments_in_any_unit_give_the_same_data_set(cli, tmp_path, write, said):
    expected, _ = built(cli, "lfm", write_lfm(tmp_path / "plain", lfm_tables()), tmp_path / "a")
    found, err = built(cli, "lfm", write_lfm(tmp_path / "other", with_times(write)), tmp_path / "b")
    assert f"listening-events.tsv.bz2: {said}" in err
    assert found["fingerprint"] == expected["fingerprint"]
    assert found["left_out"] == expected["left_out"]


@pytest.mark.parametrize(
    ("usual", "odd", "reason", "said"),
    [
        (str, lambda at: iso(at, 0), "cannot be read", "320 of 2880 times are no seconds, such as '2020-"),
        (lambda at: iso(at, 0), str, "cannot be read", "320 of 2880 times are no dates, such as '158"),
        (str, lambda _: "0", "time is before March 1973 or after 2099", "320 of 2880 times are before"),
        (str, lambda at: f"-{at}", "time is before March 1973 or after 2099", "320 of 2880 times are before"),
        (str, lambda at: f"{at}000", "time is before March 1973 or after 2099", "320 of 2880 times are before"),
        (lambda at: iso(at, 0), lambda _: "1970-01-01 00:00:00", "time is before", "such as '1970-01-01 00:00:00'"),
        (lambda at: iso(at, 0), lambda _: "2147-01-01 00:00:00", "time is before", "such as '2147-01-01 00:00:00'"),
        (str, lambda _: "", "cannot be read", "the times are seconds"),
    ],
)
def test_times_that_do_not_fit_the_log_are_counted_and_said(cli, tmp_path, usual, odd, reason, said):
    tables = with_times(lambda at, row: odd(at) if row % 9 == 4 else usual(at))
    found, err = built(cli, "lfm", write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "lfm")
    assert said in err
    ((name, count),) = ((name, count) for name, count in found["left_out"].items() if name.startswith("rows of"))
    assert count == 320
    assert reason in name


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda at, _: 1_360_000_000, "all rows have the same time"),
        (lambda at, _: "2013-01-27 21:42:38", "all rows have the same time"),
        (lambda at, row: at if row % 3 else "soon" if row % 2 else 0, None),
        (lambda at, row: at if row % 5 == 0 else "soon", "most of 2880 rows cannot be used: 2304 cannot be read"),
        (lambda at, row: row, "none of 2880 rows can be used: 2880 cannot be read"),
        (lambda at, _: datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y%m%d%H%M%S"), "none of 2880 rows"),
    ],
)
def test_a_log_without_order_or_mostly_unreadable_is_refused(cli, tmp_path, write, message):
    source = write_lfm(tmp_path / "LFM-2b", with_times(write))
    if message is None:
        found, _ = built(cli, "lfm", source, tmp_path / "lfm")
        assert found["left_out"]["rows of the log that cannot be read"] == 480
        assert found["left_out"]["rows of the log whose time is before March 1973 or after 2099"] == 480
    else:
        refused(cli, "lfm", source, tmp_path / "never", message, "listening-events.tsv.bz2")


def test_lfm_under_the_names_and_in_the_folders_and_packings_that_people_have(cli, tmp_path):
    tables = lfm_tables()
    expected, _ = built(cli, "lfm", write_lfm(tmp_path / "plain", tables), tmp_path / "built")
    layouts = {
        "2020": {"listening_events.tsv.bz2": "bz2", "spotify_uris.tsv.bz2": "bz2", "tracks.tsv.bz2": "bz2"},
        "gz": {"listening-events.tsv.gz": "gz", "spotify-uris.tsv.gz": "gz", "tracks.tsv.gz": "gz"},
        "folders": {
            "listening-events/listening-events.tsv": "", "spotify-uris.tsv/spotify-uris.tsv": "", "t/Tracks.TSV": "",
        },
        "misnamed": {"listening-events.tsv.bz2": "", "spotify-uris.tsv": "gz", "tracks.tsv.gz": "bz2"},
    }  # fmt: skip
    for name, files in layouts.items():
        for path, packing in files.items():
            table = path.rpartition("/")[2].partition(".")[0].lower().replace("_", "-")
            data = tables[f"{table}.tsv"].encode()
            data = {"bz2": bz2.compress, "gz": gzip.compress, "": bytes}[packing](data)
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(data)
        found, _ = built(cli, "lfm", tmp_path / name, tmp_path / f"built {name}")
        assert found["fingerprint"] == expected["fingerprint"], name


def test_of_two_files_for_one_table_the_published_one_is_read_or_none(cli, tmp_path):
    tables = lfm_tables()
    source = write_lfm(tmp_path / "LFM-2b", tables)
    expected, _ = built(cli, "lfm", source, tmp_path / "a")
    (source / "listening-events.tsv").write_text(tables["listening-events.tsv"][:9_000])
    found, err = built(cli, "lfm", source, tmp_path / "b")
    assert found["fingerprint"] == expected["fingerprint"]
    assert "listening-events.tsv.bz2 is read, and not what lies beside it: listening-events.tsv" in err
    (source / "listening_events.tsv.bz2").write_bytes(bz2.compress(tables["listening-events.tsv"][:9_000].encode()))
    refused(cli, "lfm", source, tmp_path / "never", "may be listening-events.tsv", "'listening_events.tsv.bz2'")
    both = tmp_path / "both"
    for name in ("2020 subset", "full"):
        write_lfm(both / name, tables)
    refused(cli, "lfm", both, tmp_path / "never", "2 files may be listening-events.tsv", "'2020 subset/listening-")


def test_packed_logs_of_several_streams_are_read_to_their_end_or_not_at_all(cli, tmp_path):
    tables = lfm_tables()
    source = write_lfm(tmp_path / "LFM-2b", tables)
    expected, _ = built(cli, "lfm", source, tmp_path / "a")
    text = tables["listening-events.tsv"].encode()
    log = source / "listening-events.tsv.bz2"
    for place, pack in enumerate((bz2.compress, gzip.compress)):
        first, second = pack(text[:40_000]), pack(text[40_000:])
        log.write_bytes(first + second)
        assert built(cli, "lfm", source, tmp_path / f"whole {place}")[0]["fingerprint"] == expected["fingerprint"]
        broken = bytearray(second)
        broken[1:20] = bytes(19)
        for content in (first + bytes(broken), first + second[:30], first + b"<html>"):
            log.write_bytes(content)
            refused(cli, "lfm", source, tmp_path / "never", "damaged or cut off", "listening-events.tsv.bz2")


def test_spotify_addresses_of_lfm_are_ids_and_a_byte_order_mark_is_no_column(cli, tmp_path):
    tables = lfm_tables()
    expected, _ = built(cli, "lfm", write_lfm(tmp_path / "plain", tables), tmp_path / "a")
    head, *rows = tables["spotify-uris.tsv"].splitlines()
    written = []
    for number, row in enumerate(rows):
        track, uri = row.split("\t")
        key = uri.rpartition(":")[2]
        forms = (uri, f"{uri}?si=4f2", f"https://open.spotify.com/track/{key}?si=4f2&x=1", key)
        written.append((track, forms[number % 4]))
    tables["spotify-uris.tsv"] = "\ufeff" + head + "\r\n" + tsv(*written).replace("\n", "\r\n")
    tables["tracks.tsv"] = tables["tracks.tsv"].replace("\n", "\r\n")
    found, _ = built(cli, "lfm", write_lfm(tmp_path / "other", tables), tmp_path / "b")
    assert found["fingerprint"] == expected["fingerprint"]


def test_rows_of_lfm_without_a_spotify_id_are_no_track_of_their_own(cli, tmp_path):
    tables = lfm_tables()
    tables["spotify-uris.tsv"] = tables["spotify-uris.tsv"].replace(f"spotify:track:{track_id(3)}", "spotify:track:")
    tables["spotify-uris.tsv"] = tables["spotify-uris.tsv"].replace(f"spotify:track:{track_id(4)}", LOCAL)
    built(cli, "lfm", write_lfm(tmp_path / "LFM-2b", tables), tmp_path / "lfm")
    ids = set(pl.read_parquet(tmp_path / "lfm" / "tracks.parquet")["track_id"])
    assert not ids & {"", "track", "200", "spotify:track:"}
    assert LOCAL in ids


def test_local_files_and_addresses_of_mpd_keep_or_get_their_id(cli, tmp_path):
    slices = mpd_slices()
    for part in slices.values():
        for number, playlist in enumerate(part["playlists"]):
            for entry in playlist["tracks"][: number % 3]:
                entry["track_uri"] += "?si=8a6e"
            if number % 2:
                playlist["tracks"].append({**mpd_entry(0, 99), "track_uri": LOCAL, "track_name": "Title"})
                playlist["tracks"].append({**mpd_entry(0, 99), "track_uri": LOCAL.replace("Title", "Other")})
    first = slices["mpd.slice.0-999.json"]["playlists"]
    first[0]["tracks"][0]["track_uri"] = "spotify:track:"
    first[0]["tracks"][1]["track_uri"] = "\x1b[2Jx"
    built(cli, "mpd", write_zip(tmp_path / "mpd.zip", slices), tmp_path / "mpd", "--min-length", 1)
    made = manifest(tmp_path / "mpd")
    assert made["left_out"]["entries without a track id"] == 2
    ids = pl.read_parquet(tmp_path / "mpd" / "tracks.parquet")["track_id"].to_list()
    assert {name for name in ids if len(name) != 22} == {LOCAL, LOCAL.replace("Title", "Other")}
    assert set(ids) <= {LOCAL, LOCAL.replace("Title", "Other")} | {track_id(number) for number in range(400)}


def test_audio_tables_name_tracks_by_any_spelling(tmp_path):
    from larpbench.datasets.audio_files.named import find_audio

    key = track_id(1)
    (tmp_path / "clips.csv").write_text(
        f"track_id,path\nspotify:track:{key}?si=1,a.ogg\n{LOCAL},b.ogg\nhttps://open.spotify.com/track/{track_id(2)},c.ogg\n"
        "spotify:track:,d.ogg\n007,e.ogg\n"
    )
    assert set(find_audio(tmp_path / "clips.csv").files) == {key, LOCAL, track_id(2), "007"}


def test_slices_with_gaps_build_with_a_note(cli, tmp_path):
    slices = mpd_slices()
    expected, _ = built(cli, "mpd", write_zip(tmp_path / "whole.zip", slices), tmp_path / "a")
    assert not any("missing" in note for note in expected["notes"])
    moved = {
        "mpd.slice.1000-1999.json": "mpd.slice.5000-5999.json",
        "mpd.slice.2000-2999.json": "mpd.slice.9000-9999.json",
    }
    gaps = {moved.get(name, name): part for name, part in slices.items()}
    note = "Slices are missing from this copy of the data set: playlists 1000 to 4999, 6000 to 8999."
    (tmp_path / "folder").mkdir()
    for name, part in gaps.items():
        (tmp_path / "folder" / f"{name}.gz").write_bytes(gzip.compress(json.dumps(part).encode()))
    for name, source in (("zip", write_zip(tmp_path / "gaps.zip", gaps)), ("folder", tmp_path / "folder")):
        found, err = built(cli, "mpd", source, tmp_path / f"built {name}")
        assert err.count(note) == 1
        assert note in found["notes"]
        assert found["fingerprint"] == expected["fingerprint"]
        assert "3 slices (playlists 0 to 9999)" in found["source"]


def test_one_slice_is_enough_whatever_its_name(cli, tmp_path):
    (name, part), *_ = mpd_slices(per_slice=150).items()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "mpd.slice.1000-1999.json").write_text("not for this build")
    text = json.dumps(part).encode()
    sources = {name: text, f"{name}.gz": gzip.compress(text[:5_000]) + gzip.compress(text[5_000:]),
               "my lists.json": b"\xef\xbb\xbf" + text}  # fmt: skip
    found = set()
    for source, content in sources.items():
        (tmp_path / "others" / source).write_bytes(content)
        made, _ = built(cli, "mpd", tmp_path / "others" / source, tmp_path / f"built {source}")
        found.add(made["fingerprint"])
        (tmp_path / "others" / source).unlink()
    assert len(found) == 1
    assert "my lists.json" in made["source"]


def test_slices_that_are_damaged_closed_or_there_twice(cli, tmp_path):
    slices = mpd_slices()
    name, part = next(iter(slices.items()))
    packed = gzip.compress(json.dumps(part).encode())
    folder = tmp_path / "slices"
    folder.mkdir()
    (folder / f"{name}.gz").write_bytes(packed[: len(packed) // 2])
    for source in (folder, folder / f"{name}.gz"):
        refused(cli, "mpd", source, tmp_path / "never", "damaged or cut off", f"{name}.gz")
    (folder / f"{name}.gz").write_bytes(packed)
    (folder / name).write_text(json.dumps(part))
    refused(cli, "mpd", folder, tmp_path / "never", f"there twice: in '{name}' and '{name}.gz'")
    twice = {name: {"playlists": [*part["playlists"], part["playlists"][7]]}}
    refused(
        cli, "mpd", write_zip(tmp_path / "pid.zip", slices | twice), tmp_path / "never", "there twice: pid '7'", name
    )
    whole = write_zip(tmp_path / "whole.zip", slices)
    refused(cli, "mpd", encrypted(whole), tmp_path / "never", "3 of 3 slices need a password", "whole.zip", "--source")
    unknown = write_zip(tmp_path / "method.zip", slices)
    refused(cli, "mpd", with_method(unknown, 99), tmp_path / "never", "cannot be unpacked here", "method.zip")
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, f"{name}.gz"])  # nothing is written there


def test_members_of_a_zip_are_read_and_never_written(cli, tmp_path):
    source = tmp_path / "inner" / "mpd.zip"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        for prefix, (name, part) in zip(("../", "/etc/", "a/../../"), mpd_slices().items(), strict=True):
            archive.writestr(prefix + name, json.dumps(part))
    built(cli, "mpd", source, tmp_path / "built")
    assert not list(tmp_path.rglob("mpd.slice*"))


def test_a_gzipped_challenge_set_is_the_same(cli, tmp_path):
    source = write_zip(tmp_path / "mpd.zip", mpd_slices())
    challenge = write_challenge(tmp_path / "challenge_set.json")
    (tmp_path / "challenge_set.json.gz").write_bytes(gzip.compress(challenge.read_bytes()))
    first, _ = built(cli, "mpd", source, tmp_path / "a", "--challenge", challenge)
    second, _ = built(cli, "mpd", source, tmp_path / "b", "--challenge", tmp_path / "challenge_set.json.gz")
    assert first["fingerprint"] == second["fingerprint"]


def encrypted(path):
    """Set the flag of every member of a zip that says it needs a password."""
    return _patched(path, 6, 8, lambda flags: flags | 1)


def with_method(path, method):
    """Say of every member of a zip that it is packed in another way."""
    return _patched(path, 8, 10, lambda _: method)


def _patched(path, local, central, change):
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        place = data.find(signature)
        while place >= 0:
            number = int.from_bytes(data[place + offset : place + offset + 2], "little")
            data[place + offset : place + offset + 2] = change(number).to_bytes(2, "little")
            place = data.find(signature, place + 4)
    path.write_bytes(data)
    return path
