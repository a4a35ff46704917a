"""KITTI's object labels: ``label_2/*.txt`` of 15 columns beside ``image_2/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from datasets.boxes.described import Described, Told, gather, tell_unnamed
from datasets.boxes.listed_paths import Finder
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree, by_part, first_fields
from datasets.claims import Claim, Strength
from datasets.errors import InputError
from datasets.fields import as_number
from datasets.part_names import PART_NAMES
from datasets.text import read_text

# Folders of labels, and those of their images, by this format's tools.
_PAIRS = {"label_2": "image_2", "label": "image", "labels": "images"}
# A label has a score behind the columns where it is a prediction.
_COLUMNS = (15, 16)
_IGNORED = "DontCare"
# So many files are looked at to find one with boxes: most may be backgrounds.
_LOOKED_AT = 200


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        labels: Its label files.
        everything: Label files of all splits, which agree about the classes.
        pictures: Folders of images.
        lost: Names that lists have without label file, and label files that are in no part.
    """

    labels: tuple[Path, ...]
    everything: tuple[Path, ...]
    pictures: tuple[Path, ...]
    lost: tuple[str, ...]


def claim(tree: Tree) -> Claim | None:
    """Label files in folders called so; without images they only come near."""
    files = [file for file in tree.files(".txt") if file.parent.name in _PAIRS]
    evident = next((file for file in islice(files, _LOOKED_AT) if _looks_like_labels(file)), None)
    if evident is None:
        return None
    found = Claim(
        format="kitti",
        strength=tree.strength(Strength.DESCRIBED),
        evidence=f"{tree.name_of(evident)} has KITTI's {_COLUMNS[0]} columns",
    )
    files = [file for file in files if file.parent.name == evident.parent.name]
    folders = {one.parent.parent / _PAIRS[one.parent.name] for one in files}
    folders = {tree.images} if tree.images is not None else folders
    there = tuple(sorted(folder for folder in folders if folder.is_dir()))
    if not there:
        name = _PAIRS[evident.parent.name]
        lacks = f"but there is no {name}/ beside {evident.parent.name}/; or name it by --images"
        return replace(found, strength=Strength.NEAR, lacks=lacks)
    missing: list[str] = []
    listed = _listed(tree, files, missing)
    parts: Mapping[str, Sequence[Path]] = listed or by_part(tree.base, files)[0]
    used = {file for one in parts.values() for file in one}
    lost = (*missing, *(file.stem for file in files if file not in used))
    return replace(
        found,
        parts={name: Part(tuple(one), tuple(files), there, lost) for name, one in parts.items()},
    )


def _listed(tree: Tree, files: Sequence[Path], missing: list[str]) -> dict[str, list[Path]]:
    """Label files by ``ImageSets/train.txt``, ``val.txt`` and ``test.txt``, if these are there.

    That to test on counts only if there are label files for it, as the benchmark has none.
    """
    by_name = {file.stem: file for file in files}
    found: dict[str, list[Path]] = {}
    for file in tree.files(".txt"):
        part = file.stem.lower()
        if file.parent.name == "ImageSets" and part in PART_NAMES:
            names = read_text(file).split()
            labelled = [by_name[name] for name in names if name in by_name]
            if labelled or part != "test":
                found[part] = labelled
                missing += [name for name in names if name not in by_name]
    return found if found.get("train") else {}


def _looks_like_labels(file: Path) -> bool:
    """Whether the first line is a name and 14 or 15 numbers."""
    fields = first_fields(file)
    numbers = [as_number(field) for field in fields]
    return len(fields) in _COLUMNS and numbers[0] is None and None not in numbers[1:]


def read(root: Path, part: Part) -> DetectionData:
    """Read the label files of a split.

    What is marked DontCare is ignored by the evaluation whatever is found there: it becomes a
    crowd of every class.

    Raises:
        InputError: If a line has other columns; it names file and line.
    """
    told = Told(root)
    finders = {folder: Finder(folder) for folder in part.pictures}
    wanted, names = {*part.labels}, set[str]()
    pictures: list[Described] = []
    everything: list[Described] = []
    for file in part.everything:
        beside = file.parent.parent / _PAIRS[file.parent.name]
        folder = beside if beside in finders else part.pictures[0]
        found = finders[folder].find(file.stem, str(file))
        picture = Described(found or folder / f"{file.stem}.png")
        everything.append(picture)
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if line.strip():
                _add(picture, line, f"{file}:{number}")
        names |= {*picture.names}
        if file in wanted:
            pictures.append(picture)
    classes = sorted(names - {_IGNORED})
    for picture in pictures:
        _ignore(picture, classes, told)
    for name in part.lost:
        told.add("labels in no part", "dropped", name, "or listed without label file")
    tell_unnamed(told, part.pictures, everything, "label file")
    return gather("kitti", root, pictures, classes, told=told)


def _add(picture: Described, line: str, where: str) -> None:
    fields = line.split()
    edges = [as_number(field) for field in fields[4:8]]
    if len(fields) not in _COLUMNS or None in edges:
        raise InputError(
            f"{where}: {line[:80]!r} is no label of {_COLUMNS[0]} columns: class, truncation, "
            "occlusion, angle, left, top, right, bottom, and seven more"
        )
    picture.add([edge for edge in edges if edge is not None], fields[0])


def _ignore(picture: Described, classes: Sequence[str], told: Told) -> None:
    """Put a crowd of each class where nothing is to be looked for."""
    rows = list(zip(picture.boxes, picture.names, strict=True))
    picture.boxes, picture.names, picture.crowd, picture.areas = [], [], [], []
    for box, name in rows:
        if name == _IGNORED:
            told.add(f"{_IGNORED} regions", "kept", picture.file.name, "as crowds of every class")
        for one in classes if name == _IGNORED else [name]:
            picture.add(box, one, crowd=name == _IGNORED)
