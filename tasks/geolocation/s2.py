"""S2 cells for whole arrays at once: the hierarchy of squares that PlaNet classifies into.

The sphere is projected onto the six faces of a cube; on each, the cells of a level halve those of
the level above, and a Hilbert curve numbers them, so that a cell's descendants are a range of ids
(S2 Geometry, s2geometry.io). An id has 64 bits: face (3), position on the curve (2 per level), a
one, zeros. The libraries for Python take one point at a time, in 6 to 16 microseconds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.geolocation.sphere import Floats, degrees, unit_vectors

Ids = NDArray[np.uint64]
Ints = NDArray[np.int64]

MAX_LEVEL = 30
NUM_FACES = 6
_SIDE = 1 << MAX_LEVEL
# Number of levels that one look-up in a table descends.
_STEP = 6
# Number of points processed at a time: their data stays in a processor's cache.
_BLOCK = 1 << 15
# The curve visits the quarters of a cell in this order, each as 2 * i + j; a row for each
# orientation: unchanged, with i and j swapped, rotated by half a turn, both.
_VISITS = np.array(((0, 1, 3, 2), (0, 2, 3, 1), (3, 2, 0, 1), (3, 1, 0, 2)))
_SWAP, _INVERT = 1, 2
# Change of the orientation in the first to the last quarter.
_TURNS = np.array((_SWAP, 0, 0, _SWAP | _INVERT))


def cell_ids(lat: Floats, lng: Floats) -> Ids:
    """The leaf cell (N,), about a centimetre wide, of each point (N,) in degrees.

    Raises:
        InputError: If a number is not finite, or a latitude beyond the poles.
    """
    lat, lng = np.asarray(lat, np.float64), np.asarray(lng, np.float64)
    ids = np.empty(lat.shape, np.uint64)
    for start in range(0, len(lat), _BLOCK):
        part = slice(start, start + _BLOCK)
        if not (np.abs(lat[part]) <= 90).all() or not np.isfinite(lng[part]).all():
            wrong = ~((np.abs(lat[part]) <= 90) & np.isfinite(lng[part]))
            k = start + int(wrong.argmax())
            raise InputError(f"position {lat[k]}, {lng[k]} is not on Earth: -90..90, any number")
        face, s, t = _project(unit_vectors(lat[part], lng[part]))
        ids[part] = _encode(face, _grid(s), _grid(t))
    return ids


def _project(points: Floats) -> tuple[Ints, Floats, Floats]:
    """Face and (s, t), in 0..1 on it, of unit vectors (N, 3)."""
    x, y, z = points.T
    size = np.abs(points)
    # Among equal axes the later one counts, as in the reference.
    axis = np.where(size[:, 0] > size[:, 1], 0, 1)
    axis = np.where(np.maximum(size[:, 0], size[:, 1]) > size[:, 2], axis, 2)
    along = np.choose(axis, (x, y, z))
    face = axis + 3 * (along < 0)
    u = np.choose(face, (y, -x, -x, z, z, -y)) / along
    v = np.choose(face, (z, z, -y, y, -x, -x)) / along
    return face, _quadratic(u), _quadratic(v)


def _quadratic(u: Floats) -> Floats:
    """From the face, -1..1, to 0..1 such that cells are about equally large."""
    root = 0.5 * np.sqrt(1 + 3 * np.abs(u))
    return np.asarray(np.where(u >= 0, root, 1 - root))


def _inverse(s: Floats) -> Floats:
    """From 0..1 back to the face, -1..1."""
    third = 1.0 / 3.0
    return np.where(s >= 0.5, third * (4 * s * s - 1), third * (1 - 4 * (1 - s) ** 2))


def _grid(s: Floats) -> Ints:
    """Row or column of a leaf on its face."""
    return np.clip(np.floor(s * _SIDE), 0, _SIDE - 1).astype(np.int64)


@lru_cache(maxsize=1)
def _tables() -> tuple[Ints, Ints]:
    """Six levels of the curve at once.

    Maps (6 bits of i, 6 of j, orientation) to (12 bits of position, new orientation), and back;
    everything is packed with the orientation in the lowest two bits.
    """
    count = 1 << 2 * _STEP
    position, start = np.meshgrid(np.arange(count), np.arange(4), indexing="ij")
    i, j, turn = np.zeros_like(position), np.zeros_like(position), start
    for level in range(_STEP):
        quarter = position >> 2 * (_STEP - 1 - level) & 3
        cell = _VISITS[turn, quarter]
        i, j = i << 1 | cell >> 1, j << 1 | cell & 1
        turn = turn ^ _TURNS[quarter]
    ij = (i << _STEP | j) << 2
    forward, backward = np.empty(4 * count, np.int64), np.empty(4 * count, np.int64)
    forward[ij | start] = position << 2 | turn
    backward[position << 2 | start] = ij | turn
    return forward, backward


def _encode(face: Ints, i: Ints, j: Ints) -> Ids:
    """Leaf ids of cells on the faces' grids."""
    forward, _ = _tables()
    mask = (1 << _STEP) - 1
    position, turn = face, face & _SWAP
    for shift in range(MAX_LEVEL - _STEP, -1, -_STEP):
        pair = (i >> shift & mask) << _STEP | j >> shift & mask
        found = forward[pair << 2 | turn]
        position, turn = position << 2 * _STEP | found >> 2, found & 3
    return position.astype(np.uint64) << np.uint64(1) | np.uint64(1)


def _decode(ids: Ids) -> tuple[Ints, Ints, Ints]:
    """Face and grid place of the first leaf of each cell."""
    _, backward = _tables()
    mask = (1 << 2 * _STEP) - 1
    path = ((ids - lowest_bit(ids)) >> np.uint64(1)).astype(np.int64)
    face = path >> 2 * MAX_LEVEL
    turn, i, j = face & _SWAP, np.zeros_like(face), np.zeros_like(face)
    for shift in range(2 * (MAX_LEVEL - _STEP), -1, -2 * _STEP):
        found = backward[(path >> shift & mask) << 2 | turn]
        i = i << _STEP | found >> 2 + _STEP
        j = j << _STEP | found >> 2 & (1 << _STEP) - 1
        turn = found & 3
    return face, i, j


def lowest_bit(ids: Ids) -> Ids:
    """The one bit that ends each id and determines the level."""
    return ids & (~ids + np.uint64(1))


def levels(ids: Ids) -> Ints:
    """Level of each cell: 0 (a face) to 30 (a leaf)."""
    zeros = np.bitwise_count(lowest_bit(ids) - np.uint64(1)).astype(np.int64)
    return np.asarray(MAX_LEVEL - zeros // 2)


def is_valid(ids: Ids) -> NDArray[np.bool_]:
    """Whether numbers are ids of cells."""
    even = lowest_bit(ids) & np.uint64(0x1555555555555555) != 0
    return np.asarray((ids >> np.uint64(61) < NUM_FACES) & even)


def _bit_of(level: int) -> np.uint64:
    assert 0 <= level <= MAX_LEVEL, level
    return np.uint64(1 << 2 * (MAX_LEVEL - level))


def faces() -> Ids:
    """Ids of the six cells of level 0."""
    return np.arange(NUM_FACES, dtype=np.uint64) << np.uint64(61) | _bit_of(0)


def parents(ids: Ids, level: int) -> Ids:
    """The cell of a given level, not below their own, that contains each cell."""
    bit = _bit_of(level)
    return ids & ~(bit - np.uint64(1)) & ~bit | bit


def children(ids: Ids) -> Ids:
    """The four cells (N, 4) that each cell (N,), not a leaf, consists of, along the curve."""
    bit = lowest_bit(ids)[:, None]
    quarter = bit >> np.uint64(2)
    steps = np.array((1, 3, 5, 7), np.uint64)
    return np.asarray(ids[:, None] - bit + quarter * steps)


def range_of(ids: Ids) -> tuple[Ids, Ids]:
    """First and last leaf of each cell; the ids of all cells in it are between them."""
    rest = lowest_bit(ids) - np.uint64(1)
    return ids - rest, ids + rest


def tokens(ids: Ids) -> list[str]:
    """Ids in their usual form: hexadecimal without the zeros at the end."""
    return [f"{number:016x}".rstrip("0") for number in ids.tolist()]


def from_tokens(texts: list[str]) -> Ids:
    """Read tokens. Raises InputError naming one that is not a cell."""
    numbers = np.zeros(len(texts), np.uint64)
    for k, text in enumerate(texts):
        try:
            numbers[k] = int(text.ljust(16, "0"), 16)
        except (ValueError, OverflowError):
            raise InputError(f"{text!r} is not the token of an S2 cell") from None
    wrong = np.flatnonzero(~is_valid(numbers))
    if len(wrong):
        raise InputError(f"{texts[wrong[0]]!r} is not the token of an S2 cell")
    return numbers


def centres(ids: Ids) -> tuple[Floats, Floats]:
    """Latitude and longitude (N,) in degrees of the middle of each cell."""
    face, first, side = _square(ids)
    u, v = _inverse((first + side * 0.5) / _SIDE).T
    return degrees(_lift(face, u, v))


def outlines(ids: Ids, per_side: int) -> Floats:
    """Points (N, 4 * per_side, 3) on the edges of each cell, counter-clockwise, of any length.

    They are evenly spread on the face of the cube, where an edge, which is part of a great
    circle, is straight.
    """
    face, first, side = _square(ids)
    low, high = _inverse(first / _SIDE), _inverse((first + side) / _SIDE)
    steps = np.arange(per_side) / per_side
    u0, v0, u1, v1 = (value[:, None] for value in (*low.T, *high.T))
    du, dv = (u1 - u0) * steps, (v1 - v0) * steps
    u = np.concatenate((u0 + du, u1 + 0 * du, u1 - du, u0 + 0 * du), axis=1)
    v = np.concatenate((v0 + 0 * dv, v0 + dv, v1 + 0 * dv, v1 - dv), axis=1)
    return _lift(face[:, None], u, v)


def _square(ids: Ids) -> tuple[Ints, Ints, Ints]:
    """Face (N,), lowest place on its grid (N, 2) and side (N, 1) of each cell."""
    face, i, j = _decode(ids)
    side = (1 << (MAX_LEVEL - levels(ids)))[:, None]
    # The curve may enter a cell at any of its corners.
    return face, np.stack((i, j), axis=1) & -side, side


def _lift(face: Ints, u: Floats, v: Floats) -> Floats:
    """From faces to vectors (..., 3) of any length."""
    one = np.ones_like(u)
    face = np.broadcast_to(face, u.shape)
    x = np.choose(face, (one, -u, -u, -one, v, v))
    y = np.choose(face, (u, one, -v, -v, -one, u))
    z = np.choose(face, (v, v, one, -u, -u, -one))
    return np.stack((x, y, z), axis=-1)
