"""A folder per class: ImageNet's layout, and any folder of folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from datasets.errors import InputError, NotRecognised
from datasets.images import SUFFIXES, UNREAD_SUFFIXES, is_passed_over, pictures_below
from datasets.labels.structure import Part, name_classes, nearest
from datasets.names import leads_to_folder
from datasets.part_names import is_no_class, named_after_parts, part_folders
from datasets.text import read_head, read_text

# A part of a set that can be a class, too, beside others: a folder of trains.
_CAN_BE_CLASS = frozenset({"train"})
# Suffixes of images, readable or not, and of files that may contain some.
_PICTURED = frozenset((*SUFFIXES, *UNREAD_SUFFIXES, ".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"))
# Lists of all classes, "n01440764 tench" per line in column order.
_LISTS = ("synsets.txt", "LOC_synset_mapping.txt")


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder; empty if its folders hold no images.

    The columns are those of ``synsets.txt`` where it lies in the folder (all its classes, even
    if folders lack some), else the sorted folder names of the training part.

    Raises:
        InputError: If a class folder is in no list, or in the validation part alone; or if the
            folders are parts under other names.
    """
    if not path.is_dir():
        return {}
    found = {}
    for split, folders in part_folders(path).items():
        holding = [folder for folder in folders if class_folders(folder)]
        if holding:
            found[split] = holding[0]
    if not found and (names := class_folders(path)):
        if parts := named_after_parts(names):
            raise NotRecognised(
                path,
                f"{' and '.join(parts[:2])} are parts by their names, and no classes; if each "
                "holds a folder per class, call them train and val",
            )
        found = {"train": path}
    if not found:
        return {}
    listed = next((path / name for name in _LISTS if (path / name).is_file()), None)
    if listed:
        named = read_names(listed)
        order, classes = tuple(named), name_classes(list(named), named)
    else:
        order = tuple(class_folders(next(iter(found.values()))))
        classes = name_classes(order)
    for split, folder in found.items():
        later = split == "test" and "val" in found  # Told to those who ask for it.
        for name in () if later else class_folders(folder):
            if name not in order:
                where = listed.name if listed else f"{next(iter(found.values())).name}/"
                hint = nearest(name, order)
                raise InputError(f"{folder}: class folder {name!r} is not in {where}{hint}")
    told = () if listed is None else (listed,)
    return {
        split: Part("folders", partial(_photos, folder), order, classes, folder, told)
        for split, folder in found.items()
    }


def _photos(folder: Path) -> Iterator[tuple[str, str]]:
    for name in tqdm(class_folders(folder), "listing", unit="class", delay=2):
        for file in pictures_below(folder / name):
            yield file, name


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, if any of them holds an image; else empty.

    Folders that hold only other files are left out. It is empty, too, if some have names of parts
    of a data set or of kinds of files, or if one describes images that are elsewhere.
    """
    if not folder.is_dir():
        return []
    names = sorted(
        entry.name
        for entry in os.scandir(folder)
        if leads_to_folder(entry) and not is_passed_over(entry.name) and not _leads_up(entry)
    )
    odd = {name.lower() for name in names if is_no_class(name)}
    if odd - _CAN_BE_CLASS or (odd and len(names) < 3):
        return []
    if any(_is_annotation(folder / name) for name in names):
        return []
    if not any(pictures_below(folder / name, first=True) for name in names):
        return []
    return [name for name in names if not _is_other(f"{folder}{os.sep}{name}")]


def _is_other(folder: str) -> bool:
    """Whether a folder holds only files without images: documents, programs, logs.

    An empty folder may be a class that is still to be filled, so it is none of these.
    """
    waiting, holds = [folder], False
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (millions)
                    if suffix in _PICTURED:
                        return False
                    if leads_to_folder(entry):
                        waiting += [] if entry.is_symlink() else [entry.path]
                    else:
                        holds = holds or not is_passed_over(entry.name)
        except OSError:  # The ledger reports what cannot be read.
            return False
    return holds


def _leads_up(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a link to a folder that it lies in: it would hold all classes again."""
    if not entry.is_symlink():
        return False
    target, folder = (
        Path(os.path.realpath(path)) for path in (entry.path, Path(entry.path).parent)
    )
    return folder.is_relative_to(target)


def _is_annotation(folder: Path) -> bool:
    """Whether a folder begins with an image's XML and holds no image: it is no class then."""
    try:
        with os.scandir(folder) as entries:
            first = next((entry.name for entry in entries if entry.is_file()), "")
    except OSError:
        return False
    if not first.lower().endswith(".xml") or any(pictures_below(folder, first=True)):
        return False
    head = read_head(folder / first)
    return b"<annotation" in head and b"<annotations" not in head


def read_names(file: Path) -> dict[str, str]:
    """Names by key of a text file with a key and a name per line, in the file's order.

    Of several names ("goldfish, Carassius auratus") the first is taken.

    Raises:
        InputError: If a line has no name, or a key stands twice; it names file and line.
    """
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        fields = line.split(maxsplit=1)
        if not fields:
            continue
        if len(fields) < 2:
            raise InputError(f"{file}: line {number}: no name behind {line.strip()!r}")
        if fields[0] in names:
            raise InputError(f"{file}: line {number}: {fields[0]} stands there twice")
        names[fields[0]] = fields[1].split(",")[0].strip()
    return names
