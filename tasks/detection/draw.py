"""Draws boxes on images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.names import shown
from tasks.detection.followed import Followed

Image = NDArray[np.uint8]
_WHITE, _GREY, _BLACK = (255, 255, 255), (160, 160, 160), (0, 0, 0)


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
    for box, label, score in reversed(list(zip(boxes, labels, scores, strict=True))):
        _box(drawn, box, f"{names[label - 1]} {score:.2f}", colour_of(label))
    return drawn


def draw_tracks(
    image: Image,
    boxes: NDArray[np.float64],
    labels: Sequence[int],
    scores: Sequence[float],
    names: Sequence[str],
    followed: Followed,
) -> Image:
    """A copy of a frame with each detection's number and trail, in a colour per number.

    Args:
        image: (H, W, 3) RGB.
        boxes: (N, 4) x1 y1 x2 y2 in pixels.
        labels: Labels, starting from 1; ``names`` begins with the name of 1.
        scores: 0..1, best first.
        names: Names of the classes.
        followed: Tracks of the detections, and lines with the numbers that have crossed them.
    """
    drawn = image.copy()
    width = _width(drawn)
    for (name, (x1, y1, x2, y2), _), left, right in followed.lines:
        ends = [(round(x1), round(y1)), (round(x2), round(y2))]
        cv2.line(drawn, ends[0], ends[1], _WHITE, width, cv2.LINE_AA)
        _tag(drawn, f"{name}: {left} to left, {right} to right", ends[0], _WHITE)
    rows = zip(boxes, labels, scores, followed.tracks.tolist(), followed.trails, strict=True)
    for box, label, score, track, trail in reversed(list(rows)):
        colour = colour_of(track) if track else _GREY
        cv2.polylines(drawn, [np.round(trail).astype(np.int32)], False, colour, width, cv2.LINE_AA)
        number = f" #{track}" if track else ""
        _box(drawn, box, f"{names[label - 1]}{number} {score:.2f}", colour)
    return drawn


def _width(image: Image) -> int:
    return max(1, round(int(max(image.shape[:2])) / 320))


def _box(image: Image, box: NDArray[np.float64], text: str, colour: tuple[int, int, int]) -> None:
    (x1, y1), (x2, y2) = np.round(box).astype(int).reshape(2, 2).tolist()
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, _width(image), cv2.LINE_AA)
    _tag(image, text, (x1, y1), colour)


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


def _tag(image: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Text on a filled background, above the corner if there is room."""
    text = shown(text)  # OpenCV crashes at text that is not UTF-8, such as of a card's classes.
    scale = max(0.4, max(image.shape[:2]) / 1280)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = min(max(corner[0], 0), max(image.shape[1] - width, 0))
    y = corner[1] if corner[1] > height + base else corner[1] + height + base
    cv2.rectangle(image, (x, y - height - base), (x + width, y), colour, -1)
    cv2.putText(
        image, text, (x, y - base), cv2.FONT_HERSHEY_SIMPLEX, scale, _BLACK, 1, cv2.LINE_AA
    )
