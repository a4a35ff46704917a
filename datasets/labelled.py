"""One structure for the photos and labels of every classification format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.images import Image, read_image
from datasets.types import ClassMap


@dataclass(frozen=True)
class LabelledData:
    """All photos of one split in flat arrays, which loader processes share.

    Attributes:
        format: ``folders``, ``tiny_imagenet``, ``csv``, ``stanford_dogs``, ...
        root: Folder that the user named.
        files: (N,) image paths.
        labels: (N,) int64 column of each photo's class, from 0.
        classes: Names and original ids, in the order of the columns.
        boxes: (N, 4) float64 x1 y1 x2 y2 in pixels of what each photo is about, or None.
        left_out: Photos that the data doctor dropped.
    """

    format: str
    root: Path
    files: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: ClassMap
    boxes: NDArray[np.float64] | None = None
    left_out: int = 0

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.files)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C,) photos per class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def image(self, index: int) -> Image:
        """Photo of an index, (H, W, 3) uint8 RGB, turned as its EXIF tag says.

        Raises:
            ValueError: If it cannot be read; it names the file.
        """
        return read_image(str(self.files[index]), upright=True)

    def select(self, keep: NDArray[np.bool_]) -> LabelledData:
        """The photos of a mask (N,); the classes stay."""
        boxes = None if self.boxes is None else self.boxes[keep]
        return replace(self, files=self.files[keep], labels=self.labels[keep], boxes=boxes)
