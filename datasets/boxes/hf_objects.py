"""Objects of an image as Hugging Face's sets have them, in lines of JSON and in Parquet alike.

``objects`` is a list for each field, ``{"bbox": [[x, y, width, height]], "category": [0]}``, or a
list of objects with these fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from datasets.boxes.described import Box, Described
from datasets.fields import Fields

# Names by which sets call the boxes, their classes, and the form that the boxes have.
BOXES = ("bbox", "bboxes", "boxes", "box")
CLASSES = (
    *("categories", "category", "labels", "label", "category_id", "class", "classes"),
    *("category_ids", "category_name", "class_id", "class_ids", "class_label", "class_name"),
    *("name", "names"),
)
FORMS = ("bbox_type", "bbox_format", "bbox_mode", "box_format")
_CROWDS = ("iscrowd", "is_crowd")
FIELDS = frozenset((*BOXES, *CLASSES, *FORMS, *_CROWDS, "area"))
Form = Literal["xywh", "xyxy"]
_MEANT: dict[str, Form] = {
    **dict.fromkeys(("xywh", "coco", "xywh_abs"), "xywh"),
    **dict.fromkeys(("xyxy", "voc", "pascal_voc", "xyxy_abs"), "xyxy"),
}


@dataclass(frozen=True)
class Thing:
    """An object.

    Attributes:
        box: Box as it is written: x, y, width, height, or x1, y1, x2, y2.
        name: Name of its class.
        crowd: Whether it is a crowd, which does not count.
        area: Area of its outline in pixels; 0 if unknown.
    """

    box: Box
    name: str
    crowd: bool
    area: float


def read_objects(row: Fields, key: str, listed: Sequence[str]) -> list[Thing] | None:
    """The objects of an image; None where it is not labelled yet.

    Args:
        row: Row that contains them.
        key: Its field; empty if the row itself has boxes and classes.
        listed: Names of classes that are numbers; empty if unknown.

    Raises:
        InputError: If a field is damaged or missing; it names the place.
    """
    if key and not row.has(key):
        return None
    if key and isinstance(row.values[key], list):
        return [_thing(one, _first(one, BOXES), listed) for one in row.objects(key)]
    objects = row.inner(key) if key else row
    at, called = _first(objects, BOXES), _first(objects, CLASSES)
    boxes, kinds = objects.values.get(at), objects.values.get(called)
    if boxes is None and kinds is None and {at, called} <= objects.values.keys():
        return None
    if not isinstance(boxes, list):
        raise objects.error(at, "a list of boxes x, y, width, height is needed")
    if not isinstance(kinds, list) or len(kinds) != len(boxes):
        raise objects.error(called, f"a list of {len(boxes)} classes is needed, one for each box")
    lists = {
        name: value
        for name in (at, called, "area", *_CROWDS)
        if isinstance(value := objects.values.get(name), list) and len(value) == len(boxes)
    }
    things = []
    for number in range(len(boxes)):
        values = {name: value[number] for name, value in lists.items()}
        place = (*objects.place, f"object {number}")
        things.append(_thing(Fields(row.file, values, place), at, listed))
    return things


def _thing(row: Fields, at: str, listed: Sequence[str]) -> Thing:
    a, b, c, d = row.numbers(at, 4, "four numbers x, y, width, height")
    crowd = any(row.flag(one) for one in _CROWDS)
    area = row.number("area") if row.has("area") else 0.0
    known = area if math.isfinite(area) and area > 0 else 0.0
    return Thing((a, b, c, d), _name(row, _first(row, CLASSES), listed), crowd, known)


def _first(row: Fields, names: Sequence[str]) -> str:
    return next((one for one in names if row.has(one)), next(iter(_there(row, names)), names[0]))


def _there(row: Fields, names: Sequence[str]) -> list[str]:
    return [one for one in names if one in row.values]


def _name(row: Fields, key: str, listed: Sequence[str]) -> str:
    number = row.key(key)
    if isinstance(number, str):
        return number
    if listed and not 0 <= number < len(listed):
        raise row.error(key, f"the listed classes are 0 to {len(listed) - 1}")
    return listed[number] if listed else str(number)


def form_of(row: Fields, key: str) -> Form | None:
    """The form of boxes that a row, or its objects, declares; None if neither does.

    Raises:
        InputError: If it is one that is not read.
    """
    inner = row.values.get(key)
    places = (row, *([row.inner(key)] if isinstance(inner, dict) else ()))
    for place in places:
        for name in FORMS:
            value = place.values.get(name)
            if value is not None:
                form = _MEANT.get(str(value).lower())
                if form is None:
                    raise place.error(name, f"boxes are read as {' or '.join(_MEANT)}")
                return form
    return None


def add_things(picture: Described, things: Sequence[Thing], form: Form) -> None:
    """Add objects to their image, whose boxes are written in a form."""
    for one in things:
        x, y, c, d = one.box
        box = (x, y, x + c, y + d) if form == "xywh" else (x, y, c, d)
        picture.add(box, one.name, crowd=one.crowd, area=one.area)
