"""VGG Image Annotator (VIA) 1 and 2: project files, and exports of regions as JSON or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.boxes.described import (
    Box,
    Described,
    Told,
    ellipse,
    outlined,
)
from datasets.boxes.listed_paths import Finder
from datasets.boxes.one_file import FilePart, claim_files, read_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.claims import Claim
from datasets.csv_files import as_fields, read_rows, split_header
from datasets.errors import InputError
from datasets.fields import Fields, as_number
from datasets.json_files import parse_json, read_object
from datasets.text import read_head

_SHAPE, _CLASSES = "region_shape_attributes", "region_attributes"
# Attributes that are taken for the class where there are several.
_CLASS_NAMES = ("class", "label", "name", "category", "type", "object")
_NAMELESS = "object"


@dataclass(frozen=True)
class _Region:
    """A region: the image's name, its shape, and its attributes; none for an image alone."""

    name: str
    shape: Fields | None = None
    attributes: Mapping[str, Any] | None = None


def claim(tree: Tree) -> Claim | None:
    """Files with VIA's fields. Raises InputError if several could be the same part."""
    files = tree.json_files("via")
    files += [one for one in tree.files(".csv") if {_SHAPE, _CLASSES} <= {*_header(one)}]
    projects = [file for file in files if b'"_via_img_metadata"' in read_head(file, 2**20)]
    return claim_files("via", tree, files, "VIA's fields", is_named=projects.__contains__)


def _header(file: Path) -> list[str]:
    return [name.lstrip("#") for name in split_header(read_head(file))[1]]


def read(root: Path, part: FilePart) -> DetectionData:
    """Read the regions of a split; polygons, circles and ellipses become boxes around them.

    The class is the regions' only attribute, or else the one that is called so; regions without
    any are of one class.

    Raises:
        InputError: If a file is damaged, a region lacks a field, or several attributes could be
            the class; it names file and place.
    """
    told = Told(root)
    regions = {file: list(_regions(file)) for file in part.files}
    attribute = _class_attribute([one for rows in regions.values() for one in rows], part, told)

    def read_file(file: Path, finder: Finder, told: Told) -> list[Described]:
        return _pictures(file, regions[file], finder, attribute, told)

    return read_files("via", root, part, read_file, by="regions", told=told, upright=True)


def _regions(file: Path) -> Iterator[_Region]:
    if file.suffix.lower() == ".csv":
        yield from _rows(file)
        return
    content = read_object(file)
    if content.has("_via_img_metadata"):
        content = content.inner("_via_img_metadata")
    for key in content.values:
        picture = content.inner(key)
        name = picture.text("filename")
        yield _Region(name)
        # Version 1 numbers them by keys.
        numbered = isinstance(picture.values.get("regions"), dict)
        rows = picture.inner("regions") if numbered else None
        found = picture.objects("regions") if rows is None else map(rows.inner, rows.values)
        for region in found:
            named = region.inner(_CLASSES).values if region.has(_CLASSES) else {}
            yield _Region(name, region.inner("shape_attributes"), named)


def _rows(file: Path) -> Iterator[_Region]:
    sign, _ = split_header(read_head(file))
    names, lines = _header(file), read_rows(file, sign)
    next(lines)
    for number, fields in lines:
        row = as_fields(file, number, names, fields)
        texts = (row.text(key) if row.has(key) else "{}" for key in (_SHAPE, _CLASSES))
        shape, attributes = (
            Fields.of(file, parse_json(text, str(row)), (*row.place, key))
            for text, key in zip(texts, (_SHAPE, _CLASSES), strict=True)
        )
        name = row.text("filename")
        yield _Region(name)
        if shape.values:
            yield _Region(name, shape, attributes.values)


def _class_attribute(regions: list[_Region], part: FilePart, told: Told) -> str:
    """The attribute that is the class; empty if regions have none at all."""
    found = {key for one in regions for key, value in (one.attributes or {}).items() if value}
    if len(found) > 1:
        named = [key for name in _CLASS_NAMES for key in sorted(found) if key.lower() == name]
        if len(named) != 1:
            raise InputError(
                f"{part.file}: regions have the attributes {', '.join(sorted(found))}; which is "
                f"the class? Call it class, and no other {', '.join(_CLASS_NAMES[1:])}"
            )
        for other in sorted(found - {*named}):
            told.add("attributes of regions", "dropped", other, f"the class is {named[0]!r}")
        return named[0]
    return next(iter(found), "")


def _pictures(
    file: Path, regions: list[_Region], finder: Finder, attribute: str, told: Told
) -> list[Described]:
    found: dict[str, Described] = {}
    for region in regions:
        name = region.name
        if name not in found:
            there = finder.find(name, f"{file}: filename")
            found[name] = Described(there or file.parent / name.replace("\\", "/"))
        if region.shape is None:
            continue
        kind = region.shape.text("name")
        read_shape = _SHAPES.get(kind)
        names = _names(region, attribute)
        if read_shape is None:
            told.add(f"shapes of kind {kind}", "dropped", name, "no areas")
            continue
        if not names:
            told.add("regions without class", "dropped", name, f"no {attribute!r}")
            continue
        if kind != "rect":
            told.add(f"shapes of kind {kind}", "kept", name, "as the boxes around them")
        if not attribute:
            told.add("regions without attributes", "kept", name, f"of class {_NAMELESS!r}")
        for one in names:
            found[name].add(read_shape(region.shape), one)
    return list(found.values())


def _names(region: _Region, attribute: str) -> list[str]:
    """Classes of a region: a text, or the ticked ones of a list."""
    value = (region.attributes or {}).get(attribute, "")
    if not attribute:
        return [_NAMELESS]
    if isinstance(value, dict):
        return [key for key, ticked in value.items() if ticked]
    return [str(value).strip()] if str(value).strip() else []


def _read_rect(shape: Fields) -> Box:
    x, y, w, h = (shape.number(key) for key in ("x", "y", "width", "height"))
    return x, y, x + w, y + h


def _read_polygon(shape: Fields) -> Box:
    sides = []
    for key in ("all_points_x", "all_points_y"):
        value = shape.values.get(key)
        numbers = [as_number(one) for one in value] if isinstance(value, list) else []
        if not numbers or None in numbers:
            raise shape.error(key, "a list of numbers is needed")
        sides.append(numbers)
    if len(sides[0]) != len(sides[1]):
        raise shape.error("all_points_y", f"{len(sides[0])} numbers are needed, one for each x")
    return outlined(np.array(sides, np.float64).T)


def _read_round(shape: Fields) -> Box:
    radii = ("r", "r") if shape.has("r") else ("rx", "ry")
    centre = (shape.number("cx"), shape.number("cy"))
    degrees = float(np.degrees(shape.number("theta"))) if shape.has("theta") else 0.0
    return ellipse(centre, (shape.number(radii[0]), shape.number(radii[1])), degrees)


_SHAPES = {
    "rect": _read_rect,
    "polygon": _read_polygon,
    "circle": _read_round,
    "ellipse": _read_round,
}
