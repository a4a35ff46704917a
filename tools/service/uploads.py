"""The processing of an untrusted image: inspected from outside first, decoded only if safe."""

from __future__ import annotations

import base64
import io
import re

import cv2
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from datasets.images import Image, decode_image
from tools.flows.answerer import Refusal

_QUALITY = 90
# Formats that browsers can show. Pillow supports many more, and runs other programs for some of
# them.
_KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_KNOWN = "JPEG, PNG, WebP, GIF or BMP"
# A JPEG may have thousands of scans, which are slow to decode. Cameras and editors write 1 to 20.
# Length and number of components distinguish the header of a scan from two bytes that occur by
# chance.
_SCAN, _MOST_SCANS = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]"), 100
# Brand names of the container that HEIC and AVIF share.
_APPLE = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc", b"ftypavif")

TOO_LARGE, UNKNOWN, DAMAGED = 413, 415, 422


def as_url(drawn: Image) -> str:
    """An image as a JPEG in a data: address."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, data = cv2.imencode(".jpg", drawn[..., ::-1], options)
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def pixels_of(data: bytes, most_pixels: int) -> int:
    """Number of pixels of an untrusted image, by its header.

    Args:
        data: Bytes of the file.
        most_pixels: Largest permitted number.

    Raises:
        Refusal: If it is not an image (415), too large (413), or damaged (422).
    """
    width, height = _size_of(data)
    if width * height > most_pixels:
        raise Refusal(
            TOO_LARGE,
            f"the image has {width} x {height} pixels, {width * height / 1e6:.0f} millions; at "
            f"most {most_pixels / 1e6:g} are taken (--megapixels)",
        )
    return width * height


def decode_upload(data: bytes, most_pixels: int) -> Image:
    """Decode an untrusted image.

    Args:
        data: Bytes of the file.
        most_pixels: Largest permitted number of pixels.

    Returns:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        Refusal: If it is not an image (415), too large (413), or damaged (422).
    """
    pixels_of(data, most_pixels)
    scans = len(_SCAN.findall(data))
    if scans > _MOST_SCANS:
        raise Refusal(DAMAGED, f"the image has {scans} scans, as no camera writes them")
    try:
        image = decode_image(data, "the image", upright=True)
    except ValueError as error:
        raise Refusal(DAMAGED, str(error)) from error
    if image.shape[0] * image.shape[1] > most_pixels:
        raise Refusal(DAMAGED, "the image is larger than its header says")
    return image


def _size_of(data: bytes) -> tuple[int, int]:
    """Width and height from the header alone."""
    if not data:
        raise Refusal(DAMAGED, "the file is empty")
    try:
        with PilImage.open(io.BytesIO(data), formats=_KINDS) as picture:
            return picture.size
    except UnidentifiedImageError:
        if data[4:12] in _APPLE:
            text = f"HEIC and AVIF are not read: save the image as {_KNOWN}"
        else:
            text = f"not an image that can be read, whatever its name says: {_KNOWN} are"
        raise Refusal(UNKNOWN, text) from None
    except Exception as error:  # Of hostile bytes Pillow raises nearly everything.
        raise Refusal(DAMAGED, f"the image's header is damaged ({error})") from error
