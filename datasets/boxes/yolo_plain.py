"""YOLO without ``data.yaml``: as labelImg, Label Studio and Darknet write it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from datasets.boxes import yolo
from datasets.boxes.listed_paths import locate
from datasets.boxes.structure import DetectionData
from datasets.boxes.yolo import Part
from datasets.boxes.yolo_labels import NAME_FILES, label_file, looks_like_labels
from datasets.errors import InputError
from datasets.fields import is_clean
from datasets.images import SUFFIXES
from datasets.part_names import folder_named, part_folders
from datasets.text import read_text
from datasets.types import ClassMap

# So many files are looked at to find one with boxes: most may be backgrounds.
_LOOKED_AT = 200


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder or Darknet's ``obj.data``; empty if no label file is found.

    Raises:
        InputError: If there are label files, but nothing names the classes.
    """
    data = path if path.suffix == ".data" and path.is_file() else _data_file(path)
    if data is not None:
        return _darknet(data)
    if not path.is_dir():
        return {}
    sources = _sources(path)
    labelled = next((file for one in sources.values() for file in _label_files(one)), None)
    if labelled is None:
        return {}
    places = [path, *(folder for one in sources.values() for folder in (one, one.parent))]
    places += [labelled.parent, labelled.parent.parent]
    found = (file for place in places for name in NAME_FILES for file in sorted(place.glob(name)))
    names = next(found, None)
    if names is None:
        raise InputError(
            f"{path}: {labelled.relative_to(path)} is a YOLO label file, but nothing names the "
            "classes: add classes.txt with a name per line, in the order of their numbers, or "
            "data.yaml"
        )
    classes = _read_names(names)
    return {split: Part((folder,), classes) for split, folder in sources.items()}


def read(root: Path, part: Part) -> DetectionData:
    """Read the label files of a split; as :func:`datasets.boxes.yolo.read`."""
    return yolo.read(root, part)


def _sources(path: Path) -> dict[str, Path]:
    """Folders of pictures by split: images/train, train/images, train, images or the path."""
    images = folder_named(path, "images")
    for parent in (images, path):
        parts = {} if parent is None else part_folders(parent)
        if parts:
            first = {split: folders[0] for split, folders in parts.items()}
            return {split: folder_named(one, "images") or one for split, one in first.items()}
    return {"train": images or path}


def _label_files(folder: Path) -> Iterator[Path]:
    """Label files with boxes of the pictures of a folder."""
    pictures = (file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES)
    return filter(looks_like_labels, map(label_file, islice(pictures, _LOOKED_AT)))


def _data_file(folder: Path) -> Path | None:
    """Darknet's ``obj.data``: it names the list of training images and the file of names."""
    for file in sorted(folder.glob("*.data")) if folder.is_dir() else []:
        if file.is_file() and b"=" in (head := file.read_bytes()[:4096]) and b"names" in head:
            return file
    return None


def _darknet(file: Path) -> dict[str, Part]:
    """Parts of a Darknet data file.

    Raises:
        InputError: If it lacks the names or the list, or what it names is not there.
    """
    fields = dict[str, str]()
    for line in read_text(file).splitlines():
        key, _, value = line.partition("#")[0].partition("=")
        fields[key.strip()] = value.strip()
    bases = (file.parent, file.parent.parent)

    def find(key: str) -> Path:
        written = fields.get(key, "")
        found = locate(written, bases, least=1) if written and is_clean(written) else None
        if found is None or not found.is_file():
            raise InputError(f"{file}: {key} = {written[:80]}: no such file in {file.parent}")
        return found

    classes = _read_names(find("names"))
    keys = {"train": "train", "val": "valid" if fields.get("valid") else "test"}
    return {
        split: Part((find(key),), classes, bases)
        for split, key in keys.items()
        if split == "train" or fields.get(key)
    }


def _read_names(file: Path) -> ClassMap:
    """Class names, one per line, numbered from 0.

    Raises:
        InputError: If it holds none, or one twice.
    """
    names = [line.strip() for line in read_text(file).splitlines()]
    names = [name for name in names if name]
    if not names:
        raise InputError(f"{file}: names no class; write one name per line")
    try:
        return ClassMap.from_names(names, first=0)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error
