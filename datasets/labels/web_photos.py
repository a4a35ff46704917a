"""Noisy images from the web: a folder per class, named in any way; copies of test images leave."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.errors import InputError
from datasets.images import pictures_below
from datasets.labels.folders import class_folders
from datasets.labels.structure import LabelledData, Part
from datasets.ledger import UNUSABLE, note_dropped, note_entries
from datasets.part_names import part_folders
from datasets.perceptual_hash import hash_files, near
from datasets.types import ClassMap

_WNID = re.compile(r"n(\d{8})(?:[-_ ](.*))?")


@dataclass(frozen=True)
class WebFolders:
    """Which class folders belong to a class of the data.

    Attributes:
        root: Holds the folders.
        columns: Column of the data's class by folder name.
        unknown: Folders that are no class of the data.
    """

    root: Path
    columns: dict[str, int]
    unknown: tuple[str, ...]


def match_folders(path: Path, classes: ClassMap) -> WebFolders:
    """Find each class's folders in a web folder (or its ``train/``).

    A folder matches by its WordNet id (``n02085620``, ``n02085620-Chihuahua``) or its name, in
    which only letters and digits count: ``japanese spaniel`` is ``Japanese_spaniel``. Several
    folders may be one class.

    Raises:
        InputError: If there are no class folders, or none is a class of the data.
    """
    if not path.is_dir():
        raise InputError(f"--web {path}: no such folder")
    places = [*part_folders(path).get("train", []), path]
    root = next((place for place in places if class_folders(place)), None)
    if root is None:
        raise InputError(f"--web {path}: holds no folder of images per class")
    by_name: dict[str, set[int]] = {}
    for column, name in enumerate(classes.names):
        by_name.setdefault(_plain(name), set()).add(column)
    columns: dict[str, int] = {}
    unknown: list[str] = []
    for folder in class_folders(root):
        found = _find(folder, classes, by_name)
        if found is None:
            unknown.append(folder)
        else:
            columns[folder] = found
    if not columns:
        raise InputError(
            f"--web {path}: none of its {len(unknown)} folders ({_some(unknown)}) is named like "
            f"a class of the data ({_some(classes.names)})"
        )
    return WebFolders(root, columns, tuple(unknown))


def _find(folder: str, classes: ClassMap, by_name: dict[str, set[int]]) -> int | None:
    """Column of a folder's class; None if it has none, or its name is that of several."""
    wnid = _WNID.fullmatch(folder)
    if wnid and int(wnid[1]) in classes.ids:
        return classes.ids.index(int(wnid[1]))
    found = by_name.get(_plain(wnid[2] if wnid and wnid[2] else folder), set())
    return next(iter(found)) if len(found) == 1 else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def read_web(folders: WebFolders, classes: ClassMap) -> LabelledData:
    """List the images of the matched folders under the data's classes."""
    photos = [
        (file, classes.names[column])
        for folder, column in folders.columns.items()
        for file in pictures_below(folders.root / folder)
    ]
    note_entries([file for file, _ in photos])
    root = folders.root
    return Part("web", lambda: photos, classes.names, classes, where=root).read(root)


@dataclass(frozen=True)
class Removed:
    """Images that were taken out of a web folder.

    Attributes:
        copies: (file, test image that it looks like).
        damaged: Files that cannot be read.
    """

    copies: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...]


def remove_copies(
    web: LabelledData, test: LabelledData, distance: int
) -> tuple[LabelledData, Removed]:
    """Take out images that look like one of the test set, and those that cannot be read.

    Whoever searches the web for a class finds the images of its test set too: trained on, they
    would make the figures look better than they are.

    Args:
        web: Images to clean.
        test: Images that must stay unseen.
        distance: Most bits of 64 by which the hashes of an image and its copy differ.
    """
    hashes, read = hash_files(web.files.tolist(), "hashing web images")
    kept_from, theirs = hash_files(test.files.tolist(), "hashing test images")
    rows, targets = np.flatnonzero(read), np.flatnonzero(theirs)
    twin: dict[int, int] = {}
    for one, other in near(hashes[rows], kept_from[targets], distance).tolist():
        twin.setdefault(int(rows[one]), int(targets[other]))
    keep = read.copy()
    keep[list(twin)] = False
    removed = Removed(
        copies=tuple((str(web.files[a]), str(test.files[b])) for a, b in twin.items()),
        damaged=tuple(web.files[~read].tolist()),
    )
    note_dropped(removed.damaged, UNUSABLE)
    note_dropped([file for file, _ in removed.copies], "images that look like test images")
    return replace(web.select(keep), left_out=len(removed.damaged)), removed
