"""The length of an MP3 file according to its first frame."""

from __future__ import annotations

from io import FileIO

_HEAD_BYTES = 4096  # some taggers leave zeros between the tag and the first frame
_HEADER_REACH = 64  # the Xing header starts at byte 13 to 38 of the frame, by version, channels and checksum
_HAS_FRAMES, _HAS_BYTES = 1, 2
_COMPLETE = 0.99


def has_false_length(stream: FileIO) -> bool:
    """Return whether this is an MPEG audio file of which libsndfile cannot know the length.

    Without a Xing (or Info) header libsndfile takes the first frame's bit rate for all, may miss the length by half,
    and neither reads nor seeks beyond it. A header that promises more bytes than there are is as bad: the file was cut.

    Args:
        stream: The file; its position changes.
    """
    start = _skip_id3(stream)
    stream.seek(start)
    head = stream.read(_HEAD_BYTES)
    sync = _find_frame(head)
    if sync is None or (start == 0 and sync > 0):
        return False
    frame = head[sync : sync + _HEADER_REACH]
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag < 0:
        return True
    flags, fields = int.from_bytes(frame[tag + 4 : tag + 8], "big"), head[sync + tag + 8 :]
    if not flags & _HAS_FRAMES:
        return True
    if not flags & _HAS_BYTES:
        return False
    promised = int.from_bytes(fields[4:8], "big")
    return stream.seek(0, 2) - start - sync < _COMPLETE * promised


def _skip_id3(stream: FileIO) -> int:
    """Return the position after all ID3v2 tags at the beginning."""
    position = 0
    while True:
        stream.seek(position)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return position
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size + (10 if head[5] & 0x10 else 0)


def _find_frame(head: bytes) -> int | None:
    """Return the position of the first MPEG audio frame header (layer I to III), None if there is none."""
    position = head.find(b"\xff")
    while 0 <= position < len(head) - 3:
        second, third = head[position + 1], head[position + 2]
        has_layer, has_version = second & 0x06, second & 0x18 != 0x08
        if second & 0xE0 == 0xE0 and has_layer and has_version and third & 0xF0 != 0xF0 and third & 0x0C != 0x0C:
            return position
        position = head.find(b"\xff", position + 1)
    return None
