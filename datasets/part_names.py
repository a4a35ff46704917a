"""Folder names that mean a part of a data set, or its contents, and never a class."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from datasets.names import leads_to_folder

# In order of preference if there are several.
PART_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
# Contents of annotated data sets: such a folder is not a class, in upper or lower case.
_CONTENTS = ("images", "labels", "annotations", "jpegimages", "imagesets")
_WORD = re.compile(rf"(?<![a-z])({'|'.join(map('|'.join, PART_NAMES.values()))})(?![a-z])")
NO_CLASSES = frozenset((*chain.from_iterable(PART_NAMES.values()), *_CONTENTS))


def is_no_class(name: str) -> bool:
    """Whether a folder of that name is a part of a data set or its contents, not a class."""
    return name.lower() in NO_CLASSES


def is_part(name: str) -> bool:
    """Whether a folder of that name is a part of a data set."""
    return any(name.lower() in names for names in PART_NAMES.values())


def named_after_parts(names: Iterable[str]) -> list[str]:
    """Names that differ only in the name of a part: ``WIDER_train`` and ``WIDER_val``.

    Args:
        names: Names of folders beside each other.

    Returns:
        Matching names; empty if there are fewer than two.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        rest, count = _WORD.subn("*", name.lower())
        if count:
            alike.setdefault(rest, []).append(name)
    for found in alike.values():
        is_train = {_WORD.findall(one.lower())[0] in PART_NAMES["train"] for one in found}
        if len(is_train) == 2:
            return found
    return []


def folder_named(path: Path, name: str) -> Path | None:
    """The folder of that name in a folder, in upper or lower case."""
    found = _folders(path)
    exact = [one for one in found if one.name == name]
    return next(iter([*exact, *(one for one in found if one.name.lower() == name)]), None)


def part_folders(path: Path) -> dict[str, list[Path]]:
    """The folders that are parts, by ``train``, ``val`` and ``test``, the preferred one first."""
    found = _folders(path)
    parts = {
        split: [one for name in names for one in found if one.name.lower() == name]
        for split, names in PART_NAMES.items()
    }
    return {split: folders for split, folders in parts.items() if folders}


def _folders(path: Path) -> list[Path]:
    try:
        entries = sorted(os.scandir(path), key=_name)
    except OSError:  # No folder, or one that is shut, which the ledger tells.
        return []
    return [path / entry.name for entry in entries if leads_to_folder(entry)]


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
