"""Label files of YOLO and Pascal VOC, as texts to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import yaml
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.names import shown


class Labelled(NamedTuple):
    """A box with its class; ``difficult`` boxes do not count in VOC's evaluations."""

    name: str
    box: NDArray[np.float64]
    difficult: bool = False


def yolo_text(columns: Iterable[int], boxes: NDArray[np.float64], size: tuple[int, int]) -> str:
    """YOLO's label file of an image.

    Args:
        columns: Number of each box's class, from 0.
        boxes: (N, 4) x1 y1 x2 y2 in pixels.
        size: Width and height of the image.
    """
    corners = boxes.reshape(-1, 4) / np.tile(np.asarray(size, np.float64), 2)
    middle, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    numbers = np.concatenate((middle, sides), axis=1).tolist()
    lines = [
        " ".join(map(str, [column, *row])) for column, row in zip(columns, numbers, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines)


def yolo_names(folders: Mapping[str, str], names: Iterable[str]) -> str:
    """YOLO's data.yaml: the folder of images of each part, and the names of the classes."""
    listed = list(names)
    told = {**folders, "nc": len(listed), "names": listed}
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


def voc_text(file: PurePath, size: tuple[int, int], found: Iterable[Labelled]) -> bytes:
    """VOC's annotation of an image. Pixels count from 1 and the last one is in the box.

    Args:
        file: File of the image.
        size: Its width and height.
        found: Boxes x1 y1 x2 y2 in pixels, with their classes.

    Raises:
        InputError: If the name of a class cannot be written as XML.
    """
    root = Element("annotation")
    SubElement(root, "folder").text = shown(file.parent.name)
    SubElement(root, "filename").text = shown(file.name)
    sides = SubElement(root, "size")
    for key, value in zip(("width", "height", "depth"), (*size, 3), strict=True):
        SubElement(sides, key).text = str(value)
    for name, box, difficult in found:
        if not name or name != name.strip() or not name.isprintable():
            raise InputError(f"class {name!r} cannot be written as XML; rename it")
        thing = SubElement(root, "object")
        SubElement(thing, "name").text = name
        SubElement(thing, "difficult").text = str(int(difficult))
        place = SubElement(thing, "bndbox")
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), _pixels(box), strict=True):
            SubElement(place, key).text = str(value)
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _pixels(box: NDArray[np.float64]) -> list[int]:
    """First and last pixel of a box from x1 y1 x2 y2; one at least."""
    low, high = np.round(box[:2]).astype(np.int64) + 1, np.round(box[2:]).astype(np.int64)
    return [*low.tolist(), *np.maximum(low, high).tolist()]
