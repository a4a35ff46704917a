"""The torch data set and the loader of a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from datasets.boxes.structure import DetectionData
from datasets.images import Image
from datasets.loader import Draw, draw_seed, epoch_loader
from datasets.reading_order import ReadTogether
from datasets.types import DetectionBatch, DetectionTarget

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

    @property
    def read_together(self) -> ReadTogether | None:
        """Which images are read at once; None where each is read by itself."""
        return self.data.read_together

    def __getitem__(self, draw: Draw) -> DetectionSample:
        """Sample of a draw (epoch, index).

        The augmentation is a function of (seed, epoch, index) alone, so that it is the same for
        any number of loader processes, and after a resume.
        """
        epoch, index = draw
        picture, target = self.data.image(index), self.data.target(index)
        width, height = self.data.sizes[index].tolist()
        image, target = self.transform(picture, target, draw_seed(self.seed, epoch, index))
        scale = np.array([*image.shape[1::-1], *image.shape[1::-1]], dtype=np.float32)
        target = {**target, "boxes": target["boxes"] / scale}
        return DetectionSample(
            image=image,
            target=target,
            image_id=int(self.data.image_ids[index]),
            size=(width, height),
            file=str(self.data.files[index]),
        )


def collate_detection(samples: Sequence[DetectionSample]) -> dict[str, Any]:
    """Stack images and keep one target per image, as arrays.

    A tensor crosses between processes as a file of its own: three per image would cost a tenth
    of a small detector's training step.
    """
    images = np.stack([sample.image for sample in samples])
    return {
        "images": torch.from_numpy(images).permute(0, 3, 1, 2),
        "targets": [dict(sample.target) for sample in samples],
        "image_ids": [sample.image_id for sample in samples],
        "sizes": [sample.size for sample in samples],
        "files": [sample.file for sample in samples],
    }


def finish_detection(batch: dict[str, Any]) -> DetectionBatch:
    """Turn the targets' arrays into tensors."""
    targets = [
        {name: torch.from_numpy(array.copy()) for name, array in target.items()}
        for target in batch["targets"]
    ]
    return cast("DetectionBatch", {**batch, "targets": targets})


detection_loader = partial(epoch_loader, collate=collate_detection, finish=finish_detection)
"""Loader of a detector: shuffled and in whole batches for training, else in order."""
