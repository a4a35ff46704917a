"""Outlines of cells on a map: longitude to the right, latitude up."""

from __future__ import annotations

import numpy as np

from tasks.geolocation import s2
from tasks.geolocation.s2 import Ids, Ints
from tasks.geolocation.sphere import Floats, degrees

# Number of points on each edge: the edges of large cells are curved on a map.
_FINE_SIDE, _COARSE_SIDE, _COARSE = 4, 24, 3


def rings(ids: Ids) -> tuple[list[Floats], Ints]:
    """Outlines of cells (N,) on a map.

    A cell on the antimeridian is drawn at both ends of the map, and one at a pole reaches to the
    map's edge: none is smeared over the whole width.

    Returns:
        Polygons (K, 2) of longitude and latitude in degrees, whose longitudes may reach beyond
        180, and the cell (an index from 0) that each belongs to.
    """
    found: list[Floats] = []
    owners: list[int] = []
    coarse = s2.levels(ids) < _COARSE
    for chosen, per_side in ((coarse, _COARSE_SIDE), (~coarse, _FINE_SIDE)):
        rows = np.flatnonzero(chosen)
        lat, lng = degrees(s2.outlines(ids[rows], per_side))
        for row, ring_lat, ring_lng in zip(rows.tolist(), lat, lng, strict=True):
            ring = _unroll(ring_lat, ring_lng)
            for shift in (-360.0, 0.0, 360.0):
                moved = ring + np.array((shift, 0.0))
                if moved[:, 0].max() > -180 and moved[:, 0].min() < 180:
                    found.append(moved)
                    owners.append(row)
    return found, np.array(owners, np.int64)


def _unroll(lat: Floats, lng: Floats) -> Floats:
    """One outline with longitudes that may exceed 180, which follows a pole that it meets."""
    pole = np.flatnonzero(np.abs(lat) > 90 - 1e-9)
    if len(pole):
        # Every longitude ends there: follow the one by which it is reached, then the one by which
        # it is left.
        k = int(pole[0])
        lat, lng = np.roll(lat, -k), np.roll(lng, -k)
        turned = np.unwrap(lng[1:], period=360)
        ends = np.array((turned[0], turned[-1]))
        around = np.concatenate((ends[:1], turned, ends[1:]))
        return np.column_stack((around, np.append(lat, lat[0])))
    turned = np.unwrap(np.append(lng, lng[0]), period=360)
    if abs(turned[-1] - turned[0]) < 180:
        return np.column_stack((turned[:-1], lat))
    # Around a pole: along it, then to the map's edge and back.
    edge = np.copysign(90.0, lat.mean())
    sides = np.array(((turned[-1], edge), (turned[0], edge)))
    return np.concatenate((np.column_stack((turned, np.append(lat, lat[0]))), sides))
