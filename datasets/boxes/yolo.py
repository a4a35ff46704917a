"""YOLO: ``data.yaml``, ``images/`` and ``labels/*.txt`` (class cx cy w h, relative)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from datasets.boxes.structure import DetectionData, assemble
from datasets.errors import InputError
from datasets.images import find_images, probe_image
from datasets.parallel import in_threads
from datasets.text import read_text
from datasets.types import ClassMap


@dataclass(frozen=True)
class Part:
    """One split: where its images are listed, and the names of the classes."""

    sources: tuple[Path, ...]
    classes: ClassMap


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder or ``data.yaml``; empty if it is not a YOLO set.

    Raises:
        InputError: If ``data.yaml`` is there but cannot be understood.
    """
    file = path if path.suffix in (".yaml", ".yml") else _data_file(path)
    if file is None or not file.is_file():
        return {}
    content = _load(file)
    classes = _names(file, content)
    base = file.parent / str(content.get("path") or ".")
    if not base.is_dir():
        base = file.parent  # "path" is often the author's own machine.
    found: dict[str, Part] = {}
    for split, keys in (("train", ("train",)), ("val", ("val", "valid", "test"))):
        for key in keys:
            if content.get(key) and split not in found:
                found[split] = Part(_sources(file, base, key, content[key]), classes)
    return found


def _data_file(folder: Path) -> Path | None:
    """``data.yaml``, or the first YAML file that names classes: folders hold others too."""
    for file in (folder / "data.yaml", folder / "data.yml", *sorted(folder.glob("*.y*ml"))):
        if file.is_file() and (
            file.stem == "data" or "names" in file.read_text(errors="ignore", encoding="utf-8")
        ):
            return file
    return None


def _load(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid YAML ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a YOLO data file")
    return content


def _names(file: Path, content: dict[str, Any]) -> ClassMap:
    names = content.get("names")
    if isinstance(names, dict):
        pairs = sorted((int(key), str(name)) for key, name in names.items())
        return ClassMap(tuple(k for k, _ in pairs), tuple(name for _, name in pairs))
    if isinstance(names, list):
        return ClassMap.from_names([str(name) for name in names], first=0)
    raise InputError(f"{file}: no 'names': list the class names there, in the order of their ids")


def _sources(file: Path, base: Path, key: str, entry: object) -> tuple[Path, ...]:
    """Folders or list files of a split; Roboflow writes paths that are one folder off."""
    found: list[Path] = []
    for one in entry if isinstance(entry, list) else [entry]:
        guesses = (base / str(one), base / str(one).removeprefix("../"))
        there = next((guess for guess in guesses if guess.exists()), None)
        if there is None:
            raise InputError(f"{file}: {key}: {one}: no such folder or list below {base}")
        found.append(there)
    return tuple(found)


def read(root: Path, part: Part) -> DetectionData:
    """Read the label files of a split; an image without one has no objects.

    Boxes are drawn on the picture as its EXIF tag turns it, as the format's tools do.

    Raises:
        InputError: If there are no images, or a line is not five numbers or names a class that
            is not listed; it names file and line.
    """
    files = [file for source in part.sources for file in _images(source)]
    if not files:
        raise InputError(f"{', '.join(map(str, part.sources))}: no images in it")
    sizes = in_threads(_size, files, "reading sizes", unit="file")
    label = {category: k for k, category in enumerate(part.classes.ids, start=1)}
    labels: list[list[int]] = []
    boxes: list[NDArray[np.float64]] = []
    for file, size in zip(files, sizes, strict=True):
        rows = _rows(_label_file(file), label)
        labels.append([int(row[0]) for row in rows])
        boxes.append(_to_pixels(rows[:, 1:], size))
    return assemble(
        format="yolo",
        root=root,
        files=[str(file) for file in files],
        sizes=sizes,
        boxes=boxes,
        labels=labels,
        crowd=[[False] * len(one) for one in labels],
        classes=part.classes,
        upright=True,
    )


def _images(source: Path) -> list[Path]:
    if source.is_dir():
        return find_images(source)
    lines = [line.strip() for line in read_text(source).splitlines()]
    return [source.parent / line for line in lines if line]


def _size(file: Path) -> tuple[int, int]:
    """Width and height of the turned picture; (0, 0) if unreadable, which the doctor reports."""
    try:
        width, height, sideways = probe_image(file)
    except ValueError:
        return 0, 0
    return (height, width) if sideways else (width, height)


def _label_file(image: Path) -> Path:
    """``.../images/.../name.jpg`` belongs to ``.../labels/.../name.txt``."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _rows(file: Path, label: dict[int, int]) -> NDArray[np.float64]:
    """(N, 5): label from 1, cx, cy, w, h. Polygons are reduced to their boxes."""
    rows: list[tuple[float, ...]] = []
    if file.exists():
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                category, *values = (float(field) for field in line.split())
                chosen = label[int(category)]
            except ValueError:
                raise InputError(f"{file}:{number}: {line!r} is not made of numbers") from None
            except KeyError:
                raise InputError(
                    f"{file}:{number}: class {int(category)} is not among the listed "
                    f"{min(label)}..{max(label)}"
                ) from None
            if len(values) > 5 and len(values) % 2 == 0:
                points = np.array(values).reshape(-1, 2)
                low, high = points.min(0), points.max(0)
                values = [*((low + high) / 2), *(high - low)]
            if len(values) != 4:
                raise InputError(
                    f"{file}:{number}: {len(values) + 1} numbers; class cx cy w h are needed"
                )
            rows.append((chosen, *values))
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _to_pixels(relative: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Cx cy w h in 0..1 to x1 y1 x2 y2 in pixels."""
    half = relative[:, 2:] / 2
    corners = np.concatenate((relative[:, :2] - half, relative[:, :2] + half), axis=1)
    return corners * np.array([*size, *size], dtype=np.float64)
