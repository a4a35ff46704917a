"""Hugging Face's image folders: ``metadata.jsonl`` with ``objects`` beside the images.

``{"file_name": "0.png", "objects": {"bbox": [[x, y, width, height]], "categories": [0]}}``
"""

from __future__ import annotations

from pathlib import Path

from datasets.boxes.described import Described, Told
from datasets.boxes.hf_objects import add_things, form_of, read_objects
from datasets.boxes.listed_paths import Finder
from datasets.boxes.one_file import FilePart, claim_files, read_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.boxes.yolo_labels import NAME_FILES, read_names
from datasets.claims import Claim
from datasets.fields import Fields
from datasets.json_files import read_lines
from datasets.names import entries_like, in_order
from datasets.text import read_head

_HEAD = 2**20


def claim(tree: Tree) -> Claim | None:
    """Files with the fields of objects. Raises InputError if several could be the same part."""
    files = [file for file in tree.files(".jsonl") if _has_boxes(file)]
    names = entries_like(tree.path, *NAME_FILES)
    return claim_files(
        "hugging_face",
        tree,
        files,
        "objects with bbox in each line",
        is_named=lambda file: file.name.lower() == "metadata.jsonl",
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
    things = read_objects(line, "objects", listed)
    if things is None:
        picture.wanted = False
        told.add("lines without objects", "dropped", name, "not labelled yet")
        return picture
    add_things(picture, things, form_of(line, "objects") or "xywh")
    return picture
