"""YOLO's label files: where they lie, and what the numbers of a line mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.shapes import Shape, keypoints, polygon
from datasets.boxes.tree import first_fields
from datasets.errors import InputError
from datasets.fields import as_number
from datasets.names import is_there
from datasets.text import read_text
from datasets.types import ClassMap

# Files beside label files that name classes; the last stands for any name.
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "*.names")


def label_file(image: Path) -> Path:
    """``.../images/.../name.jpg`` belongs to ``.../labels/.../name.txt``, or to the one beside."""
    found = _label_file(image, ".txt")
    if not is_there(found) and is_there(capital := _label_file(image, ".TXT")):
        return capital
    return found


def _label_file(image: Path, suffix: str) -> Path:
    beside = image.with_suffix(suffix)
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() == "images":
            written = parts[index]
            for name in (_like(written, "labels"), "labels"):
                parts[index] = name
                if is_there(found := Path(*parts).with_suffix(suffix)):
                    return found
            return beside if is_there(beside) else found
    return beside


def _like(example: str, word: str) -> str:
    """A word in small letters, capitals, or with a capital, as the example is."""
    if example.isupper():
        return word.upper()
    return word.capitalize() if example[0].isupper() else word


def looks_like_labels(file: Path) -> bool:
    """Whether the first line of a text file is a class number and four or more numbers."""
    numbers = [as_number(field) for field in first_fields(file)]
    return len(numbers) >= 5 and None not in numbers and float(numbers[0] or 0).is_integer()


def read_rows(file: Path, label: Mapping[int, int], keypoints: int) -> NDArray[np.float64]:
    """Boxes of a label file, if it is there, as :func:`parse_rows` gives them."""
    return parse_rows(read_text(file) if is_there(file) else "", file, label, keypoints)


def parse_rows(
    text: str, where: Path | str, label: Mapping[int, int], keypoints: int = 0
) -> NDArray[np.float64]:
    """Boxes of a label file's text: (N, 5) label from 1, cx, cy, w, h.

    Polygons, among them rotated boxes of four corners, are reduced to their boxes.

    Args:
        text: Text of the file.
        where: What messages call it.
        label: Label of each class number.
        keypoints: Numbers of keypoints that follow the box in each line; 0 without keypoints.

    Raises:
        InputError: If a line is something else, or of an unknown class; it names file and line.
    """
    rows: list[tuple[float, ...]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            rows.append(_row(line, f"{where}:{number}", label, keypoints))
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _row(line: str, where: str, label: Mapping[int, int], keypoints: int) -> tuple[float, ...]:
    fields = line.split()
    numbers = [number for field in fields if (number := as_number(field)) is not None]
    if len(numbers) < len(fields):
        raise InputError(f"{where}: {line[:80]!r} is not made of numbers")
    category, values = numbers[0], numbers[1:]
    if not category.is_integer():
        raise InputError(f"{where}: class {fields[0][:20]} is not a whole number")
    if int(category) not in label:
        raise InputError(
            f"{where}: class {fields[0][:20]} is not among the listed {min(label)}..{max(label)}"
            f"{_FROM_0 if category == max(label) + 1 else ''}; "
            "correct the number, or add the class to the list of names"
        )
    return (label[int(category)], *_box(values, where, keypoints))


_FROM_0 = ", which are numbered from 0 (are these from 1?)"


def _box(values: list[float], where: str, keypoints: int) -> list[float]:
    """Cx, cy, w, h of what follows the class."""
    if keypoints:
        if len(values) not in (4, 4 + keypoints):
            raise InputError(
                f"{where}: {len(values) + 1} numbers; class cx cy w h and {keypoints} numbers of "
                "keypoints (kpt_shape) are needed"
            )
        return values[:4]
    if len(values) < 6 or len(values) % 2:
        if len(values) != 4:
            hint = "; a confidence behind the box, as predictions have it, must be taken away"
            raise InputError(
                f"{where}: {len(values) + 1} numbers; class cx cy w h are needed, or a polygon"
                f"{hint if len(values) == 5 else ''}"
            )
        return values
    beyond = {value for value in values if value > 1.5}
    if beyond == {2.0}:  # How visible keypoints are marked; a corner is in 0..1.
        raise InputError(
            f"{where}: looks like keypoints, not a polygon; say so by kpt_shape in data.yaml"
        )
    points = np.array(values).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def read_shapes(
    file: Path, num_keypoints: int, each: int, size: tuple[int, int]
) -> list[Shape | None]:
    """Polygons and keypoints in pixels of a label file that :func:`read_rows` has read.

    Args:
        file: Label file, which may be missing.
        num_keypoints: Numbers of keypoints behind each box; 0 if there are none.
        each: Numbers of each keypoint, 2 or 3.
        size: (width, height) of the image.

    Returns:
        One shape for each row; None where it has only a box.
    """
    found: list[Shape | None] = []
    for line in (read_text(file) if is_there(file) else "").splitlines():
        values = np.array([as_number(one) for one in line.split()[1:]], np.float64)
        if num_keypoints and len(values) > 4:
            rows = np.full((num_keypoints // each, 3), 2.0)  # Visible, if no number says.
            rows[:, :each] = values[4:].reshape(-1, each)
            rows[:, :2] *= size
            found.append(keypoints(rows))
        elif not num_keypoints and len(values) > 4:
            found.append(polygon(values.reshape(-1, 2) * size))
        elif line.strip():
            found.append(None)
    return found


def read_names(file: Path) -> ClassMap:
    """Class names, one per line, numbered from 0.

    Raises:
        InputError: If it holds none, or one twice.
    """
    names = [line.strip() for line in read_text(file).splitlines()]
    names = [name for name in names if name]
    if not names:
        raise InputError(f"{file}: names no class; write one name per line")
    try:
        return ClassMap.from_names(names, first=0)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error
