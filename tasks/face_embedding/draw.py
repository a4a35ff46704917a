"""A face beside the faces that are nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from numpy.typing import NDArray

Image = NDArray[np.uint8]
TILE = 192
_GROUND, _TEXT = (24, 26, 30), (238, 238, 238)
_SAME, _OTHER, _ASKED = (70, 180, 95), (150, 150, 150), (66, 145, 235)
_FRAME, _LINE = 5, 44


def tile(image: Image, side: int = TILE) -> Image:
    """The whole picture in the middle of a dark square: (side, side, 3)."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = np.empty((side, side, 3), dtype=np.uint8)
    canvas[:] = _GROUND
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    resized = cv2.resize(image, size, interpolation=kind)
    canvas[top : top + size[1], left : left + size[0]] = resized
    return canvas


def draw_neighbours(
    image: Image, neighbours: Sequence[tuple[Image, str, float]], threshold: float | None
) -> Image:
    """A photo, and its nearest with name and distance; green where taken for the same person.

    Where that is not known all frames are alike.

    Args:
        image: (H, W, 3) RGB.
        neighbours: Photo, name and squared distance of each, nearest first.
        threshold: Distance up to which two photos are taken for one person; None if unknown.
    """
    cells = [_cell(image, "", None, _ASKED)]
    cells += [
        _cell(photo, name, distance, _frame_of(distance, threshold))
        for photo, name, distance in neighbours
    ]
    return np.concatenate(cells, axis=1)


def _frame_of(distance: float, threshold: float | None) -> tuple[int, int, int]:
    if threshold is None:
        return _ASKED
    return _SAME if distance <= threshold else _OTHER


def _cell(image: Image, name: str, distance: float | None, colour: tuple[int, int, int]) -> Image:
    """A framed photo over two lines of text."""
    side = TILE + 2 * _FRAME
    canvas = PIL.Image.new("RGB", (side, side + _LINE), _GROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, side - 1, side - 1), colour)
    canvas.paste(PIL.Image.fromarray(tile(image)), (_FRAME, _FRAME))
    if distance is not None:
        shown = name if len(name) <= 24 else f"{name[:23]}…"
        draw.text((_FRAME, side + 2), shown, _TEXT, _font())
        draw.text((_FRAME, side + 22), f"distance {distance:.2f}", _TEXT, _font())
    return np.array(canvas)


@lru_cache(maxsize=1)
def _font() -> PIL.ImageFont.FreeTypeFont:
    # OpenCV's letters are ASCII alone; people's names are not. matplotlib carries a font.
    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return PIL.ImageFont.truetype(str(file), 14)
