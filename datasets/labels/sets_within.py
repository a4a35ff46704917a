"""Folders in a folder that are data sets of their own, and so no classes of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from datasets.boxes.opening import claims_of
from datasets.boxes.tree import Tree, count_described
from datasets.boxes.voc import parse_xml
from datasets.boxes.voc_layout import is_annotation
from datasets.claims import Strength
from datasets.errors import InputError
from datasets.images import is_picture, pictures_below
from datasets.json_files import read_object
from datasets.labels.structure import Part
from datasets.ledger import untraced
from datasets.names import entries_like
from datasets.part_names import part_folders

FindSplits = Callable[[Path], Mapping[str, Part]]
# A folder with more folders than this is not searched for data sets: these are classes.
_MOST_FOLDERS = 50
# Number of files with boxes of single images that are read in a folder.
_LOOKED_AT = 5


def sets_within(folders: Iterable[Path], readers: Iterable[FindSplits]) -> dict[Path, str]:
    """Find the folders that are data sets, each with the evidence; a stray file is not enough.

    Args:
        folders: Folders beside each other.
        readers: Readers of formats with lists or file names.
    """
    inner, known = [*folders], [*readers]
    if len(inner) > _MOST_FOLDERS:
        return {}
    found = {folder: _evidence(folder, known) for folder in inner}
    return {folder: evidence for folder, evidence in found.items() if evidence}


def are_described_classes(folders: Sequence[Path]) -> bool:
    """Whether folders are classes although files beside their images describe boxes.

    They are if each holds its images itself, and the boxes of each are of other classes; data sets
    beside each other have classes in common.
    """
    seen: set[str] = set()
    for folder in folders:
        if not any(entry.is_file() and is_picture(entry.name) for entry in os.scandir(folder)):
            return False
        with untraced():  # Nothing of it is used.
            named = {name for file in told_beside(folder) for name in _boxed(file)}
        if named & seen:
            return False
        seen |= named
    return True


def told_beside(folder: Path) -> list[Path]:
    """The first files in a folder that describe boxes of single images."""
    tree = Tree(folder)
    files = entries_like(folder, "*.json", "*.xml")
    told = (one for one in files if tree.json_kind(one) == "labelme" or is_annotation(one))
    return [*islice(told, _LOOKED_AT)]


def _boxed(file: Path) -> list[str]:
    """Names of the classes in a file of boxes; none if it is damaged."""
    try:
        if file.suffix.lower() == ".xml":
            return parse_xml(file, None).names
        return [shape.text("label") for shape in read_object(file).objects("shapes")]
    except InputError:
        return []


def _evidence(folder: Path, readers: list[FindSplits]) -> str:
    """What makes a folder a set; empty if nothing does."""
    try:
        parts = [one for several in part_folders(folder).values() for one in several]
        pictured = [one.name for one in parts if pictures_below(one, first=True)]
        if pictured:
            return f"{pictured[0]}/ in it"
        for claim in claims_of(folder):
            sure = claim.strength >= Strength.DECLARED
            if claim.parts and (sure or (claim.strength and _tells_of_most(folder))):
                return claim.evidence
        lists = next((found for find in readers if (found := find(folder))), {})
    except (InputError, OSError):
        return ""  # Reported if the folder is named, or by the ledger if it cannot be read.
    part = next(iter(lists.values()), None)
    return f"its list {part.where.name}" if part is not None and len(part.order) > 1 else ""


def _tells_of_most(folder: Path) -> bool:
    """Whether half of a folder's images, or more, have a file of their names."""
    told, pictures = count_described(folder)
    return 2 * told >= max(pictures, 1)
