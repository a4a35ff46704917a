"""YOLO without ``data.yaml``: as labelImg, Label Studio and Darknet write it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from datasets.boxes.listed_paths import locate
from datasets.boxes.tree import Tree
from datasets.boxes.yolo import Part
from datasets.boxes.yolo_labels import NAME_FILES, label_file, looks_like_labels, read_names
from datasets.claims import Claim, Strength
from datasets.errors import InputError
from datasets.fields import is_clean
from datasets.images import SUFFIXES
from datasets.names import entries_like
from datasets.part_names import folder_named, part_folders
from datasets.text import read_head, read_text

# So many files are looked at to find one with boxes: most may be backgrounds.
_LOOKED_AT = 200


def claim(tree: Tree) -> Claim | None:
    """Label files beside images, or Darknet's ``obj.data``, in a folder or named itself."""
    path = tree.path
    data = path if path.suffix.lower() == ".data" and path.is_file() else _data_file(path)
    if data is not None:
        return Claim(
            format="darknet",
            strength=tree.strength(Strength.DECLARED),
            evidence=f"{data.name} names classes and lists",
            parts=_darknet(data),
        )
    if not path.is_dir():
        return None
    sources = _sources(path, tree.images)
    labels = None if tree.images is None else path
    files: Iterator[Path]
    if labels is None:
        files = (file for one in sources.values() for file in _label_files(one))
    else:
        files = filter(looks_like_labels, tree.files(".txt")[:_LOOKED_AT])
    labelled = next(files, None)
    if labelled is None:
        return _near(path)
    places = [path, *(folder for one in sources.values() for folder in (one, one.parent))]
    places += [labelled.parent, labelled.parent.parent]
    found = (file for place in places for file in entries_like(place, *NAME_FILES))
    names = next(found, None)
    evidence = f"{tree.name_of(labelled)} is a YOLO label file"
    if names is None:
        lacks = (
            "but nothing names the classes: add classes.txt with a name per line, in the order of "
            "their numbers, or data.yaml"
        )
        return Claim(format="darknet", strength=Strength.PLAIN, evidence=evidence, lacks=lacks)
    classes = read_names(names)
    return Claim(
        format="darknet",
        strength=Strength.DESCRIBED,
        evidence=f"{evidence}, {tree.name_of(names)} names classes",
        parts={split: Part((one,), classes, labels=labels) for split, one in sources.items()},
    )


def _near(path: Path) -> Claim | None:
    """Folders as YOLO calls them, without what belongs into them."""
    images, labels = folder_named(path, "images"), folder_named(path, "labels")
    if images is None or labels is None:
        return None
    return Claim(
        format="yolo",
        strength=Strength.NEAR,
        evidence=f"there are {images.name}/ and {labels.name}/",
        lacks=f"but no {labels.name}/*.txt with lines of class cx cy w h belongs to an image",
    )


def _sources(path: Path, elsewhere: Path | None) -> dict[str, Path]:
    """Folders of images by split: images/train, train/images, train, images or the path."""
    images = elsewhere or folder_named(path, "images")
    for parent in (images, path):
        parts = {} if parent is None else part_folders(parent)
        if parts:
            first = {split: folders[0] for split, folders in parts.items()}
            return {split: folder_named(one, "images") or one for split, one in first.items()}
    return {"train": images or path}


def _label_files(folder: Path) -> Iterator[Path]:
    """Label files with boxes of the images of a folder."""
    pictures = (file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES)
    return filter(looks_like_labels, map(label_file, islice(pictures, _LOOKED_AT)))


def _data_file(folder: Path) -> Path | None:
    """Darknet's ``obj.data``: it names the list of training images and the file of names."""
    for file in entries_like(folder, "*.data"):
        if file.is_file() and b"=" in (head := read_head(file)) and b"names" in head:
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

    classes = read_names(find("names"))
    keys = {"train": "train", "val": "valid", "test": "test"}
    return {
        split: Part((find(key),), classes, bases)
        for split, key in keys.items()
        if split == "train" or fields.get(key)
    }
