"""Draws a face beside the faces that are nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw

from tasks.reporting.pictures import GROUND, TEXT, Image, font, shorten, tile

TILE = 192
_SAME, _OTHER, _ASKED = (70, 180, 95), (150, 150, 150), (66, 145, 235)
_FRAME, _LINE = 5, 44
_FONT, _NAME = 14, 24


def draw_neighbours(
    image: Image, neighbours: Sequence[tuple[Image, str, float]], threshold: float | None
) -> Image:
    """An image (H, W, 3), and its nearest with name and squared distance, nearest first.

    Frames are green if the distance is up to the threshold, so that both count as the same person.
    If the threshold is unknown, all frames are alike.
    """
    cells = [_cell(image, "", None, _ASKED)]
    for photo, name, distance in neighbours:
        known = _SAME if threshold is not None and distance <= threshold else _OTHER
        cells.append(_cell(photo, name, distance, _ASKED if threshold is None else known))
    return np.concatenate(cells, axis=1)


def _cell(image: Image, name: str, distance: float | None, colour: tuple[int, int, int]) -> Image:
    """A framed image over two lines of text."""
    side = TILE + 2 * _FRAME
    canvas = PIL.Image.new("RGB", (side, side + _LINE), GROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, side - 1, side - 1), colour)
    canvas.paste(PIL.Image.fromarray(tile(image, TILE)), (_FRAME, _FRAME))
    if distance is not None:
        letters = font(_FONT)
        draw.text((_FRAME, side + 2), shorten(name, _NAME), TEXT, letters)
        draw.text((_FRAME, side + 22), f"distance {distance:.2f}", TEXT, letters)
    return np.array(canvas)
