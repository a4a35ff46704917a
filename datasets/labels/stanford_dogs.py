"""Stanford Dogs: breed folders, XML boxes without suffix, and lists as MATLAB files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.boxes.voc import parse_xml
from datasets.errors import InputError
from datasets.images import pictures_below
from datasets.labels.folders import class_folders
from datasets.labels.structure import Part, name_classes
from datasets.matlab import NewerFileError, read_mat
from datasets.names import is_file

_LISTS = {"train": "train_list.mat", "test": "test_list.mat"}
# Where the three archives of the set are usually unpacked to.
_LAYOUTS = (
    ("Images", "Annotation", "."),
    ("Images", "Annotation", "lists"),
    ("images/Images", "annotations/Annotation", "."),
    ("images/Images", "annotations/Annotation", "lists"),
)


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder; empty if it is not the Dogs layout.

    The test list serves for validation. Without lists all images are one training part.

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
    found = {}
    for split, part in names.items():
        boxes = [path / xmls / Path(name).with_suffix("") for name in part]
        found[split] = Part(
            format="stanford_dogs",
            photos=partial(_photos, folder, part),
            order=order,
            classes=classes,
            where=folder,
            annotations=[*boxes, *([files[split]] if files[split].is_file() else [])],
            boxes=partial(_boxes, boxes) if (path / xmls).is_dir() else None,
        )
    return found


def _photos(folder: Path, names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(str(folder / name), name.partition("/")[0]) for name in names]


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


def _boxes(files: list[Path]) -> NDArray[np.float64]:
    """Of XML files; raises InputError if one is damaged."""
    boxes = [_box(file) for file in tqdm(files, "reading boxes", unit="file", delay=2)]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _box(file: Path) -> tuple[float, ...]:
    """The box around all boxes of a file; NaN if there is none."""
    boxes = parse_xml(file, None).boxes if is_file(file) else np.zeros((0, 4))
    if not len(boxes):
        return (float("nan"),) * 4
    return (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
