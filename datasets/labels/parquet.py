"""Hugging Face's Parquet files: a column of images as bytes, and one of labels."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from datasets.errors import InputError
from datasets.fields import as_whole
from datasets.images import Image, decode_image, pictures_below
from datasets.labels.csv_list import LABEL_NAMES
from datasets.labels.listed_pictures import find_pictures
from datasets.labels.structure import LabelledData, Part, name_classes
from datasets.ledger import ARCHIVES, note_read
from datasets.names import in_order
from datasets.parquet_files import (
    class_names,
    find_configurations,
    find_tables,
    first_filled,
    num_rows,
    open_table,
    read_columns,
    without_reader,
)
from datasets.parquet_pictures import PictureColumn, StoredPictures, find_column
from datasets.reading_order import ReadTogether
from datasets.types import ClassMap

_LABELS = (*LABEL_NAMES, "labels", "fine_label")
# Columns of boxes, which detection reads.
_BOXES = ("objects", "bbox", "bboxes", "boxes")


@dataclass(frozen=True, kw_only=True)
class ParquetPhotos(LabelledData):
    """Images in Parquet files.

    Attributes:
        stored: Reads them.
    """

    stored: StoredPictures

    @property
    def in_files(self) -> bool:
        """As :attr:`LabelledData.in_files`."""
        return False

    @property
    def read_together(self) -> ReadTogether | None:
        """As :attr:`LabelledData.read_together`."""
        return self.stored.read_together

    def image(self, index: int) -> Image:
        """As :meth:`LabelledData.image`."""
        name = str(self.files[index])
        return decode_image(self.stored.read(index, name), name, upright=True)

    def length(self, index: int) -> int | None:
        """As :meth:`LabelledData.length`."""
        return self.stored.length(index)

    def content(self, index: int) -> tuple[bytes, str]:
        """File content of an image and its suffix, which is determined by the image itself."""
        found = self.stored.read(index, str(self.files[index]))
        try:
            with PilImage.open(io.BytesIO(found)) as picture:
                return found, f".{(picture.format or 'bin').lower()}".replace(".jpeg", ".jpg")
        except Exception as error:  # A damaged file makes Pillow raise nearly anything.
            raise InputError(f"{self.files[index]}: not an image ({error})") from error

    def select(self, keep: NDArray[np.bool_]) -> LabelledData:
        """As :meth:`LabelledData.select`."""
        chosen = super().select(keep)
        return replace(chosen, stored=self.stored.select(keep))  # type: ignore[call-arg]


@dataclass(frozen=True)
class _Columns:
    """What a table's columns are.

    Attributes:
        pictures: Column of the images, or of their paths.
        label: Column of the labels.
        classes: Classes in the table itself; None if there are none.
    """

    pictures: PictureColumn
    label: str
    classes: ClassMap | None


@dataclass(frozen=True)
class ParquetPart(Part):
    """One split whose images lie in tables.

    Attributes:
        tables: Files.
        column: Column of the images.
    """

    tables: tuple[Path, ...] = ()
    column: str = ""

    def read(self, root: Path) -> LabelledData:
        """As :meth:`Part.read`."""
        for table in self.tables:
            note_read(table, ARCHIVES)
        data = super().read(root)
        fields = {name: getattr(data, name) for name in ("root", "files", "labels", "classes")}
        stored = StoredPictures.of(self.tables, self.column)
        return ParquetPhotos(format=data.format, stored=stored, **fields)


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a Parquet file, or of a folder with ``train-*.parquet`` in it or in ``data/``.

    Tables without images and labels are none, unless nothing else lies there.

    Raises:
        InputError: If pyarrow is not installed, or the files hold no images with labels.
    """
    parts = find_tables(path)
    if not parts and (sets := find_configurations(path)) and not pictures_below(path, first=True):
        if len(sets) > 1:
            names = " and ".join(one.name for one in sets)
            raise InputError(
                f"{path}: there are sets of Parquet files in {names}: name one of them"
            )
        parts = find_tables(sets[0])
    if not parts:
        return {}
    tables = next(iter(parts.values()))
    if told := without_reader(tables[0]):
        raise InputError(told)
    first = first_filled(tables)
    columns = _columns(first)
    if columns is None:
        if path.is_dir() and pictures_below(path, first=True):
            return {}  # It is about something else.
        raise _lacking(first)
    for table in (file for several in parts.values() for file in several):
        named = class_names(table, columns.label)
        if named and (columns.classes is None or named != columns.classes.names):
            raise InputError(f"{table}: names other classes than {first}")
    keys: dict[str, list[str]] = {}
    for split, tables in parts.items():
        try:
            keys[split] = [key for file in tables for key in _keys(file, columns.label)]
        except InputError:
            if split != "test" or len(keys) < 2:  # Beside val it often tells no labels.
                raise
    parts = {split: parts[split] for split in keys}
    order, classes = in_order(next(iter(keys.values()))), columns.classes
    if classes is not None:
        order = [str(number) for number in classes.ids]
    common: dict[str, Any] = {"format": "parquet", "order": order}
    common["classes"] = classes or name_classes(order)
    found: dict[str, Part] = {}
    for split, tables in parts.items():
        about = {**common, "where": tables[0], "annotations": tables}
        if columns.pictures.embedded:
            files = partial(_inside, tables, keys[split])
            column = columns.pictures.name
            found[split] = ParquetPart(photos=files, tables=tables, column=column, **about)
        else:
            files = partial(_beside, tables, columns.pictures, keys[split])
            found[split] = Part(photos=files, **about)
    return found


def _inside(tables: Sequence[Path], keys: list[str]) -> Iterator[tuple[str, str]]:
    names = [f"{file}:{row}" for file in tables for row in range(num_rows(file))]
    return zip(names, keys, strict=True)


def _beside(
    tables: Sequence[Path], column: PictureColumn, keys: list[str]
) -> Iterator[tuple[str, str]]:
    """Images that the tables only name."""
    files: list[str] = []
    for table in tables:
        found = find_pictures(table, column.paths(table))
        column.refuse_missing(table, found)
        files += found
    return zip(files, keys, strict=True)


def _columns(file: Path) -> _Columns | None:
    """What a table's columns are; None if it has none of images, or none of labels."""
    schema = open_table(file).schema_arrow
    pictures = find_column(file)
    known = (name for name in _LABELS if name in schema.names)
    label = next((name for name in known if not _is_nested(schema.field(name).type)), None)
    if pictures is None or label is None:
        return None
    named = class_names(file, label)
    classes = ClassMap.from_names([*named], first=0) if named else None
    return _Columns(pictures, label, classes)


def _lacking(file: Path) -> InputError:
    """What to raise for a table without the columns that are needed."""
    names = open_table(file).schema_arrow.names
    if any(name in names for name in _BOXES):
        return InputError(
            f"{file}: holds boxes, which are no labels: detection reads them (--task detection, "
            "tools/train_det.py)"
        )
    several = next((name for name in _LABELS if name in names), "")
    if several and find_column(file):
        return InputError(f"{file}: column {several!r} has several classes per image, not one")
    return InputError(
        f"{file}: a column of images (bytes) and one called label are needed; it has "
        f"{', '.join(names)}"
    )


def _is_nested(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(kind))


def _keys(file: Path, label: str) -> list[str]:
    """Label of each row of a file.

    Raises:
        InputError: If a row has none; or the file lacks the column or is damaged.
    """
    keys = []
    for row, value in enumerate(read_columns(file, [label])[label]):
        whole = None if isinstance(value, str) else as_whole(value)  # pandas makes 1.0 of 1.
        key = str(value if whole is None else whole)
        if not isinstance(value, str | int | float) or key in ("", "-1", "nan"):
            raise InputError(f"{file}: row {row} has the label {value!r}; leave it out")
        keys.append(key)
    return keys
