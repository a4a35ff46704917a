"""The folder recogniser, and the torch data set of a detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.boxes import coco, voc, yolo
from datasets.boxes.structure import DetectionData, hold_out
from datasets.errors import InputError
from datasets.images import Image
from datasets.spec import Split
from datasets.splitting import choose_part
from datasets.types import DetectionTarget

LAYOUTS = (
    "annotations/instances_train*.json (COCO), or Annotations/*.xml beside JPEGImages/ (Pascal "
    "VOC), or labels/*.txt beside images/ and data.yaml (YOLO)"
)


def open_detection(path: Path, split: Split) -> DetectionData:
    """Recognise a folder (or COCO JSON file) and read one split of it.

    A set that has a training part only gives a fifth of its images, chosen by name, to ``val``,
    and the others to ``train``; ``all`` is the whole of it.

    Raises:
        InputError: If the path is missing, has no such split, or looks like none of the formats,
            saying what each would need.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    recognised = recognise_detection(path)
    if recognised is None:
        raise InputError(
            f"{path}: not recognised as a detection data set. It should hold either {LAYOUTS}"
        )
    reader, found = recognised
    chosen, lone = choose_part(path, split, found)
    part: DetectionData = reader.read(path, chosen)
    return hold_out(part, split) if lone else part


def recognise_detection(path: Path) -> tuple[Any, dict[str, Any]] | None:
    """The reader of a format, and the parts that it finds; None if it is no detection set."""
    readers: tuple[Any, ...] = (coco, yolo, voc)  # The same two functions, each its own parts.
    found = ((reader, reader.find_splits(path)) for reader in readers)
    return next(((reader, parts) for reader, parts in found if parts), None)


Transform = Callable[[Image, DetectionTarget, int], tuple[Image, DetectionTarget]]


@dataclass
class DetectionSample:
    """One transformed image on its way into a batch."""

    image: Image  # (S, S, 3) uint8 RGB
    target: DetectionTarget  # boxes relative to the image, 0..1
    image_id: int
    size: tuple[int, int]  # original (width, height)
    file: str


class DetectionSet:
    """Map-style data set: reads, transforms and warps one image.

    Args:
        data: Annotations.
        transform: Applied to (image, target in pixels, random seed).
        seed: Base of the augmentation's randomness.
    """

    def __init__(self, data: DetectionData, transform: Transform, seed: int = 0) -> None:
        self.data, self.transform, self.seed = data, transform, seed

    def __len__(self) -> int:
        """Number of images."""
        return len(self.data)

    def __getitem__(self, draw: tuple[int, int]) -> DetectionSample:
        """Sample of a draw (epoch, index).

        The augmentation is a function of (seed, epoch, index) alone, so that it is the same for
        any number of loader processes, and after a resume.
        """
        epoch, index = draw
        picture, target = self.data.image(index), self.data.target(index)
        width, height = self.data.sizes[index].tolist()
        mixed = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)
        image, target = self.transform(picture, target, int(mixed[0]))
        scale = np.array([*image.shape[1::-1], *image.shape[1::-1]], dtype=np.float32)
        target = {**target, "boxes": target["boxes"] / scale}
        return DetectionSample(
            image=image,
            target=target,
            image_id=int(self.data.image_ids[index]),
            size=(width, height),
            file=str(self.data.files[index]),
        )
