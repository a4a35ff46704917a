"""Hugging Face's image folders: ``metadata.jsonl`` with ``objects`` beside the pictures.

``{"file_name": "0.png", "objects": {"bbox": [[x, y, width, height]], "categories": [0]}}``
"""

from __future__ import annotations

from pathlib import Path

from datasets.boxes.described import Described, Told
from datasets.boxes.listed_paths import Finder
from datasets.boxes.one_file import FilePart, claim_files, read_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.boxes.yolo_labels import NAME_FILES, read_names
from datasets.claims import Claim
from datasets.fields import Fields
from datasets.json_files import read_lines
from datasets.names import in_order
from datasets.text import read_head

_HEAD = 2**20
# Names by which sets call the list of classes.
_CLASSES = ("categories", "category", "labels", "label", "category_id", "class", "classes")


def claim(tree: Tree) -> Claim | None:
    """Files with the fields of objects. Raises InputError if several could be the same part."""
    files = [file for file in tree.files(".jsonl") if _has_boxes(file)]
    names = [
        one
        for name in NAME_FILES
        for one in (sorted(tree.path.glob(name)) if tree.path.is_dir() else ())
    ]
    return claim_files(
        "hugging_face",
        tree,
        files,
        "objects with bbox in each line",
        is_named=lambda file: file.name == "metadata.jsonl",
        names=names,
    )


def _has_boxes(file: Path) -> bool:
    head = read_head(file, _HEAD)
    return b'"file_name"' in head and b'"objects"' in head and b'"bbox"' in head


def read(root: Path, part: FilePart) -> DetectionData:
    """Read the lines of a split. Classes that are numbers are named so, or by classes.txt.

    Raises:
        InputError: If a line is damaged, or lacks a field; it names file, line and field.
    """
    listed = () if part.names is None else read_names(part.names).names

    def read_file(file: Path, finder: Finder, told: Told) -> list[Described]:
        return [_read_line(line, finder, listed, told) for line in read_lines(file)]

    def classes(used: set[str]) -> list[str]:
        return [*listed] if listed and used <= {*listed} else in_order(used)

    return read_files("hugging_face", root, part, read_file, by="line", classes=classes)


def _read_line(line: Fields, finder: Finder, listed: tuple[str, ...], told: Told) -> Described:
    name = line.text("file_name")
    picture = Described(finder.find(name, str(line)) or finder.near[0] / name)
    if line.has("width") and line.has("height"):
        picture.size = (line.whole("width"), line.whole("height"))
    if not line.has("objects"):
        picture.wanted = False
        told.add("lines without objects", "dropped", name, "not labelled yet")
        return picture
    objects = line.inner("objects")
    boxes = objects.values.get("bbox")
    key = next((one for one in _CLASSES if objects.has(one)), _CLASSES[0])
    kinds = objects.values.get(key)
    if not isinstance(boxes, list):
        raise objects.error("bbox", "a list of boxes x, y, width, height is needed")
    if not isinstance(kinds, list) or len(kinds) != len(boxes):
        raise objects.error(key, f"a list of {len(boxes)} classes is needed, one for each box")
    for number, (box, kind) in enumerate(zip(boxes, kinds, strict=True)):
        row = Fields(line.file, {"bbox": box, key: kind}, (*objects.place, f"object {number}"))
        x, y, w, h = row.numbers("bbox", 4, "four numbers x, y, width, height")
        picture.add((x, y, x + w, y + h), _name(row, key, listed))
    return picture


def _name(row: Fields, key: str, listed: tuple[str, ...]) -> str:
    number = row.key(key)
    if isinstance(number, str):
        return number
    if listed and not 0 <= number < len(listed):
        raise row.error(key, f"the listed classes are 0 to {len(listed) - 1}")
    return listed[number] if listed else str(number)
