"""Packed files are read to their end or not at all: the same bytes as by Python's own reader, or an error."""

from __future__ import annotations

import bz2
import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets.reading.packed_streams import UNPACKING_ERRORS, unpacked

TEXT = bytes(random.Random(0).choices(b"0123456789\t\n-: ", k=350_000))
PACKED = bz2.compress(TEXT, 1)  # four blocks
OTHER = bz2.compress(TEXT[:150_000])
EMPTY = bz2.compress(b"")


def read(path, size=1 << 16):
    found = []
    with unpacked(path) as stream:
        while piece := stream.read(size):
            assert len(piece) <= size
            found.append(piece)
        assert stream.position == path.stat().st_size
    return b"".join(found)


def strictly(data):
    """The content of bz2 streams one after the other, None if there is anything else."""
    found = []
    while data:
        stream = bz2.BZ2Decompressor()
        try:
            found.append(stream.decompress(data))
        except OSError:
            return None
        if not stream.eof:
            return None
        data = stream.unused_data
    return b"".join(found)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("packed") / "file"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.sampled_from([bz2, gzip]), st.integers(1, 400))
def test_all_streams_are_read(path, parts, packing, size):
    path.write_bytes(b"".join(packing.compress(part) for part in parts))
    assert read(path, size) == b"".join(parts)


@pytest.mark.parametrize(
    "data",
    [
        PACKED, PACKED + OTHER + PACKED, EMPTY, EMPTY + PACKED + EMPTY + EMPTY + OTHER, PACKED + EMPTY,
        PACKED[:-1], PACKED[:-10], PACKED[:4], PACKED[: len(PACKED) // 2], PACKED + OTHER[:40], PACKED + OTHER[:2],
        PACKED + b"\n", PACKED + bytes(200), PACKED + b"<html>", PACKED + b"x" + OTHER, PACKED + bytes(19) + OTHER[19:],
        EMPTY + b"x", PACKED + PACKED[30_000:],
    ],
)  # fmt: skip
def test_bz2_gives_what_pythons_reader_gives_or_fails_where_that_fails(path, data):
    path.write_bytes(data)
    check(path, data)


@settings(deadline=None, max_examples=25)
@given(st.integers(3, len(PACKED + OTHER) - 1), st.integers(0, 7), st.booleans())
def test_no_flipped_bit_is_read(path, place, bit, is_last_cut):
    data = bytearray(PACKED + OTHER)
    data[place] ^= 1 << bit
    path.write_bytes(data[:-1] if is_last_cut else data)
    try:
        assert read(path) == TEXT + TEXT[:150_000]  # what is not content, such as the size of the blocks
    except UNPACKING_ERRORS:
        return


def check(path, data):
    expected = strictly(data)
    if expected is not None:
        assert read(path) == expected
        return
    with pytest.raises(UNPACKING_ERRORS):
        read(path)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, len(TEXT) + 200_000))
def test_a_beginning_is_that_of_the_whole(path, size):
    path.write_bytes(PACKED + EMPTY + OTHER)
    with unpacked(path, whole=False) as stream:
        assert stream.read(size) == (TEXT + TEXT[:150_000])[:size]
        assert 0 < stream.position <= path.stat().st_size


def test_an_empty_file_is_empty_and_a_plain_one_is_as_it_is(path):
    for data in (b"", b"BZ", b"a\tb\n"):
        path.write_bytes(data)
        assert read(path) == data


def test_threads_end_with_the_block_even_if_it_is_left_early(path):
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("threads are counted on Linux only")
    path.write_bytes(PACKED * 3)
    with unpacked(path) as stream:
        stream.read(10)
    before = len(list(tasks.iterdir()))
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt), unpacked(path) as stream:
            stream.read(10)
            raise KeyboardInterrupt
    assert len(list(tasks.iterdir())) == before
