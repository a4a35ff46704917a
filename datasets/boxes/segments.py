"""COCO's segments: the box around polygons or a run-length encoded mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask

from datasets.fields import Fields, as_number, as_whole

_MOST_PIXELS, _MOST_BITS = 2**30, 60


def box_of_segment(row: Fields) -> list[float]:
    """X, y, width and height around the segment of an annotation.

    Raises:
        InputError: If it is neither polygons nor a mask, or an empty one.
    """
    segment = row.values.get("segmentation")
    if isinstance(segment, dict):
        return _around_mask(row.inner("segmentation"))
    polygons = segment if isinstance(segment, list) else []
    numbers = [[as_number(one) for one in p] if isinstance(p, list) else [None] for p in polygons]
    if not numbers or any(len(p) % 2 or len(p) < 2 or None in p for p in numbers):
        raise row.error("segmentation", "polygons x, y, x, y, ... or a mask are needed")
    points = np.array([one for p in numbers for one in p], np.float64).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        return [*low.tolist(), *(high - low).tolist()]


def _around_mask(row: Fields) -> list[float]:
    """The box around a mask: runs of zeros and ones down the columns, as numbers or packed."""
    height, width = (as_whole(n) or 0 for n in row.numbers("size", 2, "height and width"))
    if min(height, width) <= 0 or height * width > _MOST_PIXELS:
        raise row.error("size", "height and width of an image are needed")
    encoded = packed(row.values)
    if encoded is None:
        raise row.error("counts", f"runs of {height * width} pixels in all are needed")
    x, y, wide, high = mask.toBbox(encoded).tolist()
    if min(wide, high) <= 0:
        raise row.error("counts", "a mask that is not empty is needed")
    return [x, y, wide, high]


def packed(segment: Mapping[str, Any]) -> dict[str, Any] | None:
    """A mask as pycocotools takes it, which would read beyond its end; None if it is none.

    Args:
        segment: ``size``, height and width, and ``counts``, as numbers or packed.
    """
    size, counts = segment.get("size"), segment.get("counts")
    sides = [as_whole(one) or 0 for one in size] if isinstance(size, list) else []
    if len(sides) != 2 or min(sides) <= 0 or sides[0] * sides[1] > _MOST_PIXELS:
        return None
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    numbers = [as_whole(one) for one in runs] if isinstance(runs, list) else []
    whole = [one for one in numbers if one is not None and one >= 0]
    if len(whole) < len(numbers) or sum(whole) != sides[0] * sides[1]:
        return None
    found: dict[str, Any] = mask.frPyObjects({"size": sides, "counts": whole}, *sides)
    return found


def _unpacked(text: str) -> list[int]:
    """Runs out of COCO's letters: five bits each, lowest first; from the third on, differences.

    They are unpacked here because the library takes any text for a mask.
    """
    runs, number, shift = list[int](), 0, 0
    for letter in text:
        bits = ord(letter) - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32 and shift < _MOST_BITS:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number, shift = 0, 0
    return runs
