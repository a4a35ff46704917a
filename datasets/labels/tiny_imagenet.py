"""Tiny ImageNet's own layout: class folders to train on, a list of labels to validate with."""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.images import pictures_below
from datasets.labels.folders import read_names
from datasets.labels.structure import Part, name_classes
from datasets.names import refuse_unsafe_name
from datasets.text import read_text

_VAL_LIST = "val/val_annotations.txt"


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder; empty if it is not Tiny ImageNet's layout.

    Raises:
        InputError: If a list is damaged.
    """
    listed = path / "wnids.txt"
    if not listed.is_file() or not (path / _VAL_LIST).is_file():
        return {}
    order = tuple(refuse_unsafe_name(key, f"{listed}: class") for key in read_text(listed).split())
    words = path / "words.txt"
    classes = name_classes(order, read_names(words) if words.is_file() else None)
    folder, listed = path / "train", path / _VAL_LIST
    named = (path / "wnids.txt", words)
    training = [(file, key) for key in order for file in pictures_below(folder / key)]
    held = _validation(listed)
    train = Part("tiny_imagenet", lambda: training, order, classes, folder, named)
    val = Part("tiny_imagenet", lambda: held, order, classes, listed, (*named, listed))
    return {"train": train, "val": val} if training else {"val": val}


def _validation(file: Path) -> list[tuple[str, str]]:
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        fields = line.split()
        if len(fields) == 1:
            raise InputError(f"{file}: line {number}: {line!r} has no class")
        if fields:
            rows.append((str(file.parent / "images" / fields[0]), fields[1]))
    return rows
