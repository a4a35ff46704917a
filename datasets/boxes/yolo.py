"""YOLO: ``data.yaml``, ``images/`` and ``labels/*.txt`` (class cx cy w h, relative)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.described import size_of
from datasets.boxes.listed_paths import Finder, locate
from datasets.boxes.shapes import Shape, Shapes, are_kept
from datasets.boxes.structure import DetectionData, assemble
from datasets.boxes.tree import Tree
from datasets.boxes.yolo_labels import label_file, read_rows, read_shapes
from datasets.claims import Claim, Strength
from datasets.errors import InputError
from datasets.fields import Fields, as_whole, is_clean
from datasets.findings import Finding, first_of
from datasets.images import find_images
from datasets.names import entries_like, is_folder, is_there
from datasets.parallel import in_threads
from datasets.text import read_head, read_text
from datasets.types import ClassMap
from datasets.yaml_files import read_yaml

_PARTS = (("train", ("train",)), ("val", ("val", "valid")), ("test", ("test",)))
_SUFFIXES = (".yaml", ".yml")
_NAMES, _SPLITS = (
    re.compile(rf"(?:^|[\s{{,])[\"']?(?:{keys})[\"']?\s*:", re.MULTILINE)
    for keys in ("names|nc", "train|val|valid|test")
)


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        sources: Folders of images, and lists of them.
        classes: Names by the numbers in label files.
        bases: Folders that the lines of lists may be relative to.
        keypoints: Numbers of keypoints behind each box.
        each: Numbers of each keypoint, 2 or 3.
        labels: Folder below which the label files lie, where the images lie elsewhere.
    """

    sources: tuple[Path, ...]
    classes: ClassMap
    bases: tuple[Path, ...] = ()
    keypoints: int = 0
    labels: Path | None = None
    each: int = 0


def claim(tree: Tree) -> Claim | None:
    """``data.yaml``, in a folder or named itself.

    Raises:
        InputError: If ``data.yaml`` is there but cannot be understood.
    """
    named = tree.path.is_file() and tree.path.suffix.lower() in _SUFFIXES
    file = tree.path if named else _data_file(tree.path)
    if file is None:
        return None
    content = read_yaml(file)
    classes = _names(content)
    base = file.parent / (_texts(content, "path") or ["."])[0]
    bases = (*([base] if is_folder(base) else []), file.parent, file.parent.parent)
    if tree.images is not None:
        bases = (tree.images, tree.images.parent, *bases)
    keypoints, each = _keypoints(content)
    found: dict[str, Part] = {}
    written_parts = [key for _, keys in _PARTS for key in keys if _texts(content, key)]
    for split, keys in _PARTS:
        for key in keys:
            written = _texts(content, key)
            if written and split not in found:
                alone = tree.images if len(written_parts) == 1 else None
                try:
                    sources = _sources(file, key, written, bases[:-1], tree.images, alone)
                except InputError:
                    if split == "test" and "val" in found:  # Exports name what they leave out.
                        continue
                    raise
                labels = None if tree.images is None else file.parent
                found[split] = Part(sources, classes, bases, keypoints, labels, each)
    if not found:
        raise InputError(f"{file}: no 'train': name the folder of the images there")
    evidence = f"{file.name} names classes and parts"
    return Claim(
        format="yolo",
        strength=tree.strength(Strength.DECLARED),
        evidence=evidence,
        parts=found,
    )


def _data_file(folder: Path) -> Path | None:
    """The first YAML file that names classes and parts, as its author means it."""
    for file in entries_like(folder, "data.yaml", "data.yml", "*.yaml", "*.yml"):
        if file.is_file():
            text = read_head(file, 2**20).decode(errors="replace")
            named, parted = _NAMES.search(text), _SPLITS.search(text)
            if (named or parted) if file.stem.lower() == "data" else (named and parted):
                return file
    return None


def _texts(content: Fields, key: str) -> list[str]:
    """A text or several; none where the field is left empty."""
    value = content.values.get(key)
    entries = value if isinstance(value, list) else [value]
    entries = [one for one in entries if one not in (None, "", "~", "null", "Null", "NULL")]
    found = [one for one in entries if isinstance(one, str) and is_clean(one)]
    if len(found) < len(entries):
        raise content.error(key, "a path or a list of paths is needed")
    return found


def _names(content: Fields) -> ClassMap:
    """Class names: a list, or names by number, or (which some write) numbers by name.

    Raises:
        InputError: If they are something else, or not as many as ``nc`` says.
    """
    names = content.values.get("names")
    if isinstance(names, dict):
        rows = list(names.items())
        if not all(_is_number(key) for key, _ in rows):
            rows = [(number, name) for name, number in rows]
        if not rows or not all(_is_number(key) and _is_name(name) for key, name in rows):
            raise content.error("names", "a name for each class number is needed")
        pairs = sorted((as_whole(key) or 0, str(name)) for key, name in rows)
    elif isinstance(names, list) and names and all(_is_name(name) for name in names):
        pairs = list(enumerate(names))
    elif isinstance(names, list):
        raise content.error("names", "a list of class names is needed")
    elif names not in (None, ""):
        raise content.error("names", "a list of class names, as [cat, dog], is needed")
    else:
        raise InputError(
            f"{content.file}: no 'names': list the class names there, in the order of their ids"
        )
    if content.values.get("nc"):
        count = content.whole("nc")
        if count not in (len(pairs), pairs[-1][0] + 1):
            raise content.error("nc", f"but 'names' holds {len(pairs)}; which is right?")
    try:
        return ClassMap(tuple(k for k, _ in pairs), tuple(name for _, name in pairs))
    except ValueError as error:
        raise InputError(f"{content.file}: names: {error}") from error


def _is_number(value: object) -> bool:
    number = as_whole(value)
    return number is not None and 0 <= number < 2**31


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and is_clean(value)


def _keypoints(content: Fields) -> tuple[int, int]:
    """Numbers of keypoints in each line, and of each: ``kpt_shape`` is points and the latter."""
    if not content.has("kpt_shape"):
        return 0, 0
    points, each = content.numbers("kpt_shape", 2, "two numbers, of points and their dimensions,")
    if each not in (2, 3) or not 0 < points < 10_000 or points % 1:
        raise content.error("kpt_shape", "points, and 2 or 3 dimensions, are needed")
    return int(points * each), int(each)


def _sources(
    file: Path,
    key: str,
    written: Sequence[str],
    bases: Sequence[Path],
    images: Path | None,
    alone: Path | None,
) -> tuple[Path, ...]:
    """Folders or list files of a split; Roboflow writes paths that are one folder off.

    Args:
        file: ``data.yaml``.
        key: The split's field.
        written: What stands in it.
        bases: Folders that it may be relative to.
        images: Folder of the images where the user named one: a last name may lie in it.
        alone: Folder to use if there is only one split.
    """
    found: list[Path] = []
    for one in written:
        there = locate(one, bases) or (images and locate(one, [images], least=1)) or alone
        if there is None:
            raise InputError(f"{file}: {key}: {one}: no such folder or list below {bases[0]}")
        found.append(there)
    return tuple(found)


def read(root: Path, part: Part) -> DetectionData:
    """Read the label files of a split; an image without one has no objects.

    Boxes are drawn on the image as its EXIF tag turns it, as the format's tools do.

    Raises:
        InputError: If a line is not five numbers or names a class that is not listed; it names
            file and line.
    """
    files = [file for source in part.sources for file in _images(source, part.bases)]
    sizes = in_threads(partial(size_of, upright=True), files, "reading sizes", unit="file")
    label = {category: k for k, category in enumerate(part.classes.ids, start=1)}
    labels: list[list[int]] = []
    boxes: list[NDArray[np.float64]] = []
    described = [label_file(file) for file in files]
    if part.labels is not None:
        finder = Finder(part.labels, suffixes=(".txt",))
        named = ((file, "/".join(file.with_suffix(".txt").parts[-3:])) for file in files)
        described = [finder.find(name, str(file)) or label_file(file) for file, name in named]
    shapes: list[Shape | None] = []
    for file, size in zip(described, sizes, strict=True):
        rows = read_rows(file, label, part.keypoints)
        if are_kept():
            shapes += read_shapes(file, part.keypoints, part.each, size)
        labels.append([int(row[0]) for row in rows])
        boxes.append(_to_pixels(rows[:, 1:], size))
    data = assemble(
        format="yolo",
        root=root,
        files=[str(file) for file in files],
        sizes=sizes,
        boxes=boxes,
        labels=labels,
        crowd=[[False] * len(one) for one in labels],
        classes=part.classes,
        upright=True,
        told=_without_labels(root, files, described) if files else [_no_images(root, part)],
    )
    return replace(data, shapes=Shapes.of(shapes)) if are_kept() else data


def _no_images(root: Path, part: Part) -> Finding:
    places = ", ".join(map(str, part.sources))
    return Finding("no images", "refused", str(root), None, f"there is none in {places}")


def _without_labels(root: Path, files: list[Path], described: list[Path]) -> list[Finding]:
    """Images that no label file belongs to: backgrounds, or not labelled yet."""
    bare = [file for file, labels in zip(files, described, strict=True) if not is_there(labels)]
    if not bare:
        return []
    looked = described[files.index(bare[0])]
    names = first_of([file.name for file in bare])
    detail = f"{len(bare)} of {len(files)}, taken for backgrounds (no {looked}): {names}"
    return [Finding("images without label file", "kept", str(root), None, detail)]


def _images(source: Path, bases: Sequence[Path]) -> list[Path]:
    """Images of a folder, or of the lines of a list."""
    if source.is_dir():
        return find_images(source)
    lines = [line.strip() for line in read_text(source).splitlines()]
    found = []
    for line in lines:
        if not is_clean(line):
            raise InputError(f"{source}: {line[:80]!r} cannot be a path; is it a list of images?")
        if line:
            found.append(locate(line, (source.parent, *bases)) or source.parent / line)
    return found


def _to_pixels(relative: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Cx cy w h in 0..1 to x1 y1 x2 y2 in pixels."""
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        half = relative[:, 2:] / 2
        corners = np.concatenate((relative[:, :2] - half, relative[:, :2] + half), axis=1)
        return corners * np.array([*size, *size], dtype=np.float64)
