"""Folders in a folder that are data sets of their own, and so no classes of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from datasets.boxes.opening import claims_of
from datasets.boxes.tree import count_described
from datasets.claims import Strength
from datasets.errors import InputError
from datasets.images import pictures_below
from datasets.labels.structure import Part
from datasets.part_names import part_folders

FindSplits = Callable[[Path], Mapping[str, Part]]
# A folder that holds more folders than this is not searched for sets: classes are many.
_MOST_FOLDERS = 50


def sets_within(folders: Iterable[Path], readers: Iterable[FindSplits]) -> dict[Path, str]:
    """Those of some folders that are sets, with what shows it; a stray file makes none.

    Args:
        folders: Folders beside each other.
        readers: Readers of formats with lists or file names.
    """
    inner, known = [*folders], [*readers]
    if len(inner) > _MOST_FOLDERS:
        return {}
    found = {folder: _evidence(folder, known) for folder in inner}
    return {folder: evidence for folder, evidence in found.items() if evidence}


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
        return ""  # What is damaged is told when it is named, and what is shut, by the ledger.
    part = next(iter(lists.values()), None)
    return f"its list {part.where.name}" if part is not None and len(part.order) > 1 else ""


def _tells_of_most(folder: Path) -> bool:
    """Whether half of a folder's images, or more, have a file of their names."""
    told, pictures = count_described(folder)
    return 2 * told >= max(pictures, 1)
