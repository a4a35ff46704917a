"""The structure of images and attributes that all face-attribute formats are read into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.images import find_images
from datasets.labels.structure import LabelledData, nearest
from datasets.ledger import note_entries
from datasets.names import joined
from datasets.splitting import HOLD_OUT, held_out, name_shares, path_shares
from datasets.types import ClassMap, PhotoFiles

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
YES, NO, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class AttributeData(PhotoFiles):
    """Images in flat arrays, with a value for each attribute of each image.

    Attributes:
        values: (N, A) int8: 1 yes, 0 no, -1 unknown.
        attributes: Names of the A columns, with ids from 0.
        people: (N,) int64 identity of the person in each image, or None if unknown.
        left_out: Number of images that the data doctor dropped.
    """

    values: NDArray[np.int8]
    attributes: ClassMap
    people: NDArray[np.int64] | None = None
    left_out: int = 0

    @property
    def photos(self) -> LabelledData:
        """The images as loaders take them; attributes are looked up by index, so labels are 0."""
        return LabelledData(
            format=self.format,
            root=self.root,
            files=self.files,
            labels=np.zeros(len(self), np.int64),
            classes=self.attributes,
            left_out=self.left_out,
        )

    @property
    def prevalence(self) -> NDArray[np.float64]:
        """(A,) share of images with the attribute where it is known; NaN if it never is."""
        known = (self.values != UNKNOWN).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray((self.values == YES).sum(axis=0) / known, np.float64)

    def select(self, keep: NDArray[np.bool_]) -> AttributeData:
        """The images of a mask (N,); the attributes are kept."""
        people = None if self.people is None else self.people[keep]
        return replace(self, files=self.files[keep], values=self.values[keep], people=people)


@dataclass(frozen=True)
class AttributeParts:
    """A whole data set, and the part that each image belongs to.

    Attributes:
        data: All images.
        parts: (N,) 0 for training, 1 for validation, 2 for testing.
    """

    data: AttributeData
    parts: NDArray[np.int64]

    def has(self, part: Part) -> bool:
        """Whether there are images in a part."""
        return bool((self.parts == PARTS.index(part)).any())

    @property
    def names(self) -> tuple[Part, ...]:
        """Parts with images."""
        return tuple(part for part in PARTS if self.has(part))

    def part(self, part: Part) -> AttributeData:
        """The images of a part. Raises InputError listing the existing parts if there are none."""
        if not self.has(part):
            there = joined(self.names) if self.names else "no part at all"
            raise InputError(f"{self.data.root}: no image in the part {part!r}, only {there}")
        return self.data.select(self.parts == PARTS.index(part))


def arrange(
    data: AttributeData, parts: NDArray[np.int64] | None, *, whole: bool = False
) -> AttributeParts:
    """The parts of a data set; if it has no validation part, a fifth of its training part is used.

    The fifth is chosen by name, and by person if people are known: nobody is in both parts.

    Args:
        data: All images.
        parts: (N,) as in the result, or None if the data set has no parts.
        whole: Whether to hold nothing out.
    """
    parts = np.zeros(len(data), np.int64) if parts is None else parts.copy()
    rows = np.flatnonzero(parts == 0)
    if len(rows) and not whole and not (parts == 1).any():
        # Folds are of data that has no part to test on either.
        share = HOLD_OUT if (parts == 2).any() else None
        if data.people is None:
            held = held_out(path_shares(data.files[rows].tolist(), data.root), share)
        else:
            people, owner = np.unique(data.people[rows], return_inverse=True)
            held = held_out(name_shares([str(one) for one in people]), share)[owner]
        parts[rows[held]] = 1
    return AttributeParts(data, parts)


def name_attributes(names: Sequence[str], where: Path) -> ClassMap:
    """The attributes in a list. Raises InputError if there is none, or one appears twice."""
    if not names:
        raise InputError(f"{where}: names no attribute")
    try:
        return ClassMap.from_names(list(names), first=0)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def choose_attributes(data: AttributeData, wanted: Sequence[str]) -> AttributeData:
    """Some attributes of a data set, in the given order.

    Args:
        data: The data set.
        wanted: Names of the attributes.

    Raises:
        InputError: If one is unknown (with the nearest name) or appears twice.
    """
    names = data.attributes.names
    for name in wanted:
        if name not in names:
            raise InputError(f"{data.root}: no attribute {name!r}{nearest(name, names)}")
    attributes = name_attributes(wanted, data.root)
    return replace(
        data, values=data.values[:, [names.index(name) for name in wanted]], attributes=attributes
    )


def read_photos(path: Path, attributes: ClassMap) -> AttributeData:
    """All images below a folder, whose ``attributes`` a teacher will provide.

    Args:
        path: Folder of images.
        attributes: The teacher's attributes.

    Raises:
        InputError: If there is no such folder, or no image in it.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    files = [str(file) for file in find_images(path)]
    if not files:
        raise InputError(f"{path}: no images below it")
    note_entries(files)
    return AttributeData(
        format="photos",
        root=path,
        files=np.array(files, dtype=np.str_),
        values=np.full((len(files), len(attributes)), UNKNOWN, np.int8),
        attributes=attributes,
    )
