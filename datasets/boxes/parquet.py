"""Boxes in Parquet files, as in Hugging Face's data sets: images as bytes beside ``objects``.

The columns are ``image``, and ``objects`` with ``bbox`` and ``category``; or ``bbox`` and
``category`` themselves. ``width``, ``height`` and ``image_id`` are optional.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.described import Described, Told, gather, size_of
from datasets.boxes.hf_objects import (
    BOXES,
    CLASSES,
    FIELDS,
    FORMS,
    Form,
    Thing,
    add_things,
    form_of,
    read_objects,
)
from datasets.boxes.listed_paths import Finder
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.boxes.yolo_labels import NAME_FILES, read_names
from datasets.claims import Claim, Strength
from datasets.errors import InputError
from datasets.fields import Fields
from datasets.images import probe_image
from datasets.ledger import ANNOTATION, ARCHIVES, note_read
from datasets.names import entries_like, in_order, shown
from datasets.parallel import in_threads
from datasets.parquet_files import (
    class_names,
    find_tables,
    first_filled,
    leaves_of,
    num_rows,
    open_table,
    read_columns,
    without_reader,
)
from datasets.parquet_pictures import PictureColumn, StoredPictures, find_column
from datasets.reading_order import ReadTogether
from datasets.types import ClassMap
from datasets.written_pictures import suffix_of

_OBJECTS = ("objects", "annotations", "object", "detections")
_TOLD = ("width", "height", "image_id")
# Corners are what boxes are read as if so many could be such and, as x, y, width, height, so many
# would leave their images.
_COULD_BE, _CANNOT_BE = 0.99, 0.1
_LARGEST = 2**53  # Above it, floats skip whole numbers.


@dataclass(frozen=True, kw_only=True)
class ParquetBoxes(DetectionData):
    """Images with boxes in Parquet files.

    Attributes:
        pictures: Reads them.
    """

    pictures: StoredPictures

    @property
    def in_files(self) -> bool:
        """As :attr:`DetectionData.in_files`."""
        return False

    @property
    def read_together(self) -> ReadTogether | None:
        """As :attr:`DetectionData.read_together`."""
        return self.pictures.read_together

    def stored(self, index: int) -> bytes:
        """As :meth:`DetectionData.stored`."""
        return self.pictures.read(index, str(self.files[index]))

    def length(self, index: int) -> int | None:
        """As :meth:`DetectionData.length`."""
        return self.pictures.length(index)

    def select(self, images: NDArray[np.bool_], boxes: NDArray[np.bool_]) -> DetectionData:
        """As :meth:`DetectionData.select`."""
        chosen = super().select(images, boxes)
        return replace(chosen, pictures=self.pictures.select(images))  # type: ignore[call-arg]


@dataclass(frozen=True)
class Columns:
    """What the columns of a set's tables are.

    Attributes:
        pictures: Column of the images, or of their paths.
        objects: Column of the objects; empty if there is one of boxes and one of classes.
        read: All columns that describe the images.
        classes: Class names in the tables themselves; empty if there are none.
    """

    pictures: PictureColumn
    objects: str
    read: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        tables: Files of it.
        everything: Files of all splits, which agree about the classes.
        columns: Columns of the tables.
        base: Folder of images that the tables only name.
        names: File of the classes' names, if there is one.
    """

    tables: tuple[Path, ...]
    everything: tuple[Path, ...]
    columns: Columns
    base: Path
    names: Path | None


def claim(tree: Tree) -> Claim | None:
    """Tables with a column of images and one of boxes.

    Raises:
        InputError: If the user named a file that is damaged, or that pyarrow would have to read.
    """
    parts = find_tables(tree.path)
    if not parts:
        return None
    everything = tuple(file for files in parts.values() for file in files)
    name = tree.name_of(everything[0])
    try:
        if missing := without_reader(everything[0]):
            raise InputError(missing)
        columns = _find_columns(first_filled(everything))
    except InputError as error:
        if tree.path.is_file():
            raise
        lacks, evidence = f"but {error}", f"{name} is called a Parquet file"
        return Claim(format="parquet", strength=Strength.NEAR, evidence=evidence, lacks=lacks)
    if columns is None:
        return None
    base = tree.images or tree.base
    names = next(iter(entries_like(tree.base, *NAME_FILES)), None)
    boxes = columns.objects or next(one for one in columns.read if one in BOXES)
    return Claim(
        format="parquet",
        strength=tree.strength(Strength.DECLARED),
        evidence=f"{name} has columns {columns.pictures.name} and {boxes}",
        parts={
            split: Part(files, everything, columns, base, names) for split, files in parts.items()
        },
    )


def _find_columns(file: Path) -> Columns | None:
    """The columns of a table; None if it has none of images, or none of boxes."""
    schema, pictures = open_table(file).schema_arrow, find_column(file)
    types = {field.name: field.type for field in schema}
    if pictures is None:
        return None
    told = tuple(one for one in (*_TOLD, *FORMS) if one in types)
    for name in _OBJECTS:
        inner = _fields_of(types[name]) if name in types else {}
        if any(one in inner for one in BOXES):
            kinds = [one for one in CLASSES if one in inner]
            classes = class_names(file, name, kinds[0]) if kinds else ()
            return Columns(pictures, name, (name, *told), classes)
    at = next((one for one in BOXES if one in types and _depth(types[one]) == 2), None)
    called = next((one for one in CLASSES if one in types and _depth(types[one]) == 1), None)
    if at is None or called is None:
        return None
    return Columns(pictures, "", (at, called, *told), class_names(file, called))


def _fields_of(kind: Any) -> dict[str, Any]:
    """Fields of a structure, or of the structures in a list."""
    import pyarrow as pa

    inner = kind.value_type if _depth(kind) else kind
    if not pa.types.is_struct(inner):
        return {}
    return {inner.field(k).name: inner.field(k).type for k in range(inner.num_fields)}


def _depth(kind: Any) -> int:
    """How many lists lie in each other."""
    import pyarrow as pa

    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return 1 + _depth(kind.value_type) if any(test(kind) for test in tests) else 0


@dataclass
class _Row:
    """The content of a row about an image; its boxes are still as they are written."""

    picture: Described
    things: list[Thing]
    form: Form | None
    number: object


def read(root: Path, part: Part) -> DetectionData:
    """Read the boxes in the tables of a split, and where their images are.

    Raises:
        InputError: If a row is damaged or lacks a field; the message names table, row and field.
    """
    told, columns = Told(root), part.columns
    listed = columns.classes or (read_names(part.names).names if part.names else ())
    rows: dict[Path, list[_Row]] = {}
    role = ARCHIVES if columns.pictures.embedded else ANNOTATION
    for table in part.everything:
        own = _find_columns(table)
        if own is not None and own.classes and own.classes != columns.classes:
            raise InputError(f"{table}: names other classes than {part.everything[0]}")
        if table in part.tables:
            note_read(table, role)
            rows[table] = _read_rows(table, columns, listed, told)
            continue
        try:
            rows[table] = _read_rows(table, columns, listed, None)
        except InputError:
            rows[table] = []  # Whoever reads that part is told.
    mine = [row for table in part.tables for row in rows[table]]
    stored = None
    if columns.pictures.embedded:
        stored = StoredPictures.of(part.tables, columns.pictures.name)
        _name_pictures(part, [row.picture for row in mine], stored)
        stored = stored.select(np.array([row.picture.wanted for row in mine], np.bool_))
    else:
        _find_pictures(part, rows)
    _measure_others(part, rows)
    _settle([row for several in rows.values() for row in several], root, told)
    used = {name for several in rows.values() for row in several for name in row.picture.names}
    wanted = [row for row in mine if row.picture.wanted]
    data = gather(
        "parquet", root, [row.picture for row in wanted], listed or in_order(used), told=told
    )
    numbers = [row.number for row in wanted]
    usual = [one for one in numbers if type(one) is int and 0 <= one < _LARGEST]
    if len({*usual}) == len(numbers):
        data = replace(data, image_ids=np.array(usual, dtype=np.int64))
    if listed:
        data = replace(data, classes=ClassMap.from_names([*listed], first=0))
    if stored is None:
        return data
    return ParquetBoxes(
        **{one.name: getattr(data, one.name) for one in fields(data)}, pictures=stored
    )


def _read_rows(
    table: Path, columns: Columns, listed: Sequence[str], told: Told | None
) -> list[_Row]:
    inner = leaves_of(table, columns.objects, FIELDS) if columns.objects else []
    others = [name for name in columns.read if name != columns.objects]
    found = read_columns(table, [*inner, *others])  # Outlines may be a thousand times the boxes.
    rows = []
    for number in range(num_rows(table)):
        values = {name: several[number] for name, several in found.items()}
        row = Fields(f"{shown(table)}: row {number}", values)
        things = read_objects(row, columns.objects, listed)
        picture = Described(table / f"{number:06d}", wanted=things is not None)
        if things is None and told is not None:
            told.add("rows without objects", "dropped", str(number), "not labelled yet")
        if row.has("width") and row.has("height"):
            picture.size = (row.whole("width"), row.whole("height"))
        form = form_of(row, columns.objects)
        rows.append(_Row(picture, things or [], form, values.get("image_id")))
    return rows


def _name_pictures(part: Part, pictures: Sequence[Described], stored: StoredPictures) -> None:
    """Name images in tables, and measure those whose size no column states."""
    names = [name for table in part.tables for name in part.columns.pictures.names(table)]

    def look(index: int) -> None:
        one = pictures[index]
        try:
            data = stored.read(index, str(one.file))
        except InputError:  # The data doctor reports it.
            one.file = one.file.with_suffix(".jpg")
            return
        if not names[index]:
            one.file = one.file.with_suffix(suffix_of(io.BytesIO(data)))
        if min(one.size) <= 0:
            one.size = _size_of(one.file, data)

    todo = [k for k, one in enumerate(pictures) if not names[k] or min(one.size) <= 0]
    for one, name in zip(pictures, names, strict=True):
        if name:
            one.file = one.file.with_name(name)
    in_threads(look, todo, "reading images", unit="image")


def _measure_others(part: Part, rows: dict[Path, list[_Row]]) -> None:
    """Measure images of other parts if the form of boxes is not declared: they reveal it, too."""
    for table in part.everything:
        unsized = [
            k
            for k, row in enumerate(rows[table])
            if row.form is None and row.things and min(row.picture.size) <= 0
        ]
        if table in part.tables or not unsized:
            continue
        column = part.columns.pictures
        if not column.embedded:
            finder = Finder(part.base, (table.parent,), described_by=table)
            paths = column.paths(table)
            for k in unsized:
                if found := finder.find(paths[k], f"{shown(table)}: row {k}"):
                    rows[table][k].picture.size = size_of(found, upright=False)
            continue
        shelf = StoredPictures.of((table,), column.name)
        for k in unsized:
            picture = rows[table][k].picture
            with contextlib.suppress(InputError):  # Whoever reads that part is told.
                picture.size = _size_of(picture.file, shelf.read(k, str(picture.file)))


def _size_of(file: Path, data: bytes) -> tuple[int, int]:
    try:
        return probe_image(file, data)[:2]
    except ValueError:  # The data doctor reports it.
        return 0, 0


def _find_pictures(part: Part, rows: dict[Path, list[_Row]]) -> None:
    """Find the images that tables only name."""
    for table in part.tables:
        near = (table.parent, table.parent / "images", part.base / "images")
        finder = Finder(part.base, near, described_by=table)
        for number, (row, path) in enumerate(
            zip(rows[table], part.columns.pictures.paths(table), strict=True)
        ):
            found = finder.find(path, f"{shown(table)}: row {number}")
            row.picture.file = found or near[0] / path
            if min(row.picture.size) <= 0:
                row.picture.size = size_of(row.picture.file, upright=False)
        part.columns.pictures.refuse_missing(table, [str(row.picture.file) for row in rows[table]])


def _settle(rows: Sequence[_Row], root: Path, told: Told) -> None:
    """Add the objects of rows to their images, in the form that is declared or evident.

    Hugging Face's documentation has x, y, width, height; some data sets have corners. They are
    distinguished by the boxes of all parts together.
    """
    open_ones = [row for row in rows if row.form is None]
    boxes = np.array([one.box for row in open_ones for one in row.things]).reshape(-1, 4)
    sizes = np.array([row.picture.size for row in open_ones for _ in row.things]).reshape(-1, 2)
    form: Form = "xywh"
    with np.errstate(invalid="ignore", over="ignore"):
        sized = (sizes > 0).all(axis=1)
        beyond = (boxes[:, :2] + boxes[:, 2:] > 1.02 * sizes + 1).any(axis=1) & sized
        ordered = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if beyond.any() and beyond.sum() >= _CANNOT_BE * sized.sum() and ordered.mean() >= _COULD_BE:
        form = "xyxy"
        left = f"{beyond.sum()} of {sized.sum()} would leave their image"
        why = f"as x y width height {left}"
        told.add("boxes read as corners x1 y1 x2 y2", "kept", str(root), why)
    for row in rows:
        add_things(row.picture, row.things, row.form or form)
