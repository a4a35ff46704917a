"""Labelled images of any format written as a folder per class or as shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from datasets.errors import InputError
from datasets.findings import first_of
from datasets.images import is_passed_over
from datasets.kind import Written
from datasets.labels.opening import open_labelled_parts
from datasets.labels.structure import LabelledData
from datasets.ledger import note_dropped, untraced
from datasets.names import is_file, shown
from datasets.part_names import is_no_class
from datasets.shards.finding import find_shard_parts
from datasets.shards.photos import list_photos
from datasets.shards.tar import open_shards
from datasets.shards.writing import write_shards
from datasets.types import WORDNET, ClassMap
from datasets.written_pictures import PictureWriter, unique_names

Parts = Mapping[str, LabelledData]
_LIST = "synsets.txt"
# Bytes of a file name that file systems allow.
_LONGEST = 255


def open_parts(path: Path) -> dict[str, LabelledData]:
    """All parts of a set, also where it lies in shards.

    Raises:
        InputError: If it cannot be read.
    """
    labelled = open_labelled_parts(path)
    if labelled:
        return labelled
    shards = find_shard_parts(path) or {"train": path}
    return {split: list_photos(open_shards(place)) for split, place in shards.items()}


def write_labels(
    describe: Callable[[str, LabelledData, Path, PictureWriter], None],
    parts: Parts,
    folder: Path,
    *,
    link: bool,
) -> Written:
    """Write all parts of a set, each into a folder of its name.

    Args:
        describe: Writes one part, of a name, below a folder.
        parts: Parts of the data set, by ``train``, ``val`` and ``test``.
        folder: Existing, empty folder.
        link: Link the images instead of copying them, where both are files.

    Raises:
        InputError: If there is no image, an image cannot be written, or the classes cannot be
            folders.
    """
    notes, there = list[str](), dict[str, LabelledData]()
    for split, data in parts.items():
        files = data.files.tolist()
        lost = np.array([data.in_files and not is_file(f) for f in files], dtype=np.bool_)
        if lost.any():
            note_dropped(data.files[lost].tolist(), "images left out, whose file is missing")
            names = first_of(data.files[lost].tolist())
            notes.append(f"{split}: {lost.sum()} images left out, whose file is missing: {names}")
        there[split] = data.select(~lost) if lost.any() else data
        if not len(there[split]) and split == "test" and len(there) > 1:
            notes.append("test: left out: none of its images is there")
            del there[split]
            continue
        if not len(there[split]):
            raise InputError(f"{data.root}: no image of the part {split} is there")
        if data.boxes is not None:
            notes.append(f"{split}: {len(data.boxes)} boxes left out, which it cannot hold")
    with PictureWriter(sum(map(len, there.values())), link=link) as pictures:
        for split, data in there.items():
            describe(split, data, folder, pictures)
    counts = {}
    with untraced():
        read = open_parts(folder)
    for split, back in read.items():
        notes += [f"{split}: {note}" for note in _changes(there[split], back)]
        counts[split] = {"images": len(back)}
    return Written(counts, len(next(iter(there.values())).classes), tuple(dict.fromkeys(notes)))


def _changes(before: LabelledData, after: LabelledData) -> list[str]:
    """What changed on the way; raises RuntimeError if an image or its class is lost."""
    mine, theirs = before.classes, after.classes
    if sorted(before.counts[before.counts > 0]) != sorted(after.counts[after.counts > 0]):
        raise RuntimeError(f"{before.counts} images were written, {after.counts} are read")
    told = []
    if set(mine.names) != set(theirs.names):
        told.append(f"classes are read with other names: {first_of(theirs.names)}")
    elif mine.names != theirs.names:
        told.append(f"classes are read in another order: {first_of(theirs.names)}")
    ids = dict(zip(theirs.names, theirs.ids, strict=True))
    other = sum(ids.get(name, k) != k for k, name in zip(mine.ids, mine.names, strict=True))
    return [*told, f"{other} classes get other ids"] if other else told


def write_folders(split: str, data: LabelledData, folder: Path, pictures: PictureWriter) -> None:
    """Write a folder per class, and ``synsets.txt`` if names alone do not determine their order.

    Raises:
        InputError: If two classes would have the same folder.
    """
    keys = _folder_names(data.classes)
    if len({key.lower() for key in keys}) < len(keys):
        raise InputError(
            f"{data.root}: two classes would be one folder: their names differ in letters' case "
            "or odd signs alone; rename them"
        )
    for key in keys:
        if len(os.fsencode(key)) > _LONGEST:
            raise InputError(f"{data.root}: class {key[:40]}...: too long for a folder; rename it")
    if keys != sorted(data.classes.names) or 0 in data.counts:
        rows = zip(keys, data.classes.names, strict=True)
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{key} {' '.join(name.splitlines())}\n" for key, name in rows)
        (folder / _LIST).write_text(text, encoding="utf-8")
    taken: dict[int, set[str]] = {}
    for index, (file, label) in enumerate(
        zip(data.files.tolist(), data.labels.tolist(), strict=True)
    ):
        content, suffix = (b"", "") if data.in_files else data.content(index)
        name = file if data.in_files else f"{index:08d}{suffix}"
        (unique,) = unique_names([name], taken.setdefault(label, set()))
        target = folder / split / keys[label] / unique
        if data.in_files:
            pictures.add(file, target)
        else:
            pictures.add_content(content, target)


def _folder_names(classes: ClassMap) -> list[str]:
    """WordNet ids where the classes have them; else names without blanks and separators."""
    if all(number in WORDNET for number in classes.ids):
        return [f"n{number:08d}" for number in classes.ids]
    names = []
    for name in classes.names:
        plain = "".join(
            sign if sign.isprintable() and sign not in " /\\" else "_" for sign in shown(name)
        )
        odd = not plain or is_passed_over(plain) or is_no_class(plain)
        names.append(f"class_{plain}" if odd else plain)
    return names


def write_tars(split: str, data: LabelledData, folder: Path, _: PictureWriter) -> None:
    """Write shards and the list of their classes."""
    write_shards(data, folder / split)


TARGETS = {"folders": write_folders, "shards": write_tars}
