"""Where an image file keeps its EXIF tags."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from PIL import Image as PilImage

EXIF_START = b"Exif\0\0"
_MOST_TAGS = 1 << 24


def exif_bytes(picture: PilImage.Image, file: BinaryIO) -> bytes | None:
    """The EXIF block of an opened image as bytes, without decoding the image; None without one.

    TIFF files have no block of their own: their tags are the file's.
    """
    data = picture.info.get("exif")
    if data is None and picture.format == "PNG":
        data = _late_exif(file)
    return data if isinstance(data, bytes) else None


def _late_exif(file: BinaryIO) -> bytes | None:
    """The EXIF data of a PNG after its pixels, which Pillow would decode first."""
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return EXIF_START + file.read(length) if length < _MOST_TAGS else None
            file.seek(length + 4, os.SEEK_CUR)
    finally:
        file.seek(place)
    return None
