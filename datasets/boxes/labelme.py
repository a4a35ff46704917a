"""LabelMe: a JSON file for each image, beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.boxes.described import (
    Box,
    Described,
    Told,
    ellipse,
    enclosing,
    gather,
    outlined,
    points_of,
    tell_unnamed,
)
from datasets.boxes.listed_paths import Finder
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree, by_part
from datasets.claims import Claim, Strength
from datasets.fields import Fields
from datasets.json_files import read_object
from datasets.names import in_order, is_file
from datasets.parallel import in_threads

# Shapes that are areas; of the others no box can be drawn.
_AREAS = ("rectangle", "polygon", "circle", "rotation", "mask")


@dataclass(frozen=True)
class Part:
    """One split: its JSON files, those of all, those of no split, and where images lie."""

    files: tuple[Path, ...]
    everything: tuple[Path, ...]
    outside: tuple[Path, ...]
    base: Path


def claim(tree: Tree) -> Claim | None:
    """JSON files with LabelMe's fields."""
    files = tree.json_files("labelme")
    if not files:
        return None
    parts, outside = by_part(tree.base, files)
    base = tree.images or tree.base
    return Claim(
        format="labelme",
        strength=tree.strength(Strength.DESCRIBED),
        evidence=f"{tree.name_of(files[0])} has LabelMe's fields",
        parts={name: Part(one, tuple(files), tuple(outside), base) for name, one in parts.items()},
    )


def _read_file(file: Path) -> Fields:
    """A file without the image that may be in it: those of all would fill the memory."""
    content = read_object(file)
    return Fields(file, {k: v for k, v in content.values.items() if k != "imageData"})


def read(root: Path, part: Part) -> DetectionData:
    """Read the JSON files of a split; polygons and circles become the boxes around them.

    Boxes are drawn on the image as its EXIF tag turns it, as the tool shows it.

    Raises:
        InputError: If a file is damaged, or lacks a field; it names file and place.
    """
    contents = in_threads(_read_file, part.everything, "reading JSON", unit="file")
    finder, told = Finder(part.base), Told(root)
    wanted, names, pictures = {*part.files}, set[str](), list[Described]()
    everything = []
    for file, content in zip(part.everything, contents, strict=True):
        counted = told if file in wanted else Told(root)
        picture = _read_picture(content, _picture(content, file, finder), counted)
        everything.append(picture)
        names |= {*picture.names}
        if file in wanted:
            pictures.append(picture)
    for file in part.outside:
        told.add("JSON files in no part", "dropped", file.name, "beside folders that are parts")
    tell_unnamed(told, [file.parent for file in part.files], everything, "JSON file")
    return gather("labelme", root, pictures, in_order(names), told=told, upright=True)


def _picture(content: Fields, file: Path, finder: Finder) -> Path:
    """Where imagePath leads to, or else the image of the same name.

    Some files have their own name there, which leads to no image.
    """
    written = content.text("imagePath") if content.has("imagePath") else file.stem
    beside = file.parent / written.replace("\\", "/")
    if beside == file:
        written, beside = file.stem, file.with_suffix("")
    if is_file(beside):
        return beside
    return finder.find(written, str(file)) or finder.find(file.stem, str(file)) or beside


def _read_picture(content: Fields, file: Path, told: Told) -> Described:
    sides = ("imageWidth", "imageHeight")
    sized = all(map(content.has, sides))
    picture = Described(file)
    if sized:
        picture.size = (content.whole(sides[0]), content.whole(sides[1]))
    flags = content.values.get("flags")
    if isinstance(flags, dict) and any(value is True for value in flags.values()):
        told.add("flags", "dropped", file.name, "classes of whole images are not read here")
    for shape in content.objects("shapes"):
        kind = shape.text("shape_type") if shape.has("shape_type") else "polygon"
        if kind not in _AREAS:
            told.add(f"shapes of kind {kind}", "dropped", file.name, "no areas")
            continue
        if kind != "rectangle":
            told.add(f"shapes of kind {kind}", "kept", file.name, "as the boxes around them")
        picture.add(_box(shape, kind), shape.text("label"))
    return picture


def _box(shape: Fields, kind: str) -> Box:
    points = points_of(shape, "points")
    if kind in ("polygon", "rotation"):
        return outlined(points)
    if kind != "circle":
        return enclosing(points)
    if len(points) != 2:
        raise shape.error("points", "the centre of a circle and a point on it are needed")
    radius = float(np.hypot(*(points[1] - points[0])))
    return ellipse((float(points[0, 0]), float(points[0, 1])), (radius, radius))
