"""What a JPEG file states about itself, without decoding it."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from datasets.exif import EXIF_START

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Markers of a frame header, which contains the size.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline and progressive, whose samples every decoder takes if they have eight bits.
_USUAL_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
_HEAD, _TAIL = 1 << 15, 64


def frame_size(data: bytes) -> tuple[int, int]:
    """Width and height in the frame header of a JPEG file; 0 if it is not in these bytes."""
    place = _frame(data)
    if not place:
        return 0, 0
    height, width = struct.unpack_from(">HH", data, place + 5)
    return width, height


def quick_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height of a whole JPEG file of the usual kind that has no EXIF tags.

    This takes a fifth of the time that Pillow needs. None leaves the file to Pillow, from the
    place where it was.
    """
    start = file.tell()
    head = file.read(_HEAD)
    place = _frame(head)
    found = None
    if place and head[place + 1] in _USUAL_FRAMES and EXIF_START not in head:
        bits, height, width, layers = struct.unpack_from(">BHHB", head, place + 4)
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        is_whole = file.read().rstrip(b"\0").endswith(JPEG_END)
        if is_whole and bits == 8 and layers in (1, 3, 4) and width and height:
            found = (width, height)
    file.seek(start)
    return found


def _frame(data: bytes) -> int:
    """Where the frame header begins; 0 if it is not in these bytes."""
    place = 2 if data.startswith(JPEG_START) else len(data)
    while place + 10 <= len(data) and data[place] == 0xFF:
        if data[place + 1] in _FRAMES:
            return place
        is_fill = data[place + 1] == 0xFF
        place += 1 if is_fill else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0
