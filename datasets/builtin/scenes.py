"""Built-in scenes, drawn to disk in COCO's own layout, so that every tool works without data.

Eight shapes that are easily confused (a pentagon with a hexagon, a ring with a disc), rotated,
sheared, partly hidden, from a twelfth to half of the image in size, on textured backgrounds with
clutter that belongs to no class. Every image depends only on (seed, split, index).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.builtin.make_once import make_once
from datasets.images import Image, save_image
from datasets.parallel import in_threads

SHAPES = ("circle", "ring", "square", "triangle", "pentagon", "hexagon", "star", "cross")
# File that describes what was drawn.
STAMP = "scenes.json"
_SIZES = ((320, 240), (300, 300), (240, 320), (360, 270))
_SHIFT = 4  # Fractional bits of cv2's polygon coordinates: edges are placed to 1/16 pixel.
_LEAST_CONTRAST = 80  # Of 255, in one channel at least: below it even people miss a shape.

Points = NDArray[np.float64]
Field = NDArray[np.float32]


def draw_scenes(root: Path, *, num_train: int = 2000, num_val: int = 300, seed: int = 0) -> Path:
    """Draw the data set below ``root`` unless this very one already exists.

    It consists of ``annotations/instances_{train,val}.json``, ``train/`` and ``val/``.

    Args:
        root: Folder to fill.
        num_train: Number of training scenes.
        num_val: Number of validation scenes.
        seed: Seed of all scenes.

    Raises:
        InputError: If ``root`` holds something else.
    """
    wanted = {"version": 1, "num_train": num_train, "num_val": num_val, "seed": seed}

    def fill(folder: Path) -> None:
        for number, (split, count) in enumerate((("train", num_train), ("val", num_val))):
            _draw_split(folder, split, count, (seed, number))

    return make_once(root, STAMP, wanted, fill)


def _draw_split(root: Path, split: str, count: int, key: tuple[int, int]) -> None:
    folder = root / split
    folder.mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def draw(index: int) -> tuple[str, tuple[int, ...], list[int], NDArray[np.float64]]:
        picture, labels, boxes = draw_scene(np.random.default_rng((*key, index)))
        name = f"{index:06d}.jpg"
        save_image(folder / name, picture)
        return name, picture.shape[:2], labels, boxes

    drawn = in_threads(draw, range(count), f"drawing {split} scenes", unit="image", delay=0)
    for index, (name, (height, width), labels, boxes) in enumerate(drawn):
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
        for label, (x1, y1, x2, y2) in zip(labels, boxes, strict=True):
            box = [round(float(v), 2) for v in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(SHAPES, start=1)]
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories}),
        encoding="utf-8",
    )


def draw_scene(rng: np.random.Generator) -> tuple[Image, list[int], NDArray[np.float64]]:
    """One scene: (H, W, 3) RGB, labels from 1, boxes (N, 4) x1 y1 x2 y2 in pixels."""
    width, height = _SIZES[rng.integers(len(_SIZES))]
    picture = background(rng, width, height)
    clutter(rng, picture)
    labels: list[int] = []
    boxes: list[NDArray[np.float64]] = []
    wanted = 0 if rng.random() < 0.06 else int(rng.integers(1, 14))
    for _ in range(wanted * 4):
        if len(labels) == wanted:
            break
        label = int(rng.integers(len(SHAPES)))
        radius = min(width, height) * float(np.exp(rng.uniform(np.log(0.1), np.log(0.3))))
        centre = rng.uniform((0, 0), (width, height))
        outlines = [points * radius + centre for points in outline(rng, SHAPES[label])]
        box = _bounds(outlines[0], width, height)
        if _fits(box, outlines[0], boxes):
            paint(rng, picture, outlines)
            labels.append(label + 1)
            boxes.append(box)
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    noise = rng.standard_normal((height, width, 1), dtype=np.float32)
    scene = np.clip(blurred + noise * np.float32(rng.uniform(1, 7)), 0, 255).astype(np.uint8)
    return scene, labels, np.array(boxes, dtype=np.float64).reshape(-1, 4)


def outline(rng: np.random.Generator, shape: str) -> list[Points]:
    """Corners of a shape of unit radius, rotated and sheared; a second list is a hole."""
    corners = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}
    if shape in ("circle", "ring"):
        rings = [_polygon(48)]
        if shape == "ring":
            rings.append(rings[0] * rng.uniform(0.4, 0.7))
    elif shape == "star":
        rings = [_polygon(10)]
        rings[0][1::2] *= rng.uniform(0.4, 0.6)
    elif shape == "cross":
        arm = rng.uniform(0.22, 0.38)
        quarter = np.array([(1, -arm), (1, arm), (arm, arm)])
        turn = np.array([(0, 1), (-1, 0)])
        rings = [np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])]
    else:
        rings = [_polygon(corners[shape])]
    angle = rng.uniform(0, 2 * np.pi)
    spin = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    shear = np.array([(1.0, rng.uniform(-0.15, 0.15)), (0.0, rng.uniform(0.8, 1.0))])
    return [ring @ spin @ shear for ring in rings]


def _polygon(corners: int) -> Points:
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


def _bounds(points: Points, width: int, height: int) -> NDArray[np.float64]:
    low = np.clip(points.min(0), 0, (width, height))
    high = np.clip(points.max(0), 0, (width, height))
    return np.concatenate((low, high))


def _fits(box: NDArray[np.float64], points: Points, others: list[NDArray[np.float64]]) -> bool:
    """Whether at most a quarter is cut off by the frame or hidden behind another shape."""
    area = np.prod(box[2:] - box[:2])
    if area < 0.75 * np.prod(np.ptp(points, axis=0)):
        return False
    for other in others:
        sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        smaller = min(area, np.prod(other[2:] - other[:2]))
        if np.prod(np.clip(sides, 0, None)) > 0.25 * smaller:
            return False
    return True


def paint(rng: np.random.Generator, picture: Image, outlines: list[Points]) -> None:
    """Fill a shape with a flat or striped colour that differs a little from what is below."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = _bounds(outlines[0], width, height)
    left, top = max(int(x1) - 2, 0), max(int(y1) - 2, 0)
    patch = picture[top : int(y2) + 3, left : int(x2) + 3]
    polygons = [
        np.round((points - (left, top)) * 2**_SHIFT).astype(np.int32) for points in outlines
    ]
    mask = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillPoly(mask, polygons[:1], 255, cv2.LINE_AA, _SHIFT)
    for hole in polygons[1:]:
        cv2.fillPoly(mask, [hole], 0, cv2.LINE_AA, _SHIFT)
    below = np.array(cv2.mean(patch, mask)[:3])
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - below).max() < _LEAST_CONTRAST:
        colour = rng.uniform(0, 255, 3)
    fill = np.full(patch.shape, colour, dtype=np.float32)
    if rng.random() < 0.3:
        fill += _stripes(rng, *patch.shape[1::-1])[..., None] * np.float32(rng.uniform(10, 35))
    weight = mask[..., None] * np.float32(rng.uniform(0.8, 1.0) / 255)
    patch[:] = np.clip(patch * (1 - weight) + fill * weight, 0, 255)
    if rng.random() < 0.3:
        edge = rng.uniform(0, 255, 3).tolist()
        cv2.polylines(patch, polygons, True, edge, 1, cv2.LINE_AA, _SHIFT)


def fill_polygon(picture: Image, points: Points, colour: Sequence[float]) -> None:
    """Paint a polygon (N, 2) in pixels."""
    corners = np.round(points * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA, _SHIFT)


def background(rng: np.random.Generator, width: int, height: int) -> Image:
    """Two colours mixed by clouds, stripes or a gradient, with finer clouds on top."""
    kind = rng.integers(3)
    mix: NDArray[np.floating]
    if kind == 0:
        mix = _clouds(rng, width, height, int(rng.integers(2, 6)))
    elif kind == 1:
        mix = _stripes(rng, width, height) / 2 + 0.5
    else:
        angle = rng.uniform(0, 2 * np.pi)
        mix = _slope(angle, width, height) / max(width, height) + 0.5
    one, two = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    step = (two - one) * np.float32(rng.uniform(0.2, 0.7))
    grain = np.float32(rng.uniform(5, 40)) * (_clouds(rng, width, height, 24) - 0.5)
    picture = one + step * np.clip(mix, 0, 1)[..., None] + grain[..., None]
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _clouds(rng: np.random.Generator, width: int, height: int, cells: int) -> Field:
    """Smooth noise in 0..1 with about ``cells`` bumps across: (H, W)."""
    coarse = rng.random((cells + 1, cells + 1), dtype=np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def _stripes(rng: np.random.Generator, width: int, height: int) -> Field:
    """Sine stripes in -1..1 with a random direction and period: (H, W)."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 40)
    wave = _slope(angle, width, height) * np.float32(2 * np.pi / period)
    return np.asarray(np.sin(wave + np.float32(rng.uniform(0, 6))), np.float32)


def _slope(angle: float, width: int, height: int) -> Field:
    """Distance in pixels from the centre along a direction: (H, W)."""
    x = (np.arange(width, dtype=np.float32) - width / 2) * np.float32(np.cos(angle))
    y = (np.arange(height, dtype=np.float32) - height / 2) * np.float32(np.sin(angle))
    return y[:, None] + x


def clutter(rng: np.random.Generator, picture: Image) -> None:
    """Lines, arcs and specks: edges that belong to no class."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(0, 9)):
        colour = rng.uniform(0, 255, 3).tolist()
        start, end = rng.integers((0, 0), (width, height), (2, 2)).tolist()
        kind = rng.integers(3)
        if kind == 0:
            cv2.line(picture, start, end, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
        elif kind == 1:
            axes = rng.integers(10, 80, 2).tolist()
            turn, sweep = rng.uniform(0, 360), rng.uniform(30, 150)
            cv2.ellipse(picture, start, axes, turn, 0, sweep, colour, 2, cv2.LINE_AA)
        else:
            cv2.circle(picture, start, int(rng.integers(1, 5)), colour, -1, cv2.LINE_AA)
