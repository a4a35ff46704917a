"""Draws the most likely classes as bars under an image, or beside it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from tasks.reporting.pictures import GROUND, TEXT, Image, font

_TRACK = (58, 62, 70)
_BAR, _RIGHT = (66, 145, 235), (70, 180, 95)
# Pixels for an image whose longer side is 640; for larger images they are scaled.
_UNIT = 640
_SMALLEST = 360


def draw_answer(
    image: Image, names: Sequence[str], probabilities: Sequence[float], true: str = ""
) -> Image:
    """The image with a bar per class: under it, or beside it if the image is tall.

    Small images are enlarged to 360 pixels, so that the text is legible.

    Args:
        image: Image (H, W, 3) RGB.
        names: Classes, best first.
        probabilities: Probabilities in 0..1.
        true: The true class, drawn in green; empty if it is unknown.
    """
    height, width = image.shape[:2]
    upright = height > 1.2 * width
    grow = max(1.0, _SMALLEST / max(height, width))
    if grow > 1:
        size = (max(round(width * grow), 1), max(round(height * grow), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        height, width = image.shape[:2]
    scale = max(0.8, max(height, width) / _UNIT)
    if not upright:
        return np.concatenate((image, _panel(width, names, probabilities, true, scale)))
    panel = _panel(round(340 * scale), names, probabilities, true, scale)
    shape = max(height, len(panel)), width + panel.shape[1], 3
    canvas = np.full(shape, GROUND, dtype=np.uint8)
    canvas[:height, :width] = image
    canvas[: len(panel), width:] = panel
    return canvas


def _panel(
    width: int, names: Sequence[str], probabilities: Sequence[float], true: str, scale: float
) -> Image:
    """A line of text over a bar for each class."""
    pad, row = round(12 * scale), round(42 * scale)
    letters = font(round(20 * scale))
    canvas = PIL.Image.new("RGB", (width, row * len(names) + pad), GROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    inner = width - 2 * pad
    for index, (name, probability) in enumerate(zip(names, probabilities, strict=True)):
        top = pad // 2 + index * row
        share = f"{probability:.1%}"
        room = inner - draw.textlength(share, letters) - pad
        draw.text((pad, top), _cut(draw, name, letters, room), TEXT, letters)
        draw.text((width - pad, top), share, TEXT, letters, anchor="ra")
        low, high = top + round(28 * scale), top + round(35 * scale)
        draw.rectangle((pad, low, pad + inner, high), _TRACK)
        if probability * inner >= 1:
            colour = _RIGHT if name == true else _BAR
            draw.rectangle((pad, low, pad + round(inner * min(probability, 1)), high), colour)
    return np.array(canvas)


def _cut(
    draw: PIL.ImageDraw.ImageDraw, text: str, letters: PIL.ImageFont.FreeTypeFont, room: float
) -> str:
    """As much of the text as fits."""
    if draw.textlength(text, letters) <= room:
        return text
    while text and draw.textlength(f"{text}…", letters) > room:
        text = text[:-1]
    return f"{text}…"
