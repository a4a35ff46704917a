"""Drawn faces: people with fixed traits, and appearances that change from image to image.

A person keeps the shape of head, eyes, nose, brows and mouth, the colours of skin, hair and eyes,
and the length of the hair. Pose, expression, beard, hat, glasses and jewellery, light and
background differ in each image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.builtin.scenes import background, fill_polygon
from datasets.images import Image

Points = NDArray[np.float64]
Colour = NDArray[np.float64]

# Spelled as in CelebA; Long_Hair is not one of its forty.
ATTRIBUTES = (
    "Bangs",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Gray_Hair",
    "Long_Hair",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Smiling",
    "Wearing_Earrings",
    "Wearing_Hat",
)
# CelebA's aligned images are 178 by 218 pixels.
ASPECT = 218 / 178
_HAIR = {
    "Black_Hair": (28, 24, 24),
    "Blond_Hair": (214, 178, 108),
    "Brown_Hair": (104, 66, 38),
    "Gray_Hair": (168, 168, 172),
    "red": (166, 74, 36),
}
_EYES = ((70, 110, 160), (84, 54, 30), (70, 120, 70), (110, 116, 124))
_SKIN = ((242, 208, 184), (224, 176, 140), (190, 136, 98), (140, 92, 62), (98, 64, 46))
_SHIFT = 4  # Fractional bits of cv2's coordinates.
_BIG_NOSE, _BUSHY, _NARROW = 0.17, 0.052, 0.062
_EYE_LINE, _MOUTH_LINE, _DEPTH = -0.08, 0.53, 0.55


@dataclass(frozen=True)
class Person:
    """What is the same in all images of a person; lengths in half heights of the head."""

    width: float  # of the head
    taper: float  # of the jaw, 0 square
    skin: Colour
    hair: str  # name of its colour
    long_hair: bool
    bangs: bool
    eye_gap: float  # from the middle to an eye
    eye_open: float
    eye_colour: Colour
    nose_wide: float
    nose_long: float
    brow_thick: float
    brow_slope: float
    mouth_wide: float
    shaves: float  # share of images without a beard
    glasses: float  # share of images with glasses


@dataclass(frozen=True)
class Look:
    """What varies between images of a person; angles in radians."""

    turn: NDArray[np.float64]  # (3, 3) of the head
    smile: float  # how far the corners of the mouth rise
    gape: float  # half height of the open mouth, 0 closed
    beard: bool
    mustache: bool
    glasses: bool
    earrings: bool
    hat: bool


def choose_person(rng: np.random.Generator) -> Person:
    """A random person."""
    tone = rng.uniform(0, len(_SKIN) - 1)
    skin = [np.interp(tone, range(len(_SKIN)), channel) for channel in zip(*_SKIN, strict=True)]
    long_hair = bool(rng.random() < 0.45)
    return Person(
        width=rng.uniform(0.66, 0.84),
        taper=rng.uniform(0.08, 0.42),
        skin=np.clip(np.array(skin) + rng.normal(0, 5, 3), 20, 250),
        hair=str(rng.choice(list(_HAIR), p=(0.3, 0.2, 0.25, 0.15, 0.1))),
        long_hair=long_hair,
        bangs=bool(rng.random() < 0.3),
        eye_gap=rng.uniform(0.25, 0.37),
        eye_open=rng.uniform(0.042, 0.1),
        eye_colour=np.array(_EYES[rng.integers(len(_EYES))]) + rng.normal(0, 8, 3),
        nose_wide=rng.uniform(0.1, 0.22),
        nose_long=rng.uniform(0.26, 0.4),
        brow_thick=rng.uniform(0.025, 0.075),
        brow_slope=rng.uniform(-0.06, 0.08),
        mouth_wide=rng.uniform(0.2, 0.34),
        shaves=rng.choice((0.2, 0.6, 1.0), p=(0.2, 0.2, 0.6)),
        glasses=rng.choice((0.1, 0.8), p=(0.8, 0.2)),
    )


def choose_look(rng: np.random.Generator, person: Person) -> Look:
    """A random appearance of a person."""
    yaw, pitch, roll = np.radians(rng.normal(0, (14, 6, 4))).clip(-0.5, 0.5)
    smiles = rng.random() < 0.5
    bearded = rng.random() > person.shaves
    mouth_open = rng.random() < 0.4
    return Look(
        turn=_rotation(yaw, pitch, roll),
        smile=rng.uniform(0.07, 0.13) if smiles else rng.uniform(-0.05, 0.02),
        gape=rng.uniform(0.04, 0.09) if mouth_open else 0.0,
        beard=bool(bearded),
        mustache=bool(rng.random() < (0.7 if bearded else 0.05)),
        glasses=bool(rng.random() < person.glasses),
        earrings=bool(rng.random() < (0.4 if person.long_hair else 0.12)),
        hat=bool(rng.random() < 0.15),
    )


def attributes_of(person: Person, look: Look) -> dict[str, bool]:
    """Which of :data:`ATTRIBUTES` an image shows."""
    shown = {
        "Bangs": person.bangs and not look.hat,
        "Big_Nose": person.nose_wide > _BIG_NOSE,
        "Bushy_Eyebrows": person.brow_thick > _BUSHY,
        "Eyeglasses": look.glasses,
        "Long_Hair": person.long_hair,
        "Mouth_Slightly_Open": look.gape > 0,
        "Mustache": look.mustache,
        "Narrow_Eyes": person.eye_open < _NARROW,
        "No_Beard": not look.beard,
        "Smiling": look.smile > 0.05,
        "Wearing_Earrings": look.earrings,
        "Wearing_Hat": look.hat,
    }
    return {name: shown.get(name, person.hair == name) for name in ATTRIBUTES}


def draw_face(
    rng: np.random.Generator, person: Person, look: Look, size: int
) -> tuple[Image, Points]:
    """One image, ``size`` pixels wide.

    Args:
        rng: Source of framing, light, background and noise.
        person: Person to draw.
        look: Appearance in this image.
        size: Width in pixels.

    Returns:
        (round(size * 218 / 178), size, 3) RGB, and the five points (5, 2) x y in pixels that
        CelebA marks: left eye, right eye, nose, left and right corner of the mouth, as seen.
    """
    width, height = 2 * size, 2 * round(size * ASPECT)
    face = _Canvas(background(rng, width, height), look.turn)
    face.scale = height * rng.uniform(0.3, 0.34)
    face.middle = np.array((width, height)) * (0.5, 0.53) + rng.normal(0, 0.015 * width, 2)
    hair = np.clip(np.array(_HAIR[person.hair]) + rng.normal(0, 9, 3), 0, 255)
    _draw_body(rng, face, person, hair)
    _draw_head(face, person, look, hair)
    _draw_features(face, person, look)
    _draw_extras(rng, face, person, look, hair)
    small = cv2.resize(face.picture, (size, height // 2), interpolation=cv2.INTER_AREA)
    return _lit(rng, np.asarray(small, np.uint8)), face.place(_landmarks(person, look)) / 2


def _rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """(3, 3): turns points (N, 3) as ``points @ it.T``; x right, y down, z to the camera."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    turn = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    nod = np.array(((1, 0, 0), (0, cp, -sp), (0, sp, cp)))
    tilt = np.array(((cr, -sr, 0), (sr, cr, 0), (0, 0, 1)))
    return np.asarray(tilt @ nod @ turn, np.float64)


class _Canvas:
    """An image onto which parts of a turned head are painted."""

    def __init__(self, picture: Image, turn: NDArray[np.float64]) -> None:
        self.picture, self.turn = picture, turn
        self.scale, self.middle = 1.0, np.zeros(2)

    def place(self, points: Points, depth: float | None = None) -> Points:
        """Pixels (N, 2) of points (N, 2) on the face, or in a plane through the head."""
        x, y = points.T
        front = _DEPTH * np.sqrt(np.clip(1 - (x / 0.9) ** 2 - (y / 1.15) ** 2, 0, 1))
        z = front if depth is None else np.full(len(points), depth)
        turned = np.column_stack((x, y, z)) @ self.turn.T
        return np.asarray(turned[:, :2] * self.scale + self.middle, np.float64)

    def fill(self, points: Points, colour: Colour, depth: float | None = None) -> None:
        """Paint a polygon (N, 2)."""
        fill_polygon(self.picture, self.place(points, depth), colour.tolist())


def _ellipse(x: float, y: float, wide: float, tall: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.column_stack((x + wide * np.cos(angles), y + tall * np.sin(angles)))


def _band(x: Points, upper: Points, lower: Points) -> Points:
    """Polygon between two curves over the same x (N,)."""
    there, back = np.column_stack((x, upper)), np.column_stack((x, lower))
    return np.concatenate((there, back[::-1]))


def _half_width(person: Person, y: Points) -> Points:
    """Half width of the head at heights y (N,) in -1..1."""
    return np.asarray(
        person.width * (1 - np.abs(y) ** 2.4) ** 0.5 * (1 - person.taper * np.clip(y, 0, 1) ** 1.5)
    )


def _between(person: Person, top: float, bottom: float, grow: float = 1.0) -> Points:
    """The part of the head's outline between two heights."""
    y = np.linspace(top, bottom, 24)
    x = _half_width(person, y) * grow
    return np.column_stack((np.concatenate((x, -x[::-1])), np.concatenate((y, y[::-1]))))


def _draw_body(rng: np.random.Generator, face: _Canvas, person: Person, hair: Colour) -> None:
    """Shoulders, neck, and the hair behind the head."""
    cloth = rng.uniform(20, 230, 3)
    shoulders = np.array(((-1.5, 1.35), (-0.5, 1.12), (0.5, 1.12), (1.5, 1.35)))
    below = np.array(((1.6, 2.6), (-1.6, 2.6)))
    if person.long_hair:
        fall = rng.uniform(1.15, 1.4)
        sides = np.array(((1.22, -0.4), (1.3, 0.4), (1.22, fall)))
        left = np.column_stack((-sides[::-1, 0], sides[::-1, 1]))
        face.fill(np.concatenate((sides, left)) * (person.width, 1), hair * 0.8, -0.2)
    face.fill(np.concatenate((shoulders, below)), cloth, -0.2)
    neck = np.array(((-0.36, 0.6), (0.36, 0.6), (0.4, 1.2), (-0.4, 1.2)))
    face.fill(neck, person.skin * 0.82, -0.1)


def _draw_head(face: _Canvas, person: Person, look: Look, hair: Colour) -> None:
    """Ears, skin, beard and the hair in front; a hat comes later."""
    if person.long_hair:
        face.fill(_between(person, -1, 0.5, 1.2) * (1, 1.08), hair * 0.9, -0.05)
    for side in (-1, 1):
        face.fill(_ellipse(side * person.width, 0.05, 0.09, 0.18), person.skin * 0.9, -0.05)
    face.fill(_between(person, -1, 1), person.skin, 0.0)
    if look.beard:
        face.fill(_between(person, 0.3, 1, 1.02) * (1, 1.03), hair, 0.0)
        cheeks = _ellipse(0, 0.22, person.width * 0.74, 0.24)
        face.fill(cheeks, person.skin, 0.0)
        face.fill(_ellipse(0, _MOUTH_LINE, person.mouth_wide + 0.05, 0.13), person.skin)
    cap = _between(person, -1, -0.42, 1.08) * (1, 1.1)
    line = -0.28 if person.bangs else -0.62
    x = np.linspace(-1, 1, 24) * person.width * 0.92
    edge = line + (0.02 * np.cos(9 * x) if person.bangs else 0.55 * (x / person.width) ** 4)
    face.fill(cap, hair, -0.05)
    brow = np.concatenate((np.column_stack((x, edge)), ((x[-1], -0.05), (x[0], -0.05))))
    if not person.bangs:
        face.fill(brow, person.skin, 0.0)
    else:
        face.fill(_band(x, np.full(24, -0.75), edge), hair * 0.95, 0.1)


def _draw_features(face: _Canvas, person: Person, look: Look) -> None:
    """Nose, eyes, brows and mouth."""
    skin, dark = person.skin, np.full(3, 22.0)
    base = _EYE_LINE + person.nose_long
    half = person.nose_wide
    ridge = np.array(((-0.05, _EYE_LINE), (0.05, _EYE_LINE), (half, base), (-half, base)))
    face.fill(ridge, skin * 0.9)
    face.fill(_ellipse(0, base, half, 0.07), skin * 0.84)
    for side in (-1, 1):
        face.fill(_ellipse(side * half * 0.5, base + 0.03, half * 0.22, 0.02), skin * 0.4)
        eye, tall = side * person.eye_gap, person.eye_open
        face.fill(_ellipse(eye, _EYE_LINE, 0.135, tall + 0.02), skin * 0.62)
        face.fill(_ellipse(eye, _EYE_LINE, 0.12, tall), np.full(3, 238.0))
        face.fill(_ellipse(eye, _EYE_LINE, 0.055, min(tall, 0.055)), person.eye_colour)
        face.fill(_ellipse(eye, _EYE_LINE, 0.024, min(tall, 0.024)), dark)
        along = np.linspace(-0.15, 0.15, 12)
        height = _EYE_LINE - 0.19 + person.brow_slope * side * along / 0.15
        arch = height + 0.05 * (along / 0.15) ** 2
        brow = _band(eye + along, arch - person.brow_thick / 2, arch + person.brow_thick / 2)
        face.fill(brow, np.array(_HAIR[person.hair]) * 0.7)
    _draw_mouth(face, person, look)


def _draw_mouth(face: _Canvas, person: Person, look: Look) -> None:
    x = np.linspace(-1, 1, 20)
    bend = -look.smile * x**2 + look.smile * 0.5
    middle, fade = _MOUTH_LINE + bend, 1 - x**2
    skin = person.skin
    lip = np.clip(skin * (0.78, 0.5, 0.5), 0, 255)
    x = x * (person.mouth_wide + max(0.0, look.smile) * 0.5)
    face.fill(
        _band(x, middle - (0.045 + look.gape) * fade, middle + (0.06 + look.gape) * fade), lip
    )
    if look.gape:
        inside = _band(x * 0.85, middle - look.gape * fade, middle + look.gape * fade)
        face.fill(inside, np.array((70.0, 20, 24)))
        teeth = _band(x * 0.7, middle - look.gape * fade, middle - 0.35 * look.gape * fade)
        face.fill(teeth, np.full(3, 232.0))


def _draw_extras(
    rng: np.random.Generator, face: _Canvas, person: Person, look: Look, hair: Colour
) -> None:
    """Mustache, glasses, earrings and hat."""
    if look.mustache:
        x = np.linspace(-0.24, 0.24, 16)
        top = _MOUTH_LINE - 0.13 + 0.6 * x**2
        face.fill(_band(x, top, top + 0.085 * np.cos(x * 4)), hair * 0.85)
    if look.glasses:
        frame = rng.uniform(0, 90, 3)
        thick = max(2, round(face.scale * rng.uniform(0.025, 0.045)))
        rims = [_ellipse(side * person.eye_gap, _EYE_LINE, 0.2, 0.17) for side in (-1, 1)]
        reach = person.eye_gap - 0.2
        bars = [np.array(((-reach, -0.1), (reach, -0.1)))]
        bars += [
            np.array(((side * (person.eye_gap + 0.2), -0.1), (side * person.width, -0.04)))
            for side in (-1, 1)
        ]
        for number, line in enumerate([*rims, *bars]):
            points = np.round(face.place(line) * 2**_SHIFT).astype(np.int32)
            closed = number < len(rims)
            colour = frame.tolist()
            cv2.polylines(face.picture, [points], closed, colour, thick, cv2.LINE_AA, _SHIFT)
    if look.earrings:
        metal = np.array((235.0, 200, 70)) if rng.random() < 0.6 else np.full(3, 225.0)
        for side in (-1, 1):
            drop = rng.uniform(0.05, 0.075)
            face.fill(_ellipse(side * (person.width + 0.03), 0.32, drop, drop * 1.5), metal, 0.0)
    if look.hat:
        felt = rng.uniform(20, 220, 3)
        crown = _between(person, -1, -0.45, 1.16) * (1, 1.25)
        face.fill(crown, felt, 0.0)
        brim = np.array(((-1.3, -0.56), (1.3, -0.56), (1.2, -0.38), (-1.2, -0.38)))
        face.fill(brim * (person.width, 1), felt * 0.75, 0.1)


def _landmarks(person: Person, look: Look) -> Points:
    mouth = person.mouth_wide + max(0.0, look.smile) * 0.5
    corner = _MOUTH_LINE - look.smile * 0.5
    eyes = ((-person.eye_gap, _EYE_LINE), (person.eye_gap, _EYE_LINE))
    nose = (0.0, _EYE_LINE + person.nose_long)
    return np.array((*eyes, nose, (-mouth, corner), (mouth, corner)))


def _lit(rng: np.random.Generator, picture: Image) -> Image:
    """Light from one side, its colour and strength, and the camera's noise."""
    height, width = picture.shape[:2]
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    x, y = np.linspace(-1, 1, width) * np.cos(angle), np.linspace(-1, 1, height) * np.sin(angle)
    slope = 1 + strength * (x + y[:, None])
    light = slope[..., None] * rng.uniform(0.7, 1.15) * rng.uniform(0.92, 1.08, 3)
    noise = rng.normal(0, rng.uniform(1, 6), (height, width, 1))
    return np.asarray(np.clip(picture * light + noise, 0, 255), np.uint8)
