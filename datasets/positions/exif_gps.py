"""Position and author of an image, from its own EXIF tags."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from datasets.errors import InputError
from datasets.exif import exif_bytes
from datasets.names import odd_file

_GPS = 0x8825
_ARTIST = 0x013B
_PNG_TAGS = {"exif", "Raw profile type exif"}  # Where a PNG has tags before its pixels.
_LAT_REF, _LAT, _LNG_REF, _LNG = 1, 2, 3, 4


class Tags(NamedTuple):
    """What the tags of an image state."""

    position: tuple[float, float] | None  # Latitude and longitude in degrees.
    artist: str  # Empty if they do not say.


def read_tags(file: Path | str) -> Tags:
    """The position and the artist in an image's EXIF tags, without decoding the image.

    Args:
        file: The image.

    Raises:
        InputError: If it is not an image, or its tags are damaged; the message names the file.
    """
    if what := odd_file(file):
        raise InputError(f"{file}: is {what}, and no image")
    try:
        with Path(file).open("rb") as opened, PilImage.open(opened) as picture:
            exif = _exif(picture, opened)
            gps, artist = exif.get_ifd(_GPS), exif.get(_ARTIST, "")
    except UnidentifiedImageError as error:
        raise InputError(f"{file}: not an image that can be read") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{file}: its tags cannot be read ({error})") from error
    return Tags(_position(gps), str(artist).strip(" \0"))


def _exif(picture: PilImage.Image, file: BinaryIO) -> PilImage.Exif:
    """All tags. Pillow would decode a PNG, however large, to look for tags after its pixels."""
    if picture.format != "PNG" or picture.info.keys() & _PNG_TAGS:
        return picture.getexif()
    exif = PilImage.Exif()
    if data := exif_bytes(picture, file):
        exif.load(data)
    return exif


def _position(gps: dict[int, Any]) -> tuple[float, float] | None:
    lat = _angle(gps.get(_LAT), gps.get(_LAT_REF), "NS", 90)
    lng = _angle(gps.get(_LNG), gps.get(_LNG_REF), "EW", 180)
    return None if lat is None or lng is None else (lat, lng)


def _angle(parts: Any, reference: Any, signs: str, most: float) -> float | None:
    """Degrees, minutes and seconds as degrees; None if they are something else."""
    if isinstance(reference, bytes):
        reference = reference.decode("ascii", "replace")
    sign = str(reference or "").strip(" \0").upper()[:1]
    if not sign or sign not in signs:
        return None
    try:
        values = [float(part) for part in parts]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not 1 <= len(values) <= 3 or not all(math.isfinite(v) and v >= 0 for v in values):
        return None
    angle = sum(value / 60**k for k, value in enumerate(values))
    return None if angle > most else (angle if sign == signs[0] else -angle)
