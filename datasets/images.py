"""Reading and writing pictures: every kind of file to (H, W, 3) uint8 RGB, or a clear error."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from datasets.errors import InputError

Image = NDArray[np.uint8]

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
# EXIF orientations that swap width and height.
_SIDEWAYS = frozenset({5, 6, 7, 8})
_EXIF_ORIENTATION = 0x0112
# What brings stored pixels upright (EXIF 2.32, tag 274).
_TURNS: dict[int, Callable[[Image], Image]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_ENDS = {"JPEG": _JPEG_END, "MPO": _JPEG_END, "PNG": b"IEND\xaeB`\x82"}
# Pillow refuses twice as many: so 2**30, OpenCV's own limit. By default it would call the photos
# of some phones an attack.
PilImage.MAX_IMAGE_PIXELS = 2**29


def read_image(path: Path | str, *, upright: bool) -> Image:
    """Read a picture as (H, W, 3) uint8 RGB.

    Greyscale, palette, CMYK, 16-bit and transparent files are converted.

    Args:
        path: File to read.
        upright: Turn the picture as its EXIF tag says. COCO and VOC draw their boxes on the
            stored pixels (False); what a person looks at is turned (True).

    Raises:
        InputError: If the file is missing, cut short, or no picture; it names the file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return decode_image(data, path, upright=upright)


def decode_image(data: bytes, path: Path | str, *, upright: bool) -> Image:
    """Decode a picture file's bytes; as :func:`read_image`.

    Args:
        data: The file.
        path: What messages call it.
        upright: Turn the picture as its EXIF tag says.

    Raises:
        InputError: If it is cut short, or no picture; it names ``path``.
    """
    if data.startswith(_JPEG_START) and not data.rstrip(b"\0").endswith(_JPEG_END):
        # OpenCV would paint the missing part grey and say nothing. Some cameras append data
        # behind the end marker, so only a full decoding by Pillow tells a cut file.
        return _decode_with_pillow(data, path, upright)
    flags = cv2.IMREAD_COLOR_RGB
    if not upright:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:  # A picture of over a gigapixel, for one.
        raise InputError(f"{path}: cannot be decoded ({error.err or error})") from error
    if image is None:
        return _decode_with_pillow(data, path, upright)
    return np.asarray(image, np.uint8)


def _decode_with_pillow(data: bytes, path: Path | str, upright: bool) -> Image:
    """The slow way for what OpenCV does not know; also the source of a good message."""
    try:
        with PilImage.open(io.BytesIO(data)) as opened:
            picture = ImageOps.exif_transpose(opened) if upright else opened
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture that can be read") from error
    except (OSError, SyntaxError, PilImage.DecompressionBombError) as error:
        raise InputError(f"{path}: the picture is damaged ({error})") from error


def probe_image(path: Path | str) -> tuple[int, int, bool]:
    """Size of a picture from its header alone: (width, height, turned sideways by EXIF).

    The size is that of the stored pixels, before any turning.

    Raises:
        InputError: If the file is missing, cut short, or no picture.
    """
    try:
        with PilImage.open(path) as picture:
            # For a PNG without the tag up front Pillow would decode the whole picture.
            tagged = picture.format != "PNG" or "exif" in picture.info
            turned = tagged and _orientation(picture) in _SIDEWAYS
            width, height = picture.size
            if picture.format in _ENDS and not _ends_whole(path, _ENDS[picture.format]):
                picture.load()  # Raises if the file is cut short.
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file is missing") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture that can be read") from error
    except (OSError, SyntaxError, PilImage.DecompressionBombError) as error:
        raise InputError(f"{path}: the picture is damaged ({error})") from error
    return width, height, turned


def read_orientation(path: Path | str) -> int:
    """What a picture's EXIF tag says of its turning, 1 to 8; 1 is upright, and stands for none.

    Raises:
        InputError: If the file is missing, or no picture.
    """
    try:
        with PilImage.open(path) as picture:
            return _orientation(picture)
    except (OSError, SyntaxError, PilImage.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _orientation(picture: PilImage.Image) -> int:
    if picture.format == "TIFF":  # Turned already, here and by OpenCV.
        return 1
    found = picture.getexif().get(_EXIF_ORIENTATION, 1)
    return found if found in _TURNS else 1


def turn_upright(image: Image, orientation: int) -> Image:
    """Turn stored pixels (H, W, 3) as an EXIF orientation of 1 to 8 says; a copy, if at all."""
    return np.ascontiguousarray(_TURNS[orientation](image))


def _ends_whole(path: Path | str, end: bytes) -> bool:
    with Path(path).open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 64))
        return file.read().rstrip(b"\0").endswith(end)


def crop_to_box(image: Image, box: NDArray[np.float64], margin: float) -> Image:
    """Cut a photo to what it is about: the square around its box, as far as there is picture.

    A network takes the central square of what it is given: of a long window it would lose head
    and tail.

    Args:
        image: (H, W, 3).
        box: (4,) x1 y1 x2 y2 in pixels; NaN stands for none.
        margin: Share of the box's longer side that is added at both its ends.

    Returns:
        A view of the picture; all of it if there is no box, or no picture in the box.
    """
    size = np.array(image.shape[1::-1], dtype=np.float64)
    corners = np.clip(box, 0, np.tile(size, 2))
    extent = corners[2:] - corners[:2]
    if not (extent > 0).all():  # Also if they are NaN.
        return image
    sides = np.minimum((1 + 2 * margin) * extent.max(), size)
    first = np.clip((corners[:2] + corners[2:] - sides) / 2, 0, size - sides)
    x1, y1 = np.floor(first).astype(int)
    x2, y2 = np.ceil(first + sides).astype(int)
    return image[y1:y2, x1:x2]


def save_image(path: Path, image: Image, quality: int = 92) -> None:
    """Write (H, W, 3) RGB; the suffix says the format. Raises OSError if that fails."""
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if jpeg else []
    done, data = cv2.imencode(path.suffix, image[..., ::-1], options)
    if not done:
        raise OSError(f"{path}: the picture could not be encoded")
    path.write_bytes(data.tobytes())


def find_images(path: Path) -> list[Path]:
    """All pictures below a folder, sorted; hidden files and folders are passed over."""
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
