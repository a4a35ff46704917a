"""Tiny ImageNet's own layout: class folders to train on, a list of labels to validate with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from datasets.images import pictures_below
from datasets.labels.folders import read_names
from datasets.labels.structure import LabelledData, assemble, name_classes
from datasets.text import read_text
from datasets.types import ClassMap

_VAL_LIST = "val/val_annotations.txt"


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        files: Pictures.
        keys: WordNet id of each.
        order: All WordNet ids in ``wnids.txt``'s order, which is that of the columns.
        classes: Their names (the first of ``words.txt``) and ids.
        where: File or folder that says which class a picture has.
    """

    files: tuple[str, ...]
    keys: tuple[str, ...]
    order: tuple[str, ...]
    classes: ClassMap
    where: Path


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder; empty if it is not Tiny ImageNet's layout.

    Raises:
        InputError: If a list is damaged.
    """
    listed = path / "wnids.txt"
    if not listed.is_file() or not (path / _VAL_LIST).is_file():
        return {}
    order = tuple(read_text(listed).split())
    words = path / "words.txt"
    classes = name_classes(order, read_names(words) if words.is_file() else None)
    found = {}
    files, keys = _training(path / "train", order)
    if files:
        found["train"] = Part(files, keys, order, classes, path / "train")
    files, keys = _validation(path / _VAL_LIST)
    found["val"] = Part(files, keys, order, classes, path / _VAL_LIST)
    return found


def _training(folder: Path, order: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pairs = [(file, key) for key in order for file in pictures_below(folder / key)]
    return tuple(file for file, _ in pairs), tuple(key for _, key in pairs)


def _validation(file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    files, keys = [], []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2:
            raise InputError(f"{file}: line {number}: {line!r} has no class")
        files.append(str(file.parent / "images" / fields[0]))
        keys.append(fields[1])
    return tuple(files), tuple(keys)


def read(root: Path, part: Part) -> LabelledData:
    """Put the pictures of a split into the flat structure.

    Raises:
        InputError: If a class is not in ``wnids.txt``.
    """
    return assemble(
        format="tiny_imagenet",
        root=root,
        files=part.files,
        keys=part.keys,
        order=part.order,
        classes=part.classes,
        where=part.where,
    )
