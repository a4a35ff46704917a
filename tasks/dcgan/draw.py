"""Sheets of generated pictures: a row per class, its name beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.typing import NDArray

from tasks.reporting.pictures import GROUND, TEXT, Image, font, shorten
from tasks.weights.atomic_write import replacing

ROWS, COLUMNS = 12, 10
_LEAST_SIDE, _GAP, _MARGIN, _FONT = 64, 2, 150, 13
_NAME = 20


def shown_classes(num_classes: int) -> NDArray[np.int64]:
    """(R,) columns of the classes on a sheet: all, or so many evenly chosen."""
    count = min(num_classes, ROWS)
    return np.linspace(0, num_classes - 1, count).round().astype(np.int64)


def draw_sheet(pictures: Image, names: Sequence[str]) -> Image:
    """A sheet, (H, W, 3) RGB; small pictures are enlarged, pixel by pixel.

    Args:
        pictures: (R, C, S, S, 3) RGB.
        names: (R,) of the classes.
    """
    grow = max(1, _LEAST_SIDE // pictures.shape[2])
    tiles = pictures.repeat(grow, axis=2).repeat(grow, axis=3)
    step = tiles.shape[2] + _GAP
    rows, columns = tiles.shape[:2]
    canvas = PIL.Image.new("RGB", (_MARGIN + columns * step, rows * step + _GAP), GROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        top = row * step + _GAP
        place = _GAP * 3, top + step // 2
        draw.text(place, shorten(name, _NAME), TEXT, font(_FONT), anchor="lm")
        for column in range(columns):
            tile = PIL.Image.fromarray(tiles[row, column])
            canvas.paste(tile, (_MARGIN + column * step, top))
    return np.array(canvas)


def save_png(path: Path, picture: Image) -> None:
    """Write (H, W, 3) RGB in one piece. Raises OSError if it cannot be written."""
    data = io.BytesIO()
    PIL.Image.fromarray(picture).save(data, "PNG")
    with replacing(path) as temporary:
        temporary.write_bytes(data.getvalue())
