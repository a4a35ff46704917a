"""Label Studio's JSON export: a list of tasks, each with an image and regions in percent."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.described import (
    Box,
    Described,
    Told,
    ellipse,
    outlined,
    points_of,
    turned,
)
from datasets.boxes.listed_paths import Finder
from datasets.boxes.one_file import FilePart, claim_files, read_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.claims import Claim
from datasets.errors import InputError
from datasets.fields import Fields, show
from datasets.images import is_picture
from datasets.json_files import read_json

_UPLOADED = re.compile("[0-9a-f]{8}-")
_AREAS = ("rectanglelabels", "polygonlabels", "ellipselabels")


def claim(tree: Tree) -> Claim | None:
    """JSON files with Label Studio's fields. Raises InputError if several could be one part."""
    files = tree.json_files("label_studio")
    return claim_files("label_studio", tree, files, "Label Studio's fields")


def read(root: Path, part: FilePart) -> DetectionData:
    """Read the tasks of a split; turned boxes, polygons and ellipses become boxes around them.

    A task without annotation is not labelled yet, and left out; one whose annotation is empty is
    an image without objects. Of several annotations the first is taken. Boxes are drawn on the
    image as its EXIF tag turns it, as browsers show it.

    Raises:
        InputError: If a file is damaged, or a task lacks a field; it names file and place.
    """
    return read_files("label_studio", root, part, _read_file, by="task", upright=True)


def _read_file(file: Path, finder: Finder, told: Told) -> list[Described]:
    tasks = read_json(file)
    if not isinstance(tasks, list):
        raise InputError(f"{file}: {show(tasks)}; a list of tasks is needed: export it as JSON")
    found = []
    for number, value in enumerate(tasks):
        task = Fields.of(file, value, (number,))
        picture = Described(_picture(task, finder))
        found.append(picture)
        regions = _regions(task, picture.file.name, told)
        if regions is None:
            picture.wanted = False
            told.add("tasks without annotation", "dropped", picture.file.name, "not labelled yet")
            continue
        for region, kind in regions:
            _add(picture, region, kind, told)
    return found


def _picture(task: Fields, finder: Finder) -> Path:
    """The image of a task: of the first of its data that ends as an image does."""
    data = task.inner("data") if task.has("data") else task
    texts = {key: _path_in(one) for key, one in data.values.items() if isinstance(one, str)}
    keys = [key for key in ("image", "img", *texts) if is_picture(_name(texts.get(key, "")))]
    if not keys:
        raise data.error("image", "the address of an image is needed")
    written = texts[keys[0]]
    name = _name(written)
    for one in (written, name, _UPLOADED.sub("", name, count=1)):
        there = finder.find(one, str(data))
        if there is not None:
            return there
    return finder.near[0] / name


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _path_in(address: str) -> str:
    """The path in an address: ``/data/upload/1/x.jpg``, ``/data/local-files/?d=a/x.jpg``, s3."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    asked = parse_qs(parts.query).get("d")
    path = asked[0] if asked else unquote(parts.path)
    return path.removeprefix("/data/upload/").lstrip("/")


def _regions(task: Fields, name: str, told: Told) -> list[tuple[Fields, str]] | None:
    """Regions of a task, each with the field of its classes; None if it is not labelled."""
    if not task.has("annotations"):
        return _small_regions(task)
    annotations = [one for one in task.objects("annotations") if not one.flag("was_cancelled")]
    if not annotations:
        return None
    for _ in annotations[1:]:
        told.add("further annotations of a task", "dropped", name, "the first is taken")
    regions = []
    for result in annotations[0].objects("result"):
        kind = result.text("type") if result.has("type") else ""
        if kind in _AREAS:
            value = result.inner("value")
            sides = {key: result.values.get(key) for key in ("original_width", "original_height")}
            regions.append((Fields(value.file, {**value.values, **sides}, value.place), kind))
        else:
            told.add(f"results of type {kind or 'none'}", "dropped", name, "no areas")
    return regions


def _small_regions(task: Fields) -> list[tuple[Fields, str]] | None:
    """Those of the small export (JSON-MIN): lists of regions among the task's fields."""
    lists = [
        key
        for key, one in task.values.items()
        if isinstance(one, list) and one and all(isinstance(row, dict) for row in one)
    ]
    rows = [row for key in lists for row in task.objects(key)]
    found = [(row, kind) for row in rows for kind in _AREAS if row.has(kind)]
    return found or None


def _add(picture: Described, region: Fields, kind: str, told: Told) -> None:
    """Add a region's box once for each of its classes."""
    size = region.whole("original_width", low=1), region.whole("original_height", low=1)
    if picture.size not in (size, (0, 0)):
        raise region.error("original_width", f"another region says {picture.size[0]}")
    picture.size = size
    names = region.values.get(kind)
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise region.error(kind, "a list of class names is needed")
    degrees = region.number("rotation") if region.has("rotation") else 0.0
    if kind != "rectanglelabels" or degrees:
        what = "turned boxes" if kind == "rectanglelabels" else kind.removesuffix("labels") + "s"
        told.add(what, "kept", picture.file.name, "as the boxes around them")
    box = _box(region, kind, degrees, np.array(size, np.float64) / 100)
    if not names:
        told.add("regions without class", "dropped", picture.file.name)
    for name in names:
        picture.add(box, name)


def _box(region: Fields, kind: str, degrees: float, scale: NDArray[np.float64]) -> Box:
    """A region's box in pixels; ``scale`` (2,) holds pixels per percent."""
    if kind == "polygonlabels":
        points = points_of(region, "points")
        with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
            return outlined(points * scale)
    x, y = np.array([region.number("x"), region.number("y")]) * scale
    names = ("width", "height") if kind == "rectanglelabels" else ("radiusX", "radiusY")
    w, h = np.array([region.number(name) for name in names]) * scale
    if kind == "ellipselabels":
        return ellipse((float(x), float(y)), (float(w), float(h)), degrees)
    return turned((x, y, x + w, y + h), degrees, (float(x), float(y)))
