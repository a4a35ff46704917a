"""The plain structures that are passed between stages, with their shapes and units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.text import read_text

if TYPE_CHECKING:  # Exports are run where there is no torch.
    import torch

    from datasets.images import Image

# Ids that mean the same in every data set: the numbers in WordNet ids (n01440764: 1440764).
WORDNET = range(1_000_000, 100_000_000)


@dataclass(frozen=True)
class ClassMap:
    """Class names and the ids that the data set itself uses for them.

    Inside the suite the k-th class has the label k, from 1 (0 is background); predictions and JSON
    contain ``ids``.

    Attributes:
        ids: Original ids in label order; gaps are permitted (COCO's ids go from 1 to 90).
        names: Names in label order.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse lists that do not distinguish classes.

        Raises:
            InputError: If lengths differ, or an id or a name occurs twice.
        """
        if len(self.ids) != len(self.names):
            raise InputError(f"{len(self.ids)} class ids, but {len(self.names)} class names")
        for what, values in (("id", self.ids), ("name", self.names)):
            if len(set(values)) < len(values):
                twice = next(value for value, count in Counter(values).items() if count > 1)
                raise InputError(f"class {what} {twice!r} occurs twice")

    def __len__(self) -> int:
        """Number of classes, without background."""
        return len(self.ids)

    @classmethod
    def from_names(cls, names: list[str], first: int = 1) -> ClassMap:
        """Number names from ``first`` on."""
        return cls(tuple(range(first, first + len(names))), tuple(names))

    def to_json(self) -> list[dict[str, int | str]]:
        """The classes in the form of COCO's ``categories``."""
        return [{"id": i, "name": name} for i, name in zip(self.ids, self.names, strict=True)]

    @classmethod
    def from_json(cls, rows: list[dict[str, int | str]]) -> ClassMap:
        """Read COCO's ``categories`` or a card's ``classes``."""
        return cls(tuple(int(row["id"]) for row in rows), tuple(str(row["name"]) for row in rows))

    def labels_in(self, other: ClassMap) -> NDArray[np.int64]:
        """For each label 0..C of this map, the label of the same class in ``other``, else 0.

        Classes with the same WordNet id are the same, whatever their names; so are classes with
        the same name, unless both have WordNet ids, which then differ (ImageNet has two cranes).
        """
        ids = {number: label for label, number in enumerate(other.ids, start=1)}
        names = {name: label for label, name in enumerate(other.names, start=1)}
        found = [ids.get(number, 0) if number in WORDNET else 0 for number in self.ids]
        taken = set(found)
        for at, (number, name) in enumerate(zip(self.ids, self.names, strict=True)):
            label = names.get(name, 0)
            if label in taken or (number in WORDNET and other.ids[label - 1] in WORDNET):
                continue
            found[at] = found[at] or label
        return np.array([0, *found], dtype=np.int64)


_NAMES = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
fire hydrant, ???, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
bear, zebra, giraffe, ???, backpack, umbrella, ???, ???, handbag, tie, suitcase, frisbee, skis,
snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,
bottle, ???, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, ???, dining table, ???, ???,
toilet, ???, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
refrigerator, ???, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"""
_UNUSED = "???"


def number_unused(names: list[str]) -> ClassMap:
    """Classes numbered from 1; those named ??? get a name of their own."""
    return ClassMap.from_names(
        [f"unused {k}" if name == _UNUSED else name for k, name in enumerate(names, start=1)]
    )


# COCO's 80 names at their ids 1..90: TensorFlow's detectors have an output for every id.
COCO_CLASSES = number_unused([" ".join(name.split()) for name in _NAMES.split(",")])


def read_labels(file: Path) -> ClassMap:
    """A text file of class names, one per line; a first line of ??? stands for background.

    Raises:
        InputError: If it cannot be read or a name occurs twice.
    """
    names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    if names and names[0] in (_UNUSED, "background"):
        names = names[1:]
    return number_unused(names)


class DetectionTarget(TypedDict):
    """Ground truth of one image from a reader: N boxes in original pixels."""

    boxes: NDArray[np.float32]  # (N, 4) x1 y1 x2 y2
    labels: NDArray[np.int64]  # (N,) from 1
    iscrowd: NDArray[np.bool_]  # (N,)


class DetectionBatch(TypedDict):
    """A batch from a detector's loader: B images, stretched to S x S."""

    images: torch.Tensor  # (B, 3, S, S) uint8 RGB; the model normalises them on its device
    targets: list[dict[str, torch.Tensor]]  # boxes (N, 4) x1 y1 x2 y2 in 0..1, labels, iscrowd
    image_ids: list[int]
    sizes: list[tuple[int, int]]  # original (width, height)
    files: list[str]


class LabelBatch(TypedDict):
    """A batch from a classifier's loader: B images of S x S."""

    images: torch.Tensor  # (B, 3, S, S) uint8 RGB; the model normalises them on its device
    targets: torch.Tensor  # (B,) int64 column of each image, from 0
    image_ids: list[int]  # index in the data set
    files: list[str]


class MixedBatch(TypedDict):
    """A batch from the loader of several tasks: a batch of each task in the step."""

    parts: dict[str, LabelBatch | DetectionBatch]
    files: list[str]  # of all parts


@dataclass(frozen=True)
class PhotoFiles:
    """Images of a data set, each in a file.

    Attributes:
        format: Layout that they were recognised by.
        root: Path that the user gave.
        files: (N,) paths, or names of images in archives.
    """

    format: str
    root: Path
    files: NDArray[np.str_]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    @property
    def in_files(self) -> bool:
        """Whether each image is a file of its own, rather than part of an archive."""
        return True

    def image(self, index: int) -> Image:
        """The image of an index, (H, W, 3) uint8 RGB, turned upright by its EXIF tag.

        Raises:
            InputError: If it cannot be read; the message names the file.
        """
        from datasets.images import read_image

        return read_image(str(self.files[index]), upright=True)


class PhotoBatch(TypedDict):
    """Original images, for models that resize them themselves."""

    images: list[NDArray[np.uint8]]  # each (H, W, 3) RGB
    image_ids: list[int]


@dataclass(frozen=True)
class FacePairs:
    """Pairs of images that are known to show the same person or two different people.

    Attributes:
        first: (P,) int64 index of the first image in its data set.
        second: (P,) int64 index of the second image.
        same: (P,) bool, whether both show the same person.
        folds: (P,) int64 fold of each pair, from 0.
        tested: Folds that metrics are computed on, each with a threshold from all the others.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    tested: tuple[int, ...]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.same)
