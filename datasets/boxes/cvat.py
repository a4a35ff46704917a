"""CVAT's XML for images 1.1: one file that describes all images of a task or project."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from datasets.boxes.described import (
    Box,
    Described,
    Told,
    ellipse,
    enclosing,
    outlined,
    turned,
)
from datasets.boxes.listed_paths import Finder
from datasets.boxes.one_file import FilePart, claim_files, read_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.claims import Claim, Strength
from datasets.fields import Fields, as_number
from datasets.ledger import UNUSED_PART, note_dropped
from datasets.names import in_order, joined, shown
from datasets.part_names import PART_NAMES
from datasets.text import read_head
from datasets.xml_files import read_xml

_HEAD = 2**20
# Of so many XML files, the nearest to the path, one may be such: others describe an image each.
_LOOKED_AT = 200
_SUBSET = re.compile(rb"<image\b[^>]*\bsubset=\"([^\"]*)\"")
_EDGES = ("xtl", "ytl", "xbr", "ybr")


def claim(tree: Tree) -> Claim | None:
    """XML files with CVAT's elements. Raises InputError if several could be the same part."""
    nearest = tree.files(".xml")[:_LOOKED_AT]
    files = [file for file in nearest if b"<annotations" in read_head(file)]
    heads = {file: read_head(file, _HEAD) for file in files}
    films = [file for file, head in heads.items() if b"<track" in head and b"<image" not in head]
    files = [file for file, head in heads.items() if b"<image" in head]
    if films and not files:
        return Claim(
            format="cvat",
            strength=tree.strength(Strength.DECLARED),
            evidence=f"{tree.name_of(films[0])} is CVAT's XML for video",
            lacks="which has no images; export it as 'CVAT for images 1.1'",
        )
    found = claim_files("cvat", tree, files, "CVAT's elements")
    if found is not None and list(found.parts) == ["train"]:
        part = found.parts["train"]
        subsets = _subsets(part.file)
        if "train" in subsets:
            parts = {name: replace(part, subset=subset) for name, subset in subsets.items()}
            return replace(found, parts=parts)
    return found


def _subsets(file: Path) -> dict[str, str]:
    """The subsets of a project that are parts, as they are written."""
    written = {text.decode(errors="replace") for text in _SUBSET.findall(read_head(file, 2**28))}
    found = {}
    for split, names in PART_NAMES.items():
        fitting = [one for name in names for one in sorted(written) if one.lower() == name]
        if fitting:
            found[split] = fitting[0]
    return found


def read(root: Path, part: FilePart) -> DetectionData:
    """Read the images of a split; other areas than boxes become the boxes around them.

    Boxes are drawn on the image as its EXIF tag turns it, as the tool shows it.

    Raises:
        InputError: If the file is damaged, or an element lacks an attribute; it names file and
            element.
    """
    listed: list[str] = []
    subsets = _subsets(part.file)
    used, tested = set(subsets.values()), subsets.get("test", part.subset)

    def read_file(file: Path, finder: Finder, told: Told) -> list[Described]:
        tree = read_xml(file)
        labels = (one.findtext("name") or "" for one in tree.iterfind("meta//labels/label"))
        listed.extend(name for name in map(str.strip, labels) if name)
        rows = (
            (Fields(file, one.attrib, (f"image {k}",)), one)
            for k, one in enumerate(tree.iter("image"))
        )
        found = [
            (row, _read_image(one, row, part.subset, used, finder, told)) for row, one in rows
        ]
        if tested != part.subset:  # Whoever reads that part notes that they are used.
            unread = [str(one.file) for row, one in found if row.values.get("subset") == tested]
            why = f"images that {shown(file.name)} has in {tested}, {UNUSED_PART}"
            note_dropped(unread, why)
        return [picture for _, picture in found]

    def classes(used: set[str]) -> list[str]:
        known = list(dict.fromkeys(listed))
        return known if used <= {*known} else in_order(used)

    by = "element in the XML file"
    return read_files("cvat", root, part, read_file, by=by, classes=classes, upright=True)


def _read_image(
    element: Element,
    row: Fields,
    subset: str | None,
    used: Collection[str],
    finder: Finder,
    told: Told,
) -> Described:
    name, its_own = row.text("name"), row.values.get("subset", "")
    file = finder.find(name, str(row)) or finder.near[0] / name
    picture = Described(file, (row.whole("width"), row.whole("height")))
    picture.wanted = subset in (None, its_own)
    if not picture.wanted:
        if its_own not in used:
            why = f"the parts are {joined(sorted(used))}"
            told.add("images of another subset", "dropped", name, why)
        told = Told(file)
    for number, child in enumerate(element):
        shape = Fields(row.file, child.attrib, (*row.place, f"{child.tag} {number}"))
        read = _SHAPES.get(child.tag)
        if read is None:
            told.add(f"elements <{child.tag}>", "dropped", name, "no areas")
            continue
        if child.tag != "box":
            told.add(f"elements <{child.tag}>", "kept", name, "as the boxes around them")
        elif shape.has("rotation") and shape.number("rotation") != 0:
            told.add("turned boxes", "kept", name, "as the boxes around them")
        picture.add(read(shape), shape.text("label"))
    return picture


def _read_box(shape: Fields) -> Box:
    x1, y1, x2, y2 = (shape.number(edge) for edge in _EDGES)
    return turned((x1, y1, x2, y2), _rotation(shape), ((x1 + x2) / 2, (y1 + y2) / 2))


def _rotation(shape: Fields) -> float:
    return shape.number("rotation") if shape.has("rotation") else 0.0


def _read_polygon(shape: Fields) -> Box:
    points = [text.split(",") for text in shape.text("points").split(";")]
    pairs = [[as_number(one) for one in point] for point in points]
    if any(len(pair) != 2 or None in pair for pair in pairs):
        raise shape.error("points", "points x,y;x,y are needed")
    return outlined(np.array(pairs, np.float64))


def _read_ellipse(shape: Fields) -> Box:
    cx, cy, rx, ry = (shape.number(name) for name in ("cx", "cy", "rx", "ry"))
    return ellipse((cx, cy), (rx, ry), _rotation(shape))


def _read_mask(shape: Fields) -> Box:
    x, y, w, h = (shape.number(name) for name in ("left", "top", "width", "height"))
    return x, y, x + w, y + h


def _read_cuboid(shape: Fields) -> Box:
    corners = [
        [shape.number(f"x{corner}"), shape.number(f"y{corner}")]
        for corner in ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
    ]
    return enclosing(np.array(corners))


_SHAPES = {
    "box": _read_box,
    "polygon": _read_polygon,
    "ellipse": _read_ellipse,
    "mask": _read_mask,
    "cuboid": _read_cuboid,
}
