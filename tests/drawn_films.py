"""Videos of moving shapes whose true boxes and numbers are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.builtin.scenes import SHAPES, background, clutter, outline, paint
from datasets.images import Image

RATE = 25.0
SIDES = (360, 270)


class Truth(NamedTuple):
    """The shapes that can be seen in a frame.

    Attributes:
        ids: (D,) numbers of the shapes.
        labels: (D,) classes from 1.
        boxes: (D, 4) x1 y1 x2 y2 in pixels, within the frame.
        centres: (D, 2) centres of the whole boxes.
        shown: (D,) share of the box that neither the edge of the frame nor another box hides.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    centres: NDArray[np.float64]
    shown: NDArray[np.float64]


@dataclass(frozen=True)
class _Mover:
    """A shape that enters at one side, leaves at another, and sways on its way."""

    label: int
    outlines: list[NDArray[np.float64]]
    seed: int
    start: NDArray[np.float64]
    speed: NDArray[np.float64]
    sway: NDArray[np.float64]
    first: int

    def centre(self, frame: int) -> NDArray[np.float64]:
        time = frame - self.first
        place = self.start + self.speed * time + self.sway * np.sin(time / 12)
        return np.asarray(place, np.float64)


def moving(seed: int, frames: int, shapes: int) -> Iterator[tuple[Image, Truth]]:
    """Frames (H, W, 3) RGB of shapes that cross each other's ways, and what is in them.

    Args:
        seed: Seed of all that is drawn.
        frames: Number of frames.
        shapes: Number of shapes that enter, spread over the frames.
    """
    rng = np.random.default_rng(seed)
    ground = background(rng, *SIDES)
    clutter(rng, ground)
    movers = [_mover(rng, frames, shapes, number) for number in range(shapes)]
    for frame in range(frames):
        image = ground.copy()
        corners = []
        for mover in movers:
            outlines = [points + mover.centre(frame) for points in mover.outlines]
            corners.append(np.concatenate((outlines[0].min(0), outlines[0].max(0))))
            if _area(_cut(corners[-1])):
                paint(np.random.default_rng(mover.seed), image, outlines)
        noise = rng.standard_normal((SIDES[1], SIDES[0], 1), dtype=np.float32)
        yield np.clip(image + 3 * noise, 0, 255).astype(np.uint8), _truth(movers, corners, frame)


def _mover(rng: np.random.Generator, frames: int, shapes: int, number: int) -> _Mover:
    label = int(rng.integers(len(SHAPES)))
    radius = float(rng.uniform(22, 40))
    across = rng.uniform(-0.3, 0.3)
    side = 1 if rng.random() < 0.5 else -1
    width, height = SIDES
    if rng.random() < 0.5:
        start = np.array((-radius if side > 0 else width + radius, rng.uniform(0.2, 0.8) * height))
        way = np.array((side, across))
    else:
        start = np.array((rng.uniform(0.2, 0.8) * width, -radius if side > 0 else height + radius))
        way = np.array((across, side))
    sway = np.array((way[1], way[0])) * rng.uniform(0, 12)
    first = int(number / shapes * frames * 0.9) - 25
    outlines = [points * radius for points in outline(rng, SHAPES[label])]
    speed = way * rng.uniform(1.5, 5)
    return _Mover(label + 1, outlines, int(rng.integers(2**31)), start, speed, sway, first)


def _cut(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(box, 0, (*SIDES, *SIDES))


def _area(box: NDArray[np.float64]) -> float:
    return float(np.prod(np.clip(box[2:] - box[:2], 0, None)))


def _truth(movers: list[_Mover], corners: list[NDArray[np.float64]], frame: int) -> Truth:
    """Shapes that came later lie on top."""
    ids, boxes, shown = [], [], []
    for number, whole in enumerate(corners):
        box = _cut(whole)
        mask = np.zeros((SIDES[1], SIDES[0]), np.uint8)
        x1, y1, x2, y2 = np.round(box).astype(int).tolist()
        mask[y1:y2, x1:x2] = 1
        for other in corners[number + 1 :]:
            x1, y1, x2, y2 = np.round(_cut(other)).astype(int).tolist()
            mask[y1:y2, x1:x2] = 0
        share = mask.sum() / _area(whole)
        if share >= 0.3:
            ids.append(number)
            boxes.append(box)
            shown.append(share)
    centres = [movers[number].centre(frame) for number in ids]
    labels = [movers[number].label for number in ids]
    return Truth(
        np.array(ids, np.int64),
        np.array(labels, np.int64),
        np.array(boxes).reshape(-1, 4),
        np.array(centres).reshape(-1, 2),
        np.array(shown),
    )


def write_moving(file: Path, seed: int, frames: int, shapes: int) -> list[Truth]:
    """Write such a video; returns what is in each frame."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), RATE, SIDES)
    truths = []
    for image, truth in moving(seed, frames, shapes):
        writer.write(image[..., ::-1])
        truths.append(truth)
    writer.release()
    return truths
