"""Draws boxes on images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def colour_of(label: int) -> tuple[int, int, int]:
    """A bright RGB colour per class; neighbouring labels differ most."""
    hue = int(label * 0.381966 * 180) % 180  # The golden angle, in OpenCV's half degrees.
    pixel = np.array([[[hue, 200, 245]]], dtype=np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def draw_detections(
    image: Image,
    boxes: NDArray[np.float64],
    labels: Sequence[int],
    scores: Sequence[float],
    names: Sequence[str],
) -> Image:
    """A copy of the image with a box, a name and a score per detection.

    Args:
        image: (H, W, 3) RGB.
        boxes: (N, 4) x1 y1 x2 y2 in pixels.
        labels: Labels, starting from 1; ``names`` begins with the name of 1.
        scores: 0..1, best first.
        names: Names of the classes.
    """
    drawn = image.copy()
    scale = max(drawn.shape[:2]) / 640
    width = max(1, round(2 * scale))
    for box, label, score in reversed(list(zip(boxes, labels, scores, strict=True))):
        colour = colour_of(label)
        (x1, y1), (x2, y2) = np.round(box).astype(int).reshape(2, 2).tolist()
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, width, cv2.LINE_AA)
        _tag(drawn, f"{names[label - 1]} {score:.2f}", (x1, y1), colour, max(0.4, 0.5 * scale))
    return drawn


def draw_truth(image: Image, boxes: NDArray[np.float32]) -> Image:
    """A copy of the image with the true boxes as dashed white lines on black."""
    drawn = image.copy()
    for box in boxes:
        (x1, y1), (x2, y2) = np.round(box).astype(int).reshape(2, 2).tolist()
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _BLACK, 1)
        corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            _dashes(drawn, start, end)
    return drawn


def _dashes(image: Image, start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    length = float(np.linalg.norm(end - start))
    for at in np.arange(0, length, 10):
        a = start + (end - start) * at / length
        b = start + (end - start) * min(at + 5, length) / length
        cv2.line(image, np.round(a).astype(int).tolist(), np.round(b).astype(int).tolist(), _WHITE)


def _tag(
    image: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int], scale: float
) -> None:
    """Text on a filled background, above the corner if there is room."""
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = min(max(corner[0], 0), max(image.shape[1] - width, 0))
    y = corner[1] if corner[1] > height + base else corner[1] + height + base
    cv2.rectangle(image, (x, y - height - base), (x + width, y), colour, -1)
    cv2.putText(
        image, text, (x, y - base), cv2.FONT_HERSHEY_SIMPLEX, scale, _BLACK, 1, cv2.LINE_AA
    )
