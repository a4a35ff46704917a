"""What the drawings of several tasks share: tiles, fonts, names that fit."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import PIL.ImageFont
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
# Longer side of drawn images in pixels: the smallest that is legible, and the largest that a
# screen shows.
_LEAST, _MOST = 640, 1280
# Colours of the background and of the letters on it (RGB).
GROUND: Colour = (24, 26, 30)
TEXT: Colour = (238, 238, 238)


def tile(image: Image, side: int, ground: Colour = GROUND) -> Image:
    """The whole image (H, W, 3) RGB in the middle of a square on a background: (side, side, 3)."""
    resized = _scaled(image, side / max(image.shape[:2]))
    height, width = resized.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.empty((side, side, 3), dtype=np.uint8)
    canvas[:] = ground
    canvas[top : top + height, left : left + width] = resized
    return canvas


def _scaled(image: Image, scale: float) -> Image:
    height, width = image.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)


@lru_cache(maxsize=8)
def font(size: int) -> PIL.ImageFont.FreeTypeFont:
    """Font for drawings: matplotlib's, or Pillow's if matplotlib is not installed."""
    # OpenCV's font has only ASCII; names of classes and people may not be ASCII. matplotlib
    # includes a font with most scripts; Pillow's has those of western Europe. Searching for
    # the package instead of importing it saves half a second.
    package = find_spec("matplotlib")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        file = Path(place) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return PIL.ImageFont.truetype(str(file), size)
    found = PIL.ImageFont.load_default(size)
    assert isinstance(found, PIL.ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return found


def shorten(name: str, length: int) -> str:
    """A name shortened to a number of letters; the last letter shows that something is missing."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def for_screen(image: Image) -> Image:
    """The image (H, W, 3) at a size for drawing: nobody sees more on a screen."""
    longest = max(image.shape[:2])
    return _scaled(image, min(max(longest, _LEAST), _MOST) / longest)
