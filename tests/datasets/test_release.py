"""The authors' released frames: read without pandas, and without running anything that a pickle asks for."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import shutil
from pathlib import Path

import polars as pl
import pytest
from support.published_data import mpd_slices, track_id, write_zip
from support.sounds import write_tone

FIXTURES = Path(__file__).parent.parent / "fixtures" / "release"
FRAMES = sorted(FIXTURES.glob("*.pkl"))
SIZES = ("--train-tracks", 150, "--valid-playlists", 15, "--test-playlists", 25)


def build(cli, tmp_path, *more, output="mpd"):
    source = tmp_path / "mpd.zip"
    if not source.is_file():
        write_zip(source, mpd_slices())
    return cli("dataset", "build", "mpd", "--source", source, "--output", tmp_path / output, *more)


def release(tmp_path, content: bytes, name="test.pkl"):
    folder = tmp_path / "release"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_captions_are_taken_where_they_are_known(cli, tmp_path, path):
    built = build(cli, tmp_path, *SIZES, "--release", release(tmp_path, path.read_bytes()))
    assert built.code == 0, built.err
    tracks = pl.read_parquet(tmp_path / "mpd" / "tracks.parquet")
    captions = dict(tracks.select("track_id", "caption").iter_rows())
    known = [n for n in range(40) if (path.stem != "pandas-2.2.3-protocol-2" or n % 5 > 1) and track_id(n) in captions]
    assert f"release: it has the captions of {len(known)} of {len(captions)} tracks" in built.err
    for number in range(400):
        caption = captions.get(track_id(number), "")
        if number in known:
            assert caption == f"Söng {number} is a song by the artist A{number // 8} on the album B{number // 4}"
        else:
            assert not caption or caption.startswith(f'The track Song "{number}" by')
    assert json.loads((tmp_path / "mpd" / "dataset.json").read_text())["caption_template"].startswith(
        "paper or that of"
    )
    assert cli("dataset", "check", tmp_path / "mpd").code == 0


def test_clip_times_are_taken_where_the_file_is_long_enough(cli, tmp_path):
    shutil.copy(FIXTURES / "pandas-2.2.3.pkl", release(tmp_path, b"") / "test.pkl")
    for number in range(48):
        write_tone(
            tmp_path / "clips" / f"{track_id(number)}.wav", 200 + number, seconds=12 if number % 2 else 15, rate=4_000
        )
    sizes = ("--test-playlists", 4, "--valid-playlists", 2, "--min-length", 2)
    built = build(cli, tmp_path, *sizes, "--audio", tmp_path / "clips", "--release", tmp_path / "release")
    assert built.code == 0, built.err
    tracks = pl.read_parquet(tmp_path / "mpd" / "tracks.parquet")
    starts = dict(tracks.select("track_id", "clip_start_s").iter_rows())
    for number in range(48):
        if track_id(number) in starts:
            middle = 1.0 if number % 2 else 2.5
            fits = number < 40 and number % 5 <= (2 if number % 2 else 5)
            assert starts[track_id(number)] == (number % 5 if fits else middle), number


class Hostile:
    """Something that a pickle asks to be called."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile_pickles(marker: Path) -> dict[str, bytes]:
    """Pickles that leave the file `marker` if anything of them is run."""
    command = f"touch {marker}"
    call = b"cposix\nsystem\n(V" + command.encode() + b"\ntR"
    whole = without_frames((FIXTURES / "pandas-2.2.3.pkl").read_bytes())
    return {
        "system": pickle.dumps(Hostile(os.system, command)),
        "system, protocol 0": pickle.dumps(Hostile(os.system, command), protocol=0),
        "eval": pickle.dumps(Hostile(eval, f"__import__('os').system({command!r})")),
        "exec": pickle.dumps(Hostile(exec, f"open({str(marker)!r}, 'w')")),
        "open": pickle.dumps(Hostile(open, str(marker), "w")),
        "behind a frame": whole[:-1] + call + b"0.",
        "before a frame": whole[:2] + call + b"0" + whole[2:],
        "getattr": b"cbuiltins\ngetattr\n(cbuiltins\nobject\nV__subclasses__\ntR.",
        "numpy.load": b"cnumpy\nload\n(V/etc/passwd\ntR.",
        "numpy runstring": b"cnumpy.testing._private.utils\nrunstring\n(V1\n}tR.",
        "pandas.eval": b"cpandas\neval\n(V1\ntR.",
        "pandas.read_pickle": b"cpandas.io.pickle\nread_pickle\n(Vx\ntR.",
        "attribute of what is admitted": b"\x80\x04\x8c\x11pandas.core.frame\x8c\x12DataFrame.__init__\x93.",
        "state that calls": b"\x80\x04cpandas.core.frame\nDataFrame\n)\x81}V_mgr\n" + call + b"sb.",
        "something outside": b"Pfile\n.",
    }


def without_frames(data: bytes) -> bytes:
    """The same pickle without the opcodes that say how long the next piece is, so that it can be edited."""
    cuts = [at for operation, _, at in pickletools.genops(data) if operation.name == "FRAME"]
    for at in reversed(cuts):
        data = data[:at] + data[at + 9 :]
    return data


def test_nothing_of_a_hostile_pickle_is_run(cli, tmp_path):
    marker = tmp_path / "it-was-run"
    for name, content in hostile_pickles(marker).items():
        refused = build(cli, tmp_path, "--release", release(tmp_path, content), output="never")
        assert refused.code == 2, name
        assert "test.pkl" in refused.err, name
        assert "is not admitted; nothing was run" in refused.err or name == "something outside", name
        assert "Traceback" not in refused.err
        assert not marker.exists(), name
        assert not (tmp_path / "never").exists()


def test_the_hostile_pickles_are_hostile(tmp_path):
    marker = tmp_path / "it-was-run"
    pickle.Unpickler(io.BytesIO(hostile_pickles(marker)["system"])).load()
    assert marker.exists()


def test_a_file_cannot_change_how_the_next_one_is_read(cli, tmp_path):
    tampering = [
        b"\x80\x04cpandas.core.frame\nDataFrame\n}Vcolumns\nVx\nsb.",
        b"\x80\x04cpandas.core.internals.managers\nBlockManager\nN}Vblocks\nVx\ns\x86b.",
        b"\x80\x04cpandas._libs.internals\n_unpickle_block\nN}V__defaults__\n(Vx\nts\x86b.",
        b"\x80\x04cnumpy\ndtype\nN}Vnumeric\nVx\ns\x86b.",
    ]
    for content in tampering:
        refused = build(cli, tmp_path, "--release", release(tmp_path, content), output="never")
        assert refused.code == 2
        assert "Traceback" not in refused.err
    fine = build(cli, tmp_path, *SIZES, "--release", release(tmp_path, FRAMES[0].read_bytes()))
    assert fine.code == 0, fine.err


def test_files_that_are_no_such_frame(cli, tmp_path):
    whole = FRAMES[0].read_bytes()
    cases = {
        "cut": (whole[:900], "no pandas frame in a pickle"),
        "empty": (b"", "no pandas frame in a pickle"),
        "text": (b"track_uri,meta_caption\n", "no pandas frame in a pickle"),
        "a list": (pickle.dumps([1, 2, 3]), "it holds a list"),
        "columns": (whole.replace(b"meta_caption", b"meta_caption"[::-1]), "lacks the columns meta_caption"),
        "a huge shape": (without_frames(whole).replace(b"K\x29", b"J\xff\xff\xff\x7f"), "no pandas frame in a pickle"),
    }
    for name, (content, message) in cases.items():
        refused = build(cli, tmp_path, "--release", release(tmp_path, content), output="never")
        assert (refused.code, "Traceback" in refused.err) == (2, False), name
        assert message in refused.err, (name, refused.err)
    (tmp_path / "release" / "test.pkl").unlink()
    assert "no part of the authors' release" in build(cli, tmp_path, "--release", tmp_path / "release").err
    assert not (tmp_path / "mpd").exists()
