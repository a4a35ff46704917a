"""Draws answers: the image, and below it a map of the world with the region."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.classification.draw import draw_answer
from tasks.geolocation.decode import Located, place_name
from tasks.geolocation.partition import Partition
from tasks.geolocation.rings import rings
from tasks.geolocation.sphere import Floats

Image = NDArray[np.uint8]
_SEA, _LINE, _CELL = (24, 28, 38), (52, 58, 72), (88, 100, 122)
_REGION = np.array((255, 150, 40), np.float64)
_ANSWER, _TRUE = (255, 255, 255), (70, 200, 110)
_SHIFT = 3  # Fractional bits of cv2's coordinates.
_TOP = 3


def draw_place(
    image: Image, found: Located, partition: Partition, truth: tuple[float, float] | None = None
) -> Image:
    """The image (H, W, 3) with its most likely cells as bars over a map with the region.

    The true position, latitude and longitude in degrees, is drawn in green, if it is known.
    """
    names = [
        f"{place_name(partition.lat[cell], partition.lng[cell])} ({partition.tokens[cell]})"
        for cell in found.cells[:_TOP]
    ]
    above = draw_answer(image, names, found.probabilities[:_TOP])
    return np.concatenate((above, draw_map(found, partition, above.shape[1], truth)), axis=0)


def draw_map(
    found: Located, partition: Partition, width: int, truth: tuple[float, float] | None = None
) -> Image:
    """A map (about width / 2, width, 3): the region's cells by probability, and the answer.

    There is no cross if the model abstained; outlines are those of the model's cells.
    """
    canvas = _ground(width, tuple(partition.ids.tolist())).copy()
    unit = width / 360
    ids = partition.ids[found.cells]
    polygons, owners = rings(ids)
    most = max(found.probabilities)
    for k in reversed(np.argsort(owners, kind="stable").tolist()):  # The most likely cell last.
        weight = 0.25 + 0.75 * np.sqrt(found.probabilities[owners[k]] / most)
        colour = (weight * _REGION + (1 - weight) * np.array(_SEA)).tolist()
        cv2.fillPoly(canvas, [_pixels(polygons[k], unit)], colour, cv2.LINE_AA, _SHIFT)
        # Small cells would not be visible.
        lat, lng = (value[found.cells[owners[k]]] for value in (partition.lat, partition.lng))
        _dot(canvas, (float(lat), float(lng)), unit, colour, max(1, round(width / 400)))
    if truth is not None:
        _dot(canvas, truth, unit, _TRUE, max(3, round(width / 100)))
    if found.answered:
        centre = _pixels(np.array([(found.lng, found.lat)]), unit)[0] >> _SHIFT
        size = max(8, round(width / 40))
        cv2.drawMarker(canvas, centre.tolist(), _ANSWER, cv2.MARKER_CROSS, size, max(1, size // 8))
    return canvas


def _pixels(points: Floats, unit: float) -> NDArray[np.int32]:
    """Longitude and latitude (K, 2) to OpenCV's fixed-point pixels."""
    places = np.column_stack((points[:, 0] + 180, 90 - points[:, 1])) * unit
    return np.asarray(np.round(places * 2**_SHIFT), np.int32)


def _dot(
    canvas: Image, place: tuple[float, float], unit: float, colour: Sequence[float], radius: int
) -> None:
    centre = _pixels(np.array([(place[1], place[0])]), unit)[0].tolist()
    cv2.circle(canvas, centre, radius << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)


@lru_cache(maxsize=4)
def _ground(width: int, cells: tuple[int, ...]) -> Image:
    """Graticule and outlines of all cells, which all images of a run share."""
    unit = width / 360
    canvas = np.empty((round(180 * unit), width, 3), np.uint8)
    canvas[:] = _SEA
    for degree in range(-180, 181, 30):
        for line in (((degree, -90), (degree, 90)), ((-180, degree / 2), (180, degree / 2))):
            points = _pixels(np.array(line, np.float64), unit)
            cv2.polylines(canvas, [points], False, _LINE, 1, cv2.LINE_AA, _SHIFT)
    polygons, _ = rings(np.array(cells, np.uint64))
    outlines = [_pixels(polygon, unit) for polygon in polygons]
    cv2.polylines(canvas, outlines, True, _CELL, 1, cv2.LINE_AA, _SHIFT)
    return canvas
