"""Built-in images of an invented world, drawn to disk in the format of MP-16.

The appearance of a place depends smoothly on its position, so that there is something to learn.
Latitude determines the soil, the height of the sun and the shape of the trees; longitude the
colour and the pitch of the roofs, and the signs. Each author has a camera with its own tint, lives
in a town and travels; weather, season and composition are random.
"""

from __future__ import annotations

import colorsys
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from datasets.builtin.make_once import make_once
from datasets.builtin.scenes import fill_polygon
from datasets.images import Image, save_image
from datasets.parallel import in_threads

STAMP, LIST = "places.json", "places.csv"
_TOWNS, _WORLD_SEED = 90, 20_170_417
# Degrees by which images scatter around their town, and share of images taken far from any.
_SCATTER, _WILD, _HOME = 0.5, 0.08, 0.6
_NORTH, _SOUTH = 68.0, -52.0
# Colour of the soil by latitude.
_SOIL = np.array(
    (
        (-60, 205, 215, 235),
        (-35, 176, 92, 60),
        (-12, 130, 120, 40),
        (5, 40, 120, 48),
        (25, 222, 188, 112),
        (45, 128, 158, 66),
        (60, 92, 104, 92),
        (75, 236, 240, 244),
    ),
    np.float64,
)

Colour = Sequence[float]


class Photo(NamedTuple):
    """One image to draw; latitude and longitude in degrees."""

    author: int
    lat: float
    lng: float


def draw_places(
    root: Path, *, num_photos: int = 5000, num_authors: int = 500, size: int = 80, seed: int = 0
) -> Path:
    """Draw the data set below ``root`` unless this very one already exists.

    It consists of ``places.csv`` (IMG_ID, AUTHOR, LAT, LON) and ``images/00/000000.jpg`` and so
    on.

    Args:
        root: Folder to fill.
        num_photos: Number of images.
        num_authors: Number of authors.
        size: Side of the images in pixels.
        seed: Seed; another seed gives other images of the same world.

    Raises:
        InputError: If ``root`` holds something else.
    """
    wanted = {"num_photos": num_photos, "num_authors": num_authors, "size": size, "seed": seed}

    def fill(folder: Path) -> None:
        photos = choose_photos(num_photos, num_authors, seed)

        def draw(index: int) -> None:
            photo = photos[index]
            file = folder / "images" / f"{index % 100:02d}" / f"{index:06d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng((seed, 1, index))
            camera = np.random.default_rng((seed, 2, photo.author))
            picture = draw_place(rng, camera, photo.lat, photo.lng, size)
            save_image(file, picture, quality=int(rng.integers(80, 96)))

        in_threads(draw, range(num_photos), "drawing places", unit="image", delay=0)
        with (folder / LIST).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("IMG_ID", "AUTHOR", "LAT", "LON"))
            for index, (author, lat, lng) in enumerate(photos):
                name = f"{index % 100:02d}_{index:06d}.jpg"
                writer.writerow((name, f"{10_000_000 + author}@N00", f"{lat:.6f}", f"{lng:.6f}"))

    return make_once(root, STAMP, {"version": 1, **wanted}, fill)


def choose_photos(num_photos: int, num_authors: int, seed: int) -> list[Photo]:
    """Position and author of each image: at home, in another town, or far from all towns."""
    world = np.random.default_rng(_WORLD_SEED)
    lats, lngs = world.uniform(_SOUTH, _NORTH, _TOWNS), world.uniform(-180, 180, _TOWNS)
    towns = np.column_stack((lats, lngs))
    weights = 1 / np.arange(3, _TOWNS + 3)
    weights /= weights.sum()
    rng = np.random.default_rng((seed, 0))
    homes = rng.choice(_TOWNS, num_authors, p=weights)
    photos = []
    for _ in range(num_photos):
        author = int(rng.integers(num_authors))
        town = homes[author] if rng.random() < _HOME else rng.choice(_TOWNS, p=weights)
        lat, lng = towns[town] + rng.normal(0, _SCATTER, 2)
        if rng.random() < _WILD:
            lat, lng = rng.uniform(_SOUTH, _NORTH), rng.uniform(-180, 180)
        photos.append(Photo(author, float(lat), float((lng + 180) % 360 - 180)))
    return photos


def draw_place(
    rng: np.random.Generator, camera: np.random.Generator, lat: float, lng: float, size: int
) -> Image:
    """A view of a place: (size, size, 3) RGB.

    Args:
        rng: Source of weather and composition.
        camera: Source of the author's camera.
        lat: Latitude in degrees.
        lng: Longitude in degrees.
        size: Side in pixels.
    """
    side = 2 * size
    canvas = _ground(rng, lat, side)
    horizon = side * rng.uniform(0.42, 0.55)
    _sky(rng, canvas, lat, horizon)
    for _ in range(int(rng.integers(1, 4))):
        _tree(rng, canvas, lat, horizon)
    for place in rng.permutation(np.linspace(0.2, 0.8, 3))[: rng.integers(1, 4)]:
        _house(rng, canvas, lng, horizon, side * place)
    _sign(rng, canvas, lng)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    tint = camera.uniform(0.9, 1.1, 3)
    haze = rng.uniform(0, 0.25)
    light = rng.uniform(0.75, 1.1)
    seen = (small * (1 - haze) + 200 * haze) * light * tint
    seen += rng.normal(0, camera.uniform(1, 6), (size, size, 1))
    return np.asarray(np.clip(seen, 0, 255), np.uint8)


def _ground(rng: np.random.Generator, lat: float, side: int) -> Image:
    soil = np.array([np.interp(lat, _SOIL[:, 0], _SOIL[:, k]) for k in (1, 2, 3)])
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = np.clip(soil + rng.normal(0, 8, 3), 0, 255)
    for _ in range(25):  # Tufts and stones.
        centre = rng.integers(0, side, 2).tolist()
        shade = np.clip(soil * rng.uniform(0.8, 1.2), 0, 255).tolist()
        cv2.circle(canvas, centre, int(rng.integers(1, max(2, side // 25))), shade, -1)
    return canvas


def _sky(rng: np.random.Generator, canvas: Image, lat: float, horizon: float) -> None:
    """A gradient from blue to a pale horizon, and the sun: the nearer the equator the higher."""
    rows = round(horizon)
    steps = np.linspace(0, 1, rows)[:, None, None]
    zenith = np.array((60, 110, 200)) + rng.normal(0, 18, 3)
    pale = np.array((200, 215, 230)) + rng.normal(0, 12, 3)
    canvas[:rows] = np.clip(zenith * (1 - steps) + pale * steps, 0, 255)
    height = np.cos(np.radians(lat)) + rng.normal(0, 0.04)
    centre = (int(rng.uniform(0.1, 0.9) * len(canvas)), int(horizon * (1.05 - 0.95 * height)))
    cv2.circle(canvas, centre, len(canvas) // 16, (255, 244, 190), -1, cv2.LINE_AA)


def _hue(turns: float, saturation: float, value: float) -> Colour:
    """A hue, saturation and value as RGB, 0..255."""
    return [255 * part for part in colorsys.hsv_to_rgb(turns % 1, saturation, value)]


def _tree(rng: np.random.Generator, canvas: Image, lat: float, horizon: float) -> None:
    """A crown that is broad and high at the equator, narrow and down to the ground far from it."""
    side = len(canvas)
    foot = np.array((rng.uniform(0, side), horizon + rng.uniform(0.02, 0.3) * side))
    tall = side * rng.uniform(0.22, 0.38)
    cold = min(1.0, abs(lat) / 65)
    broad, low = tall * (0.55 - 0.38 * cold), tall * (0.62 - 0.55 * cold)
    trunk = tall * 0.05 * np.array(((-1, 0), (1, 0), (1, -1), (-1, -1)))
    trunk[2:, 1] = -low - 2
    fill_polygon(canvas, foot + trunk, (92, 66, 44))
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    round_crown = np.column_stack((np.cos(angles) * broad, np.sin(angles) * (tall - low) / 2))
    # The colder the place, the more the crown tapers towards its top.
    upness = (np.sin(angles) - 1) / -2
    round_crown[:, 0] *= 1 - cold * upness
    centre = foot - (0, (tall + low) / 2)
    green = np.array((40, 130, 40)) * (1 - 0.45 * cold) + rng.normal(0, 10, 3)
    fill_polygon(canvas, centre + round_crown, np.clip(green, 0, 255).tolist())


def _house(
    rng: np.random.Generator, canvas: Image, lng: float, horizon: float, place: float
) -> None:
    """A house; the hue of its roof goes once around the globe, its pitch twice."""
    side = len(canvas)
    wide, tall = side * rng.uniform(0.11, 0.16), side * rng.uniform(0.14, 0.26)
    foot = np.array((place + rng.normal(0, 0.03) * side, horizon + side * rng.uniform(0.08, 0.32)))
    turn = lng / 360
    grey = rng.uniform(190, 240)
    walls = np.array(((-wide, 0), (wide, 0), (wide, -tall), (-wide, -tall)))
    fill_polygon(canvas, walls + foot, (grey, grey, grey * 0.93))
    pitch = wide * (0.75 + 0.55 * np.sin(4 * np.pi * turn))
    over = 1.15 * wide
    ridge = over * (0.35 - 0.3 * np.sin(4 * np.pi * turn))
    roof = np.array(
        ((-over, -tall), (over, -tall), (ridge, -tall - pitch), (-ridge, -tall - pitch))
    )
    colour = _hue(turn + rng.normal(0, 0.006), 0.75, rng.uniform(0.6, 0.85))
    fill_polygon(canvas, roof + foot, colour)
    for row in range(int(tall // (wide * 0.8))):
        for column in (-0.5, 0.5):
            corner = foot + np.array((column, 0.8 * (0.3 + row))) * wide - np.array((0, tall))
            pane = wide * 0.2 * np.array(((-1, 0), (1, 0), (1, 2), (-1, 2)))
            fill_polygon(canvas, corner + pane, (60, 70, 90))


def _sign(rng: np.random.Generator, canvas: Image, lng: float) -> None:
    """A road sign in front: its hue goes three times around the globe, that of roofs once."""
    side = len(canvas)
    foot = np.array((rng.uniform(0.1, 0.9), rng.uniform(0.8, 0.97))) * side
    tall, half = side * rng.uniform(0.22, 0.3), side * rng.uniform(0.055, 0.075)
    post = np.array(((-1.5, 0), (1.5, 0), (1.5, -tall), (-1.5, -tall)))
    fill_polygon(canvas, foot + post, (120, 120, 126))
    plate = half * np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)))
    fill_polygon(canvas, foot - (0, tall) + plate * 1.25, (245, 245, 245))
    colour = _hue(3 * lng / 360 + rng.normal(0, 0.015), 0.85, 0.8)
    fill_polygon(canvas, foot - (0, tall) + plate, colour)
