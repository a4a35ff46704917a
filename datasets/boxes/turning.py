"""Boxes between an image's stored pixels and the image as its EXIF tag turns it.

Pascal VOC's and COCO's boxes are drawn on the stored pixels, YOLO's on the turned image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.structure import DetectionData
from datasets.images import probe_image, read_orientation
from datasets.parallel import in_threads

_SIDEWAYS = (5, 6, 7, 8)
# The orientation that undoes another; all others undo themselves.
_BACK = {6: 8, 8: 6}


def turn_points(points: NDArray[np.float64], orientation: int, size: tuple[int, int]) -> None:
    """Move points (N, 2) x y, in place, as an EXIF orientation of 1 to 8 moves the pixels.

    Args:
        points: Points in pixels of the image before.
        orientation: EXIF orientation.
        size: (width, height) before.
    """
    width, height = size
    x, y = points.T.copy()
    turned = {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }
    points[:, 0], points[:, 1] = turned[orientation]


def turned(data: DetectionData, *, upright: bool) -> DetectionData:
    """The same boxes and sizes, drawn on turned or on stored images.

    Images that cannot be read stay as they are.
    """
    boxes, sizes = data.boxes.copy(), data.sizes.copy()
    facts = in_threads(
        lambda index: _facts(data, index), range(len(data)), "reading orientations", unit="file"
    )
    for index, (orientation, stored) in enumerate(facts):
        width, height = sizes[index].tolist()
        is_upright = data.upright
        if orientation in _SIDEWAYS and stored[0] != stored[1]:
            is_upright = (width, height) == stored[::-1]  # As DetectionData.image takes it.
        if orientation == 1 or is_upright == upright:
            continue
        way = orientation if upright else _BACK.get(orientation, orientation)
        rows = slice(data.offsets[index], data.offsets[index + 1])
        corners = boxes[rows].reshape(-1, 2)
        turn_points(corners, way, (width, height))
        pairs = corners.reshape(-1, 2, 2)
        boxes[rows] = np.concatenate((pairs.min(axis=1), pairs.max(axis=1)), axis=1)
        if orientation in _SIDEWAYS:
            sizes[index] = height, width
    return replace(data, boxes=boxes, sizes=sizes, upright=upright)


def _facts(data: DetectionData, index: int) -> tuple[int, tuple[int, int]]:
    """Orientation and stored (width, height) of an image."""
    try:
        file, stored = str(data.files[index]), data.stored(index)
        return read_orientation(file, stored), probe_image(file, stored)[:2]
    except ValueError:
        return 1, (0, 0)
