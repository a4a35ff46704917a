"""The formats of predict.py: what is written for each image, and once when all are done."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TextIO

import numpy as np

from configs.tools import ResultFormat
from datasets.boxes.label_texts import Labelled, voc_text, yolo_names, yolo_text
from datasets.errors import InputError
from datasets.images import SUFFIXES, Image
from datasets.names import safe_name, shown
from datasets.types import ClassMap
from tasks.application import PhotoApplication
from tasks.predictor import Model
from tasks.weights.atomic_write import replacing, write_text
from tools.flows.journal import LINES, PARTIAL, rows_in
from tools.flows.pictures import write_picture

Row = dict[str, Any]
_NEED_BOXES: tuple[ResultFormat, ...] = ("yolo", "voc")
_FILES: dict[ResultFormat, str] = {"json": "predictions.json", "csv": "predictions.csv"}
_LABELS, _XMLS, _CROPS = "labels", "Annotations", "crops"


class Names:
    """Paths below the output folder, each given once: a number distinguishes equal ones.

    Only eight bytes of each are kept, for there may be millions.
    """

    def __init__(self) -> None:
        self._taken: set[bytes] = set()

    def unique(self, place: str, suffix: str) -> str:
        """The path with its suffix, or with a number before it."""
        number, name = 1, f"{place}{suffix}"
        while (key := blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()) in (
            self._taken
        ):
            number += 1
            name = f"{place}_{number}{suffix}"
        self._taken.add(key)
        return name


@dataclass(frozen=True)
class Found:
    """A result: its row, and the image that it is of."""

    row: Row
    image: Image


class Results:
    """Results of one model in one format.

    Args:
        form: Format.
        model: The model.
        folder: Output folder.
        crops: Whether objects are also cut out.

    Raises:
        InputError: If the format needs boxes and the answers have none.
    """

    def __init__(self, form: ResultFormat, model: Model, folder: Path, *, crops: bool) -> None:
        self.form, self.folder, self.crops = form, folder, crops
        self._application: PhotoApplication[Any] = model.application
        self._classes: ClassMap = model.card.classes
        self._columns = {number: k for k, number in enumerate(self._classes.ids)}
        if form in _NEED_BOXES and self._application.objects is None:
            raise InputError(
                f"--format {form}: holds boxes, and {self._application.name} finds none; take "
                "json, jsonl or csv"
            )

    @property
    def file(self) -> Path:
        """The file with all results."""
        return self.folder / _FILES.get(self.form, LINES)

    @property
    def drawn(self) -> PurePath:
        """Folder of drawn images below the output folder, apart from label files."""
        return PurePath("drawn" if self.form in _NEED_BOXES else "")

    def needs_names(self) -> bool:
        """Whether something is written for each image."""
        return self.form in _NEED_BOXES or self.crops

    def made(self) -> list[str]:
        """Folders that hold nothing but what is written for images."""
        labels = {"yolo": [_LABELS], "voc": [_XMLS]}.get(self.form, [])
        return [*labels, *([_CROPS] if self.crops else [])]

    def path(self, place: str | PurePath) -> Path:
        """Where something is written, from its path below the output folder.

        Raises:
            InputError: If a link there leads out of the output folder.
        """
        path, home = self.folder / place, os.path.realpath(self.folder)
        real = os.path.realpath(path.parent)
        if real != home and not real.startswith(home + os.sep):
            raise InputError(
                f"--out {self.folder}: {shown(path.parent)} leads out of it by a link"
            )
        return path

    def row(self, name: str, image: Image, told: Row) -> Row:
        """The row of an answer as plain data."""
        height, width = image.shape[:2]
        return {"file": name, "width": width, "height": height, **told}

    def write_labels(self, found: Found, place: str) -> None:
        """Write what belongs to one image: its label file and crops. Raises OSError."""
        row = found.row
        objects = self._objects(row)
        size = row["width"], row["height"]
        if self.form == "yolo":
            columns = [self._columns[one["category_id"]] for one in objects]
            boxes = np.array([_corners(one) for one in objects], np.float64)
            text = yolo_text(columns, boxes, size).encode()
            _write(self.path(f"{_LABELS}/{place}.txt"), text)
        if self.form == "voc":
            suffix = PurePath(row["file"]).suffix
            suffix = suffix if suffix.lower() in SUFFIXES else ".jpg"  # Of a frame.
            labelled = [Labelled(one["category"], np.array(_corners(one))) for one in objects]
            text = voc_text(PurePosixPath(f"{place}{suffix}"), size, labelled)
            _write(self.path(f"{_XMLS}/{place}.xml"), text)
        if self.crops:
            for number, one in enumerate(objects, start=1):
                cut = _cut(found.image, _corners(one))
                folder = f"{_CROPS}/{safe_name(one['category'])}"
                if cut.size:
                    write_picture(self.path(f"{folder}/{place}_{number}.jpg"), cut)

    def _objects(self, row: Row) -> list[Row]:
        objects = self._application.objects
        return [] if objects is None else objects(row)

    def finish(self) -> dict[str, Any]:
        """Write the file of all results from the lines on the disk; returns their numbers."""
        lines = self.folder / PARTIAL
        counts = {"images": 0}
        if self._application.objects is not None:
            counts["objects"] = 0
        for row in rows_in(lines):
            counts["images"] += 1
            if "objects" in counts:
                counts["objects"] += len(self._objects(row))
        if self.form == "yolo":
            names = self._classes.names
            text = yolo_names({"train": "images", "val": "images"}, names)
            write_text(self.folder / "data.yaml", text)
            write_text(self.folder / "classes.txt", "".join(f"{name}\n" for name in names))
        write = _WRITERS.get(self.form)
        if write is None:
            lines.replace(self.file)
        else:
            with replacing(self.file) as temporary, temporary.open("w", encoding="utf-8") as file:
                write(self, lines, file)
        return counts

    def _write_json(self, lines: Path, file: TextIO) -> None:
        if self._application.objects is None:
            file.write('{"photos":\n[')
            _write_list(file, rows_in(lines))
            file.write("]\n}\n")
            return
        file.write('{\n"images": [')
        _write_list(file, (_image(k, row) for k, row in enumerate(rows_in(lines), start=1)))
        file.write('],\n"annotations": [')
        _write_list(file, self._annotations(lines))
        file.write(f'],\n"categories": {json.dumps(self._classes.to_json())}\n}}\n')

    def _annotations(self, lines: Path) -> Iterator[Row]:
        number = 0
        for image, row in enumerate(rows_in(lines), start=1):
            for one in self._objects(row):
                number += 1
                told = {key: value for key, value in one.items() if key != "category"}
                yield {"id": number, "image_id": image, **told}

    def _write_csv(self, lines: Path, file: TextIO) -> None:
        writer: csv.DictWriter[str] | None = None
        for row in rows_in(lines):
            first = {key: row[key] for key in ("file", "width", "height")}
            told = {key: value for key, value in row.items() if key not in first}
            for cells in self._application.rows(told, self._classes.names):
                if writer is None:
                    writer = csv.DictWriter(file, [*first, *cells], lineterminator="\n")
                    writer.writeheader()
                writer.writerow({**first, **cells})


_WRITERS: dict[ResultFormat, Callable[[Results, Path, TextIO], None]] = {
    "json": Results._write_json,
    "csv": Results._write_csv,
}


def _write(path: Path, data: bytes) -> None:
    with replacing(path, sync=False) as temporary:
        temporary.write_bytes(data)


def _write_list(file: TextIO, rows: Iterator[Row]) -> None:
    for number, row in enumerate(rows):
        file.write(f"{',' if number else ''}\n{json.dumps(row)}")
    file.write("\n")


def _image(number: int, row: Row) -> Row:
    return {
        "id": number,
        "file_name": row["file"],
        "width": row["width"],
        "height": row["height"],
    }


def _corners(one: Row) -> list[float]:
    left, top, width, height = one["bbox"]
    return [left, top, left + width, top + height]


def _cut(image: Image, box: list[float]) -> Image:
    """The pixels that a box touches."""
    height, width = image.shape[:2]
    x1, y1 = max(int(np.floor(box[0])), 0), max(int(np.floor(box[1])), 0)
    x2, y2 = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
    return image[y1:y2, x1:x2]


def counted(counts: dict[str, Any]) -> str:
    """``7 objects in 3 images``."""
    images = f"{counts['images']} images"
    return f"{counts['objects']} objects in {images}" if "objects" in counts else images


def shown_lines(lines: list[str], total: int) -> list[str]:
    """Lines about the first images, and how many more there are."""
    more = total - len(lines)
    return [shown(line) for line in lines] + ([f"  ... and {more} more"] if more > 0 else [])
