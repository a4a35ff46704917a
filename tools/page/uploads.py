"""Photos from strangers: looked at from outside first, and decoded only if that is safe."""

from __future__ import annotations

import io
import re

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from datasets.images import Image, decode_image
from tools.flows.answerer import Refusal

# What browsers can show. Pillow knows many more kinds, and runs other programs for some of them.
_KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_KNOWN = "JPEG, PNG, WebP, GIF or BMP"
# A JPEG may ask to be gone over again thousands of times. Cameras and editors write 1 to 20 scans.
# Length and number of components tell a scan's head from two bytes that stand there by chance.
_SCAN, _MOST_SCANS = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]"), 100
# Names of the container that HEIC and AVIF share.
_APPLE = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc", b"ftypavif")

TOO_LARGE, UNKNOWN, DAMAGED = 413, 415, 422


def decode_upload(data: bytes, most_pixels: int) -> Image:
    """Decode a photo that anyone may have sent.

    Returns:
        (H, W, 3) uint8 RGB, as a person sees it.

    Raises:
        Refusal: If it is no picture (415), too large (413), or damaged (422).
    """
    width, height = _size_of(data)
    if width * height > most_pixels:
        raise Refusal(
            TOO_LARGE,
            f"the photo has {width} x {height} pixels, {width * height / 1e6:.0f} millions; at "
            f"most {most_pixels / 1e6:g} are taken (--megapixels)",
        )
    scans = len(_SCAN.findall(data))
    if scans > _MOST_SCANS:
        raise Refusal(DAMAGED, f"the photo has {scans} scans, as no camera writes them")
    try:
        image = decode_image(data, "the photo", upright=True)
    except ValueError as error:
        raise Refusal(DAMAGED, str(error)) from error
    if image.shape[0] * image.shape[1] > most_pixels:
        raise Refusal(DAMAGED, "the photo is larger than its header says")
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
            text = f"HEIC and AVIF are not read: save the photo as {_KNOWN}"
        else:
            text = f"not a picture that can be read, whatever its name says: {_KNOWN} are"
        raise Refusal(UNKNOWN, text) from None
    except PilImage.DecompressionBombError as error:
        raise Refusal(TOO_LARGE, f"the photo is far too large ({error})") from error
    except Exception as error:  # Of hostile bytes Pillow raises nearly everything.
        raise Refusal(DAMAGED, f"the photo's header is damaged ({error})") from error
