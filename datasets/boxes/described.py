"""Images with boxes as annotation files describe them, brought into the one structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.shapes import Shape, Shapes, are_kept, polygon
from datasets.boxes.structure import DetectionData, assemble
from datasets.errors import InputError
from datasets.fields import Fields, as_number
from datasets.findings import Action, Finding, first_of
from datasets.images import pictures_below, probe_image
from datasets.parallel import in_threads
from datasets.types import ClassMap

_SHOWN = 12
Box = tuple[float, ...]


@dataclass
class Described:
    """One image.

    Attributes:
        file: Path where it is, or should be.
        size: (width, height) as annotated; 0 if unknown.
        boxes: x1 y1 x2 y2 each.
        names: Class of each box.
        crowd: Whether each is a crowd, or another region that is not to be counted.
        areas: Area of each outline in pixels; 0 if unknown.
        shapes: Outline or keypoints of each; None where it has only a box.
        wanted: It belongs to the split that is read, and is labelled.
    """

    file: Path
    size: tuple[int, int] = (0, 0)
    boxes: list[Box] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    shapes: list[Shape | None] = field(default_factory=list)
    wanted: bool = True

    def add(
        self,
        box: Sequence[float],
        name: str,
        *,
        crowd: bool = False,
        area: float = 0,
        shape: Shape | None = None,
    ) -> None:
        """Add a box, x1 y1 x2 y2; one of :func:`outlined` brings its shape."""
        self.shapes.append(polygon(box.outline) if isinstance(box, Outlined) else shape)
        self.boxes.append(tuple(box))
        self.names.append(name)
        self.crowd.append(crowd)
        self.areas.append(area)


class Told:
    """What a reader passes over or changes, counted.

    Args:
        root: Folder of the data set.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counts: Counter[tuple[str, Action, str]] = Counter()
        self._examples: dict[tuple[str, Action, str], list[str]] = {}

    def add(self, kind: str, action: Action, example: str, why: str = "") -> None:
        """Count one of a kind.

        Args:
            kind: Kind of thing, in the plural.
            action: What is done about it.
            example: Name of this one.
            why: The reason, or what was made of it.
        """
        key = (kind, action, why)
        self._counts[key] += 1
        if len(examples := self._examples.setdefault(key, [])) <= _SHOWN:
            examples.append(example)

    def findings(self) -> list[Finding]:
        """A finding for each kind."""
        out = []
        for key, count in self._counts.items():
            kind, action, why = key
            detail = f"{count}{f' ({why})' if why else ''}: {first_of(self._examples[key])}"
            out.append(Finding(kind, action, str(self._root), None, detail))
        return out


def gather(
    format: str,
    root: Path,
    pictures: Sequence[Described],
    classes: Sequence[str],
    *,
    told: Told,
    relative: bool = False,
    upright: bool = False,
) -> DetectionData:
    """Put images into the flat structure.

    Args:
        format: Name of the format.
        root: Folder of the data set.
        pictures: Images, each once.
        classes: Names of the whole set's classes in label order.
        told: What was skipped.
        relative: Boxes are in 0..1 of width and height.
        upright: Boxes are drawn on the image as its EXIF tag turns it.

    Raises:
        InputError: If the name of a class is empty.
    """
    if not all(name.strip() for name in classes):
        unnamed = (one.file for one in pictures if not all(name.strip() for name in one.names))
        raise InputError(
            f"{next(unnamed, root)}: an empty text is no name of a class; name the class of its "
            "boxes where they are annotated"
        )
    label = {name: k for k, name in enumerate(classes, start=1)}
    unsized = [picture for picture in pictures if min(picture.size) <= 0]
    probed = in_threads(
        lambda picture: size_of(picture.file, upright=upright),
        unsized,
        "reading sizes",
        unit="file",
    )
    for picture, size in zip(unsized, probed, strict=True):
        picture.size = size
    boxes: list[NDArray[np.float64]] = []
    for picture in pictures:
        corners = np.array(picture.boxes, np.float64).reshape(-1, 4)
        if relative:
            with np.errstate(invalid="ignore", over="ignore"):
                corners = corners * np.tile(picture.size, 2)
        boxes.append(corners)
    data = assemble(
        format=format,
        root=root,
        files=[str(picture.file) for picture in pictures],
        sizes=[picture.size for picture in pictures],
        boxes=boxes,
        labels=[[label[name] for name in picture.names] for picture in pictures],
        crowd=[picture.crowd for picture in pictures],
        classes=ClassMap.from_names([*classes]),
        upright=upright,
        told=told.findings(),
    )
    areas = np.array([area for picture in pictures for area in picture.areas], np.float64)
    shapes = [shape for picture in pictures for shape in picture.shapes]
    return replace(
        data,
        areas=np.where(areas > 0, areas, data.areas),
        shapes=Shapes.of(shapes) if are_kept() else None,
    )


def size_of(file: Path, *, upright: bool) -> tuple[int, int]:
    """Width and height of an image; (0, 0) if unreadable, which the data doctor reports.

    Args:
        file: Image.
        upright: Whether the image is turned by its EXIF tag.
    """
    try:
        width, height, sideways = probe_image(file)
    except ValueError:
        return 0, 0
    return (height, width) if sideways and upright else (width, height)


def points_of(row: Fields, key: str) -> NDArray[np.float64]:
    """Points (N, 2), N > 0, of a field that lists them. Raises InputError if it does not."""
    value = row.values.get(key)
    rows = value if isinstance(value, list) else []
    found = [[as_number(one) for one in point] for point in rows if isinstance(point, list)]
    if not found or len(found) < len(rows) or any(len(p) != 2 or None in p for p in found):
        raise row.error(key, "points of two numbers are needed")
    return np.array(found, np.float64)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0) -> Box:
    """The box x1 y1 x2 y2 around an ellipse that is turned about its centre."""
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        wide = float(np.hypot(radii[0] * cos, radii[1] * sin))
        high = float(np.hypot(radii[0] * sin, radii[1] * cos))
    return centre[0] - wide, centre[1] - high, centre[0] + wide, centre[1] + high


def enclosing(points: NDArray[np.float64]) -> Box:
    """The box x1 y1 x2 y2 around points (N, 2), N > 0."""
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


class Outlined(tuple[float, ...]):
    """A box around a polygon.

    Attributes:
        outline: (N, 2) corners of the polygon in pixels.
    """

    outline: NDArray[np.float64]


def outlined(points: NDArray[np.float64]) -> Box:
    """The box x1 y1 x2 y2 around a polygon (N, 2), N > 0, which it keeps."""
    box = enclosing(points)
    if len(points) < 3 or not np.isfinite(points).all():
        return box
    made = Outlined(box)
    made.outline = points
    return made


def turned(box: Sequence[float], degrees: float, about: tuple[float, float]) -> Box:
    """The box x1 y1 x2 y2 around a box that is turned clockwise about a point."""
    x1, y1, x2, y2 = box
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        moved = (corners - about) @ np.array([(cos, sin), (-sin, cos)]) + about
        return outlined(moved) if degrees else enclosing(moved)


def tell_unnamed(told: Told, folders: Sequence[Path], named: Sequence[Described], by: str) -> None:
    """Count images of folders that no annotation names.

    Args:
        told: Counter to which they are added.
        folders: Folders of the data set's images.
        named: Images that are named, of all parts.
        by: What would name them: ``JSON file``.
    """
    known = {str(picture.file) for picture in named}
    for folder in dict.fromkeys(folders):
        for file in pictures_below(folder):
            if file not in known:
                known.add(file)
                told.add(f"images without {by}", "dropped", Path(file).name, "not used")
