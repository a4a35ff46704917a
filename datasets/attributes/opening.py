"""Recognises folders of face attributes."""

from __future__ import annotations

from pathlib import Path

from datasets.attributes import celeba, lfwa, utkface
from datasets.attributes.structure import AttributeParts, arrange
from datasets.errors import InputError, NotRecognised
from datasets.ledger import note_entries

# Common names of the formats.
READERS = {"CelebA": celeba, "LFWA": lfwa, "UTKFace": utkface}
LAYOUTS = (
    f"{celeba.IMAGES}/ and {celeba.ATTRIBUTE_LIST}.txt (CelebA), or {lfwa.ATTRIBUTE_FILE} beside "
    "lfw/ (LFWA), or images named age_gender_ethnicity_time (UTKFace)"
)


def recognise_attributes(path: Path, *, whole: bool = False) -> AttributeParts | None:
    """Read a folder, with parts from :func:`arrange`; None if it is in no known layout.

    Args:
        path: Folder of the data set.
        whole: Whether to hold nothing out.

    Raises:
        InputError: If it is damaged.
    """
    found = celeba.read(path) or lfwa.read(path) or utkface.read(path)
    if found is None:
        return None
    note_entries(found[0].files.tolist())
    return arrange(*found, whole=whole)


def holds_attributes(path: Path) -> bool:
    """Whether a folder is in one of the layouts, according to its file names."""
    return attribute_list(path) is not None or utkface.holds(path)


def attribute_list(path: Path) -> Path | None:
    """The list of attributes of CelebA or LFWA in a folder; None if there is none."""
    lists = (celeba.find_list(path, celeba.ATTRIBUTE_LIST), path / lfwa.ATTRIBUTE_FILE)
    return next((file for file in lists if file is not None and file.is_file()), None)


def open_attributes(path: Path, *, whole: bool = False) -> AttributeParts:
    """Read a folder as :func:`recognise_attributes` does.

    Args:
        path: Folder of the data set.
        whole: Whether to hold nothing out.

    Raises:
        InputError: If the folder is missing, damaged or not recognised; the message states what is
            needed.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder")
    if (found := recognise_attributes(path, whole=whole)) is not None:
        return found
    raise NotRecognised(
        path,
        f"not recognised as face attributes. It should hold {LAYOUTS}; images without labels can "
        "be trained on with a --teacher, where --val names others",
    )
