"""Boxes between an image's stored pixels and the image as its EXIF tag turns it.

Pascal VOC's and COCO's boxes are drawn on the stored pixels, YOLO's on the turned image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from datasets.boxes.segments import packed
from datasets.boxes.shapes import Shape, keypoints
from datasets.boxes.structure import DetectionData
from datasets.images import probe_image, read_orientation, turn_upright
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
    shapes = data.shapes and data.shapes.select(np.arange(len(boxes)))
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
        for row in range(rows.start, rows.stop):
            if shapes and (shape := shapes.rows[row]):
                shapes.rows[row] = turn_shape(shape, way, (width, height))
        if orientation in _SIDEWAYS:
            sizes[index] = height, width
    return replace(data, boxes=boxes, sizes=sizes, upright=upright, shapes=shapes)


def _facts(data: DetectionData, index: int) -> tuple[int, tuple[int, int]]:
    """Orientation and stored (width, height) of an image."""
    try:
        file, stored = str(data.files[index]), data.stored(index)
        return read_orientation(file, stored), probe_image(file, stored)[:2]
    except ValueError:
        return 1, (0, 0)


def turn_shape(shape: Shape, orientation: int, size: tuple[int, int]) -> Shape:
    """A shape on its image of (width, height), moved as :func:`turn_points` moves points."""
    turned = dict(shape)
    outline = shape.get("segmentation")
    if isinstance(outline, dict):
        turned["segmentation"] = _turn_mask(outline, orientation)
    elif outline:
        turned["segmentation"] = []
        for one in outline:
            corners = np.array(one, np.float64).reshape(-1, 2)
            turn_points(corners, orientation, size)
            turned["segmentation"].append(corners.reshape(-1).tolist())
    if shape.get("keypoints"):
        rows = np.array(shape["keypoints"], np.float64).reshape(-1, 3)
        corners = rows[:, :2].copy()
        turn_points(corners, orientation, size)
        turned |= keypoints(np.concatenate((corners, rows[:, 2:]), axis=1))
    return turned


def _turn_mask(coded: Mapping[str, Any], orientation: int) -> dict[str, Any]:
    pixels = turn_upright(np.asarray(mask.decode(packed(coded)), np.uint8), orientation)
    found = mask.encode(np.asfortranarray(pixels))
    return {"size": [*map(int, found["size"])], "counts": found["counts"].decode("ascii")}
