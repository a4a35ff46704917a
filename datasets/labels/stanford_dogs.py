"""Stanford Dogs: breed folders, XML boxes without suffix, and lists as MATLAB files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.boxes.voc import parse_xml
from datasets.errors import InputError
from datasets.images import pictures_below
from datasets.labels.folders import class_folders
from datasets.labels.structure import LabelledData, assemble, name_classes
from datasets.matlab import NewerFileError, read_mat
from datasets.types import ClassMap

_LISTS = {"train": "train_list.mat", "val": "test_list.mat"}
# Where the three archives of the set are usually unpacked to.
_LAYOUTS = (
    ("Images", "Annotation", "."),
    ("Images", "Annotation", "lists"),
    ("images/Images", "annotations/Annotation", "."),
    ("images/Images", "annotations/Annotation", "lists"),
)


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        images: Holds the breed folders.
        annotations: Holds the same folders with XML files; may be missing.
        names: ``n02085620-Chihuahua/n02085620_5927.jpg`` and so on.
        order: Breed folders, sorted as the lists number them.
        classes: The part behind the dash, and the WordNet number.
    """

    images: Path
    annotations: Path
    names: tuple[str, ...]
    order: tuple[str, ...]
    classes: ClassMap


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder; empty if it is not the Dogs layout.

    The test list serves for validation. Without lists all pictures are one training part.

    Raises:
        InputError: If a list cannot be read.
    """
    for images, xmls, lists in _LAYOUTS:
        files = {split: path / lists / name for split, name in _LISTS.items()}
        names = {split: _read_list(file) for split, file in files.items() if file.is_file()}
        folder = path / images
        if folder.is_dir() and (names or (path / xmls).is_dir()):
            break
    else:
        return {}
    if not names:
        below = [Path(f) for name in class_folders(folder) for f in pictures_below(folder / name)]
        names = {"train": tuple(f.relative_to(folder).as_posix() for f in below)}
    order = tuple(sorted({name.partition("/")[0] for part in names.values() for name in part}))
    classes = name_classes(order, {name: name.partition("-")[2] or name for name in order})
    return {
        split: Part(folder, path / xmls, part, order, classes) for split, part in names.items()
    }


def _read_list(file: Path) -> tuple[str, ...]:
    try:
        content = read_mat(file, ("file_list",))
    except NewerFileError as error:
        raise InputError(f"{file}: is in MATLAB's version 7.3; save it by 'save -v7'") from error
    if "file_list" not in content:
        raise InputError(f"{file}: no 'file_list' in it")
    names = content["file_list"]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{file}: 'file_list' is no list of names")
    return tuple(names)


def read(root: Path, part: Part) -> LabelledData:
    """Put the names of a split into the flat structure, with boxes where there are XML files.

    Raises:
        InputError: If an XML file is damaged.
    """
    data = assemble(
        format="stanford_dogs",
        root=root,
        files=[str(part.images / name) for name in part.names],
        keys=[name.partition("/")[0] for name in part.names],
        order=part.order,
        classes=part.classes,
        where=part.images,
    )
    if not part.annotations.is_dir():
        return data
    xmls = [part.annotations / Path(name).with_suffix("") for name in part.names]
    boxes = [_box(file) for file in tqdm(xmls, "reading boxes", unit="file", delay=2)]
    return replace(data, boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4))


def _box(file: Path) -> tuple[float, ...]:
    """The box around all boxes of a file; NaN if there is none."""
    boxes = parse_xml(file, None).boxes if file.is_file() else np.zeros((0, 4))
    if not len(boxes):
        return (float("nan"),) * 4
    return (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
