"""One structure for the images and attributes of every face-attribute format."""

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
from datasets.splitting import held_out, name_shares, path_shares
from datasets.types import ClassMap, PhotoFiles

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
YES, NO, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class AttributeData(PhotoFiles):
    """Images in flat arrays, with a yes or no for each attribute of each.

    Attributes:
        values: (N, A) int8: 1 yes, 0 no, -1 unknown.
        attributes: Names of the A columns, with ids from 0.
        people: (N,) int64 who each image shows, or None where nobody told.
        left_out: Images that the data doctor dropped.
    """

    values: NDArray[np.int8]
    attributes: ClassMap
    people: NDArray[np.int64] | None = None
    left_out: int = 0

    @property
    def photos(self) -> LabelledData:
        """As the loaders take images: attributes are looked up by index, so the labels are 0."""
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
        """(A,) share of the images with the attribute, of those that tell; NaN if none does."""
        known = (self.values != UNKNOWN).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray((self.values == YES).sum(axis=0) / known, np.float64)

    def select(self, keep: NDArray[np.bool_]) -> AttributeData:
        """The images of a mask (N,); the attributes stay."""
        people = None if self.people is None else self.people[keep]
        return replace(self, files=self.files[keep], values=self.values[keep], people=people)


@dataclass(frozen=True)
class AttributeParts:
    """A whole set, and which part each image belongs to.

    Attributes:
        data: All images.
        parts: (N,) 0 to train on, 1 to validate on, 2 to test on.
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
        """The images of a part. Raises InputError if there are none, with the parts that are."""
        if not self.has(part):
            there = joined(self.names) if self.names else "no part at all"
            raise InputError(f"{self.data.root}: no photo in the part {part!r}, only {there}")
        return self.data.select(self.parts == PARTS.index(part))


def arrange(
    data: AttributeData, parts: NDArray[np.int64] | None, *, whole: bool = False
) -> AttributeParts:
    """Parts of a set; one without a validation part gives up a fifth of its training part.

    Chosen by name, and by person where that is known: nobody is in both.

    Args:
        data: All images.
        parts: (N,) as in the result, or None if the set is not parted.
        whole: Hold nothing out.
    """
    parts = np.zeros(len(data), np.int64) if parts is None else parts.copy()
    rows = np.flatnonzero(parts == 0)
    if len(rows) and not whole and not (parts == 1).any():
        if data.people is None:
            held = held_out(path_shares(data.files[rows].tolist(), data.root))
        else:
            people, owner = np.unique(data.people[rows], return_inverse=True)
            held = held_out(name_shares([str(one) for one in people]))[owner]
        parts[rows[held]] = 1
    return AttributeParts(data, parts)


def name_attributes(names: Sequence[str], where: Path) -> ClassMap:
    """The attributes of a list. Raises InputError if there is none, or one stands twice."""
    if not names:
        raise InputError(f"{where}: names no attribute")
    try:
        return ClassMap.from_names(list(names), first=0)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def choose_attributes(data: AttributeData, wanted: Sequence[str]) -> AttributeData:
    """Some attributes of a set, in the order wanted.

    Raises:
        InputError: If one is unknown (with the nearest name) or stands twice.
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
    """All images below a folder, of whose ``attributes`` a teacher will tell.

    Raises:
        InputError: If there is no such folder, or no image in it.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    files = [str(file) for file in find_images(path)]
    if not files:
        raise InputError(f"{path}: no pictures below it")
    note_entries(files)
    return AttributeData(
        format="photos",
        root=path,
        files=np.array(files, dtype=np.str_),
        values=np.full((len(files), len(attributes)), UNKNOWN, np.int8),
        attributes=attributes,
    )
