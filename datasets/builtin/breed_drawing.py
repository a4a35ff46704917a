"""Drawn animals of twelve breeds that differ only in ears, muzzle, coat pattern and tail.

Colours, build, pose, position and background are drawn from the same ranges for every breed, and
each trait is shared by several breeds, so that only all traits together identify a breed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.builtin.scenes import background, clutter
from datasets.images import Image

Points = NDArray[np.float64]
Colour = NDArray[np.float64]

_SHIFT = 4  # Fractional bits of cv2's polygon coordinates.
_LARGE = 256  # Side of the drawing, which is halved or more.
_CONTRAST = 90  # Of 255 in one channel: between coat and marks, and coat and background.


@dataclass(frozen=True)
class Breed:
    """Fixed traits of a breed."""

    name: str
    ears: Literal["pointed", "floppy", "round"]
    muzzle: Literal["short", "long"]
    coat: Literal["plain", "spots", "saddle", "bands"]
    tail: Literal["curl", "long", "stub"]


BREEDS = (
    Breed("Alder_hound", "floppy", "long", "saddle", "long"),
    Breed("Barrow_hound", "floppy", "long", "spots", "long"),
    Breed("Cinder_spitz", "pointed", "short", "plain", "curl"),
    Breed("Dale_spitz", "pointed", "short", "saddle", "curl"),
    Breed("Elm_pug", "floppy", "short", "plain", "curl"),
    Breed("Fen_pug", "round", "short", "plain", "curl"),
    Breed("Gorse_collie", "pointed", "long", "saddle", "long"),
    Breed("Heath_collie", "pointed", "long", "bands", "long"),
    Breed("Isle_terrier", "round", "long", "bands", "stub"),
    Breed("Juniper_terrier", "round", "long", "spots", "stub"),
    Breed("Kestrel_mastiff", "round", "short", "spots", "stub"),
    Breed("Linden_mastiff", "round", "short", "spots", "long"),
)


class _Animal:
    """A layer that parts are painted on, in the animal's own frame: facing right, y down."""

    def __init__(self, frame: NDArray[np.float64]) -> None:
        self.frame = frame  # (2, 3) from the animal's frame to pixels
        self.colours = np.zeros((_LARGE, _LARGE, 3), np.uint8)
        self.mask = np.zeros((_LARGE, _LARGE), np.uint8)

    def fill(self, points: Points, colour: Colour, within: Image | None = None) -> Image:
        """Paint a polygon (N, 2), clipped to a mask; returns its own mask (H, W)."""
        placed = points @ self.frame[:, :2].T + self.frame[:, 2]
        part = np.zeros_like(self.mask)
        corners = np.round(placed * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(part, [corners], 255, cv2.LINE_AA, _SHIFT)
        if within is not None:
            part = np.minimum(part, within)
        x1, y1 = np.clip(np.floor(placed.min(axis=0)) - 1, 0, _LARGE).astype(int)
        x2, y2 = np.clip(np.ceil(placed.max(axis=0)) + 2, 0, _LARGE).astype(int)
        here = slice(y1, y2), slice(x1, x2)
        weight = part[here][..., None] / np.float32(255)
        below, covered = self.colours[here], self.mask[here]
        mixed = below * (1 - weight) + colour.astype(np.float32) * weight
        # Where nothing has been painted yet, the mask does the mixing.
        empty = (covered == 0)[..., None] & (weight > 0)
        self.colours[here] = np.where(empty, colour, mixed).astype(np.uint8)
        self.mask[here] = np.maximum(covered, part[here])
        return part


def draw_animal(rng: np.random.Generator, breed: Breed, size: int) -> tuple[Image, Points]:
    """One animal: (size, size, 3) RGB, and its box (4,) x1 y1 x2 y2 in pixels."""
    picture = background(rng, _LARGE, _LARGE)
    clutter(rng, picture)
    coat = _away_from(rng, [picture.reshape(-1, 3).mean(axis=0)])
    marks = _away_from(rng, [coat])
    animal = _Animal(_pose(rng))
    _paint(rng, animal, breed, coat, marks)
    weight = animal.mask[..., None] / np.float32(255)
    whole = picture * (1 - weight) + animal.colours * weight
    small = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    noise = rng.standard_normal((size, size, 1), dtype=np.float32) * np.float32(rng.uniform(1, 6))
    rows, columns = np.nonzero(animal.mask > 127)
    corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    box = np.array(corners, dtype=np.float64) * size / _LARGE
    return np.asarray(np.clip(small + noise, 0, 255), np.uint8), box


def _away_from(rng: np.random.Generator, others: list[Colour]) -> Colour:
    """A colour that differs clearly from the others."""
    while True:
        colour = rng.uniform(25, 235, 3)
        if all(np.abs(colour - other).max() > _CONTRAST for other in others):
            return colour


def _pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, 3) map to pixels: size, position, slope, and viewing direction."""
    scale = _LARGE * rng.uniform(0.38, 0.52)
    angle = np.radians(rng.uniform(-14, 14))
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    frame = scale * turn @ np.diag((rng.choice((-1, 1)), 1))
    middle = frame @ (0.08, 0.02)
    place = _LARGE * rng.uniform(0.45, 0.55, 2) - middle
    return np.column_stack((frame, place))


def _paint(
    rng: np.random.Generator, animal: _Animal, breed: Breed, coat: Colour, marks: Colour
) -> None:
    """All parts from back to front."""
    shade = coat * 0.75
    length, depth = rng.uniform(0.46, 0.54), rng.uniform(0.17, 0.22)
    legs = rng.uniform(0.26, 0.36)
    swing = rng.uniform(-0.12, 0.12, 4)
    for x, step in ((-length * 0.62, swing[0]), (length * 0.66, swing[1])):
        animal.fill(_leg(x + 0.06, step, depth, legs), shade)
    for part in _tail(rng, breed.tail, length, depth):
        animal.fill(part, coat)
    torso = animal.fill(_ellipse((0, 0), (length, depth)), coat)
    for x, step in ((-length * 0.7, swing[2]), (length * 0.58, swing[3])):
        animal.fill(_leg(x, step, depth, legs), coat)
    nod = np.radians(rng.uniform(-18, 14))
    turn = np.array([(np.cos(nod), np.sin(nod)), (-np.sin(nod), np.cos(nod))])
    head = np.array((length + 0.13, -depth - rng.uniform(0.14, 0.22)))
    x, y = head.tolist()
    neck = [(length * 0.45, -depth * 0.7), (x - 0.1, y - 0.05), (x + 0.06, y + 0.1)]
    animal.fill(np.array([*neck, (length * 0.9, depth * 0.4)]), coat)
    for part in _pattern(rng, breed.coat, length, depth):
        animal.fill(part, marks, torso)
    _head(animal, breed, head, turn, coat)


def _head(animal: _Animal, breed: Breed, head: Points, turn: Points, coat: Colour) -> None:
    """Skull, muzzle, nose, eye and ears; ``turn`` is the nod."""

    def place(points: Points) -> Points:
        return points @ turn + head

    shade, dark = coat * 0.72, np.full(3, 18.0)
    if breed.ears == "pointed":
        far = np.array([(-0.02, -0.08), (0.05, -0.27), (0.1, -0.07)])
        near = np.array([(-0.14, -0.04), (-0.1, -0.27), (0.02, -0.1)])
        animal.fill(place(far), shade)
        animal.fill(place(near), coat)
        animal.fill(place(near * 0.55 + (-0.035, -0.06)), shade)
    elif breed.ears == "round":
        animal.fill(place(_ellipse((0.07, -0.12), (0.055, 0.055))), shade)
        animal.fill(place(_ellipse((-0.09, -0.11), (0.065, 0.065))), coat)
        animal.fill(place(_ellipse((-0.09, -0.11), (0.035, 0.035))), shade)
    reach = 0.17 if breed.muzzle == "short" else 0.34
    blunt = 0.075 if breed.muzzle == "short" else 0.045
    snout = [(0.0, -0.06), (reach - 0.02, 0.045 - blunt), (reach, 0.05)]
    animal.fill(place(np.array([*snout, (reach - 0.03, 0.05 + blunt), (0.0, 0.12)])), coat)
    animal.fill(place(_ellipse((0, 0), (0.15, 0.135))), coat)
    animal.fill(place(_ellipse((reach - 0.02, 0.03), (0.03, 0.026))), dark)
    animal.fill(place(_ellipse((0.065, -0.03), (0.022, 0.024))), dark)
    if breed.ears == "floppy":
        animal.fill(place(_ellipse((-0.085, 0.06), (0.062, 0.16))), shade)


def _leg(x: float, step: float, depth: float, length: float) -> Points:
    foot, top = depth * 0.4 + length, depth * 0.2
    knee, toe = x + step, foot + 0.03
    front = [(x + 0.07, top), (knee + 0.035, foot), (knee + 0.075, toe)]
    return np.array([(x - 0.06, top), *front, (knee - 0.035, toe)])


def _tail(rng: np.random.Generator, kind: str, length: float, depth: float) -> list[Points]:
    """Polygons of a tail at the left end of the torso."""
    root = np.array((-length * 0.93, -depth * 0.3))
    if kind == "stub":
        way = np.radians(rng.uniform(200, 250))
        tip = root + 0.09 * np.array((np.cos(way), np.sin(way)))
        return [_stroke(np.array([root, tip]), 0.045, 0.04)]
    if kind == "curl":
        angles = np.linspace(0.55 * np.pi, 2.1 * np.pi, 24)
        radii = np.linspace(0.14, 0.075, 24)
        middle = root + np.array((0.02, -0.15)) + rng.uniform(-0.02, 0.02, 2)
        circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
        return [_stroke(middle + radii[:, None] * circle, 0.045, 0.03)]
    lift = rng.uniform(-0.25, 0.2)
    along = np.linspace(0, 1, 16)
    path = root + np.stack((-0.42 * along, lift * along + 0.14 * np.sin(np.pi * along)), axis=1)
    return [_stroke(path, 0.04, 0.02)]


def _pattern(rng: np.random.Generator, kind: str, length: float, depth: float) -> list[Points]:
    """Polygons of the coat's marks; they are clipped to the torso."""
    if kind == "spots":
        spots: list[Points] = []
        for x in np.linspace(-0.85, 0.85, 7) * length:
            for y in (-0.55, 0.0, 0.55):
                centre = np.array((x, y * depth)) + rng.uniform(-0.03, 0.03, 2)
                if rng.random() < 0.8:
                    spots.append(_ellipse(tuple(centre), tuple(rng.uniform(0.028, 0.045, 2))))
        return spots
    if kind == "saddle":
        along = np.linspace(-0.6, 0.6, 12) * length
        lower = np.stack((along, depth * (0.15 + rng.uniform(-0.12, 0.12, 12))), axis=1)
        upper = np.array([(0.6 * length, -2 * depth), (-0.6 * length, -2 * depth)])
        return [np.concatenate((lower, upper))]
    if kind == "bands":
        slope = rng.uniform(-0.05, 0.05)
        starts = np.linspace(-0.85, 0.75, 6) * length + rng.uniform(-0.015, 0.015, 6)
        tall, wide = 1.2 * depth, rng.uniform(0.05, 0.065)
        return [
            np.array([(x, -tall), (x + wide, -tall), (x + wide + slope, tall), (x + slope, tall)])
            for x in starts
        ]
    return []


def _ellipse(centre: tuple[float, ...], radii: tuple[float, ...]) -> Points:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.array(centre) + np.stack((np.cos(angles), np.sin(angles)), axis=1) * radii


def _stroke(path: Points, start: float, end: float) -> Points:
    """Outline of a line (N, 2) whose half width goes from ``start`` to ``end``."""
    ways = np.gradient(path, axis=0)
    across = np.stack((-ways[:, 1], ways[:, 0]), axis=1) / np.linalg.norm(ways, axis=1)[:, None]
    half = across * np.linspace(start, end, len(path))[:, None]
    return np.concatenate((path + half, (path - half)[::-1]))
