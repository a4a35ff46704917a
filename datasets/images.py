"""Reads and writes images: any kind of image file to (H, W, 3) uint8 RGB, or a clear error."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from datasets.errors import InputError
from datasets.exif import EXIF_START, exif_bytes
from datasets.jpeg import JPEG_END, JPEG_START, frame_size, quick_size
from datasets.lfs import refuse_pointer
from datasets.names import odd_file, shown

Image = NDArray[np.uint8]

# Both decoders print remarks on damaged images without naming the file; the suite's messages do.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

# Everything that OpenCV or Pillow read as an image of pixels; their documents, films and data are
# excluded.
SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".png", ".apng", ".webp"),
        *(".avif", ".avifs", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".ico", ".qoi", ".psd"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".tga", ".icb", ".vda", ".vst", ".sgi", ".rgb", ".rgba", ".bw", ".ras", ".pcx", ".dds"),
    ]
)
# Images that cannot be read here; they are reported, so that a class does not shrink silently.
UNREAD_SUFFIXES = frozenset(
    [
        *(".heic", ".heif", ".jxl", ".svg", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw"),
        *(".orf", ".rw2", ".exr", ".hdr", ".jxr", ".eps"),
    ]
)
# Files that systems, unpackers and notebooks leave behind; hidden names are skipped, too.
_LEFT_BEHIND = frozenset(
    [
        *("__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "#recycle"),
        *("$recycle.bin", "system volume information", "lost+found"),
    ]
)
# EXIF orientations that swap width and height.
_SIDEWAYS = frozenset({5, 6, 7, 8})
_EXIF_ORIENTATION = 0x0112
# How stored pixels are turned upright (EXIF 2.32, tag 274).
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
_ENDS = {"JPEG": JPEG_END, "MPO": JPEG_END, "PNG": b"IEND\xaeB`\x82"}
# Largest width times height that is decoded: the largest images of phones have 200 million pixels,
# and a file of a kilobyte can claim any size, for which memory is allocated before anything is
# read.
MOST_PIXELS = 2**28
# Larger images are refused here, with a message of the suite's own.
PilImage.MAX_IMAGE_PIXELS = None
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Decoders round differently; a mean difference of more levels (of 255) than this is another image.
_ROUNDING = 4.0


def read_image(path: Path | str, *, upright: bool) -> Image:
    """Read an image as (H, W, 3) uint8 RGB.

    Greyscale, palette, CMYK, 16-bit and transparent files are converted.

    Args:
        path: File to read.
        upright: Whether to turn the image as its EXIF tag states. COCO and VOC define their boxes
            on the stored pixels (False); people see the turned image (True).

    Raises:
        InputError: If the file is missing, cut short, or not an image; the message names it.
    """
    _refuse_odd(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # A NUL in a name that some list tells.
        raise InputError(f"{shown(path)!r}: no name of a file ({error})") from error
    return decode_image(data, path, upright=upright)


def decode_image(data: bytes, path: Path | str, *, upright: bool) -> Image:
    """Decode the bytes of an image file as :func:`read_image` does; ``path`` is for messages.

    Raises:
        InputError: If it is cut short, or not an image.
    """
    image = _decode_stored(data, path)
    # Decoders differ in which tags they obey, so none of them turns: one reader of tags serves all
    # images and the reader of headers, too.
    return turn_upright(image, _orientation_in(data)) if upright else image


def _refuse_odd(path: Path | str) -> None:
    """Refuse pipes, sockets and devices, which may never end. Raises InputError."""
    if what := odd_file(path):
        raise InputError(f"{shown(path)}: is {what}, and no image")


def _decode_stored(data: bytes, path: Path | str) -> Image:
    """The stored pixels (H, W, 3), before any turning."""
    _refuse_huge(path, _size_in(data))
    if data.startswith(JPEG_START) and not data.rstrip(b"\0").endswith(JPEG_END):
        # OpenCV would silently paint the missing part grey. Some cameras append data after the end
        # marker, so only a full decoding by Pillow reveals a truncated file.
        return _decode_with_pillow(data, path)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:  # An image of over a gigapixel, for one.
        why = error.err or error
        raise InputError(f"{shown(path)}: cannot be decoded ({why})") from error
    if image is None:
        return _decode_with_pillow(data, path)
    return np.asarray(image, np.uint8)


def _size_in(data: bytes) -> tuple[int, int]:
    """Width and height in an image's header; 0 if they are unknown.

    JPEG and PNG are read here, in a tenth of the time that Pillow needs.
    """
    if data.startswith(_PNG_START) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data[8:12] == b"WEBP":  # Its sides end at 16,383 pixels.
        return 0, 0
    if any(size := frame_size(data)):
        return size
    try:
        with PilImage.open(io.BytesIO(data)) as picture:
            return picture.size
    except Exception:  # Whoever decodes it says what is wrong.
        return 0, 0


def _refuse_huge(path: Path | str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{shown(path)}: has {width} x {height} pixels by its header; at most "
            f"{MOST_PIXELS / 1e6:.0f} millions are read: make it smaller, or cut it into tiles"
        )


def decoders_differ(path: Path | str) -> str:
    """How another reader sees a file that can be read; empty if it sees the same.

    Pillow produces other colours from CMYK and 16 bits, and obeys tags that OpenCV does not find.
    """
    ours = read_image(path, upright=True)
    try:
        with PilImage.open(path) as opened:
            mode = opened.mode
            theirs = np.array(ImageOps.exif_transpose(opened).convert("RGB"), dtype=np.uint8)
    except Exception:  # Only OpenCV reads it.
        return ""
    if theirs.shape != ours.shape:
        height, width = theirs.shape[:2]
        return f"{ours.shape[1]} x {ours.shape[0]} pixels here, {width} x {height} in Pillow"
    levels = float(cv2.absdiff(ours, theirs).mean())
    return f"{levels:.0f} of 255 levels apart on average ({mode})" if levels > _ROUNDING else ""


def _decode_with_pillow(data: bytes, path: Path | str) -> Image:
    """Slow decoding of what OpenCV does not support; also the source of a good message."""
    try:
        with PilImage.open(io.BytesIO(data)) as opened:
            return np.array(opened.convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError as error:
        refuse_pointer(path, data)
        raise InputError(f"{shown(path)}: not an image that can be read") from error
    except Exception as error:  # A damaged file makes Pillow raise nearly anything.
        raise InputError(f"{shown(path)}: the image is damaged ({error})") from error


def probe_image(path: Path | str, data: bytes | None = None) -> tuple[int, int, bool]:
    """Size of an image from its header alone: (width, height, turned sideways by EXIF).

    The size is that of the stored pixels, before any turning. Where ``data`` has the bytes of the
    image, ``path`` is for messages only.

    Raises:
        InputError: If the file is missing, cut short, or not an image.
    """
    if data is None:
        _refuse_odd(path)
    try:
        with _opened(path, data) as file:
            if (size := quick_size(file)) is not None:
                _refuse_huge(path, size)
                return *size, False
            return _probe_with_pillow(path, file)
    except FileNotFoundError as error:
        raise InputError(f"{shown(path)}: the file is missing") from error
    except InputError:
        raise
    except UnidentifiedImageError:  # OpenCV may know it.
        data = Path(path).read_bytes() if data is None else data
        height, width = decode_image(data, path, upright=False).shape[:2]
        return width, height, False
    except Exception as error:  # A damaged file makes Pillow raise nearly anything.
        raise InputError(f"{shown(path)}: the image is damaged ({error})") from error


def _probe_with_pillow(path: Path | str, file: BinaryIO) -> tuple[int, int, bool]:
    with PilImage.open(file) as picture:
        turned = _orientation(picture, file) in _SIDEWAYS
        width, height = picture.size
        _refuse_huge(path, picture.size)
        if picture.format in _ENDS and not _ends_whole(file, _ENDS[picture.format]):
            picture.load()  # Raises if the file is cut short.
    return width, height, turned


def read_orientation(path: Path | str, data: bytes | None = None) -> int:
    """Orientation in an image's EXIF tag, 1 to 8; 1 is upright, and the default.

    Where ``data`` has its bytes, ``path`` is for messages only.

    Raises:
        InputError: If the file is missing, or not an image.
    """
    if data is None:
        _refuse_odd(path)
    try:
        with _opened(path, data) as file, PilImage.open(file) as picture:
            return _orientation(picture, file)
    except Exception as error:  # A damaged file makes Pillow raise nearly anything.
        raise InputError(f"{shown(path)}: cannot be read ({error})") from error


def _opened(path: Path | str, data: bytes | None) -> BinaryIO:
    return Path(path).open("rb") if data is None else io.BytesIO(data)


def _orientation_in(data: bytes) -> int:
    """The orientation of an image file; 1 if it cannot be determined."""
    if data.startswith(JPEG_START) and EXIF_START not in data:
        return 1
    try:
        file = io.BytesIO(data)
        with PilImage.open(file) as picture:
            return _orientation(picture, file)
    except Exception:  # Only OpenCV knows the image, or no one does.
        return 1


def _orientation(picture: PilImage.Image, file: BinaryIO) -> int:
    """The EXIF orientation of an opened image, without decoding it.

    XMP may contain one, too, but it describes what an editor once saw. Browsers, OpenCV and tools
    that draw boxes ignore it.
    """
    if picture.format == "TIFF":  # Turned already, here and by OpenCV.
        return 1
    data = exif_bytes(picture, file)
    if data is None:
        return 1
    exif = PilImage.Exif()
    try:
        exif.load(data)
        found = exif.get(_EXIF_ORIENTATION, 1)
    except Exception:  # Damaged tags turn nothing.
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def turn_upright(image: Image, orientation: int) -> Image:
    """Turn stored pixels (H, W, 3) by an EXIF orientation of 1 to 8; a copy if turned."""
    return np.ascontiguousarray(_TURNS[orientation](image))


def _ends_whole(file: BinaryIO, end: bytes) -> bool:
    place = file.tell()
    file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
    found = file.read()
    file.seek(place)
    return found.rstrip(b"\0").endswith(end)


def crop_to_box(image: Image, box: NDArray[np.float64], margin: float) -> Image:
    """Crop an image to the square around its box, as far as the image reaches.

    A network uses the central square of its input: of a long crop it would lose both ends.

    Args:
        image: Image (H, W, 3).
        box: (4,) x1 y1 x2 y2 in pixels; NaN stands for none.
        margin: Share of the box's longer side that is added at both its ends.

    Returns:
        A view of the image; all of it if there is no box, or no image in the box.
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
    """Write (H, W, 3) RGB; the suffix determines the format. Raises OSError if that fails."""
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if jpeg else []
    done, data = cv2.imencode(path.suffix, image[..., ::-1], options)
    if not done:
        raise OSError(f"{path}: the image could not be encoded")
    path.write_bytes(data.tobytes())


def is_passed_over(name: str) -> bool:
    """Whether a file or folder is not part of a data set: hidden, or left behind by a program.

    Unpackers (``__MACOSX``, ``._0.jpg``), file servers (``@eaDir``), notebooks
    (``.ipynb_checkpoints``) and systems (``Thumbs.db``) leave such names.
    """
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


def is_picture(name: str) -> bool:
    """Whether a file name is that of an image that can be read and belongs to a data set."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not is_passed_over(name)  # noqa: PTH122 (millions of names)


def walk_files(folder: Path | str) -> Iterator[tuple[str, list[str]]]:
    """A folder and those below it, each with the names of its files that belong to a data set.

    Names for which :func:`is_passed_over` is true are left out. The order is that of the file
    system.
    """
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_passed_over(name)]
        yield base, [name for name in files if not is_passed_over(name)]


def pictures_below(folder: Path | str, *, first: bool = False) -> list[str]:
    """Sorted paths of the images below a folder; or only the first that is found.

    :func:`find_images` takes three times as long, which matters for a million files.

    Args:
        folder: Folder to search.
        first: Whether to return only the first image found.
    """
    found: list[str] = []
    for base, files in walk_files(folder):
        found += [f"{base}{os.sep}{name}" for name in files if is_picture(name)]
        if found and first:
            break
    return sorted(found)


def find_images(path: Path) -> list[Path]:
    """All images below a folder, sorted, without what :func:`walk_files` leaves out."""
    return sorted(Path(file) for file in pictures_below(path))
