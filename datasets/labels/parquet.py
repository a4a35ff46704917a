"""Hugging Face's Parquet files: a column of pictures as bytes, and one of labels.

Reading them takes pyarrow, which only this format needs.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from datasets.errors import InputError
from datasets.fields import Fields
from datasets.images import Image, decode_image
from datasets.json_files import parse_json
from datasets.labels.csv_list import LABEL_NAMES
from datasets.labels.structure import LabelledData, Part, name_classes
from datasets.ledger import ARCHIVES, note_read
from datasets.lfs import refuse_pointer
from datasets.names import in_order, is_file
from datasets.part_names import PART_NAMES, is_part
from datasets.refused import BOXES_IN
from datasets.types import ClassMap

_SUFFIX = ".parquet"
_LABELS = (*LABEL_NAMES, "labels", "fine_label")
# Where the hub's data sets have them: beside the page, in data/, or in a folder per configuration.
_PLACES = ("", "data", "default")


@dataclass(frozen=True, kw_only=True)
class ParquetPhotos(LabelledData):
    """Photos in Parquet files, read one by one from the group of rows that each lies in.

    Attributes:
        tables: Files.
        column: Of the pictures.
        places: (N, 3) int64 file, group of rows, and row in it, of each photo.
    """

    tables: tuple[Path, ...]
    column: str
    places: NDArray[np.int64]

    @property
    def in_files(self) -> bool:
        """As :attr:`LabelledData.in_files`."""
        return False

    def image(self, index: int) -> Image:
        """As :meth:`LabelledData.image`."""
        return decode_image(self._bytes(index), str(self.files[index]), upright=True)

    def content(self, index: int) -> tuple[bytes, str]:
        """As :meth:`LabelledData.content`; the picture itself tells its suffix."""
        found = self._bytes(index)
        try:
            with PilImage.open(io.BytesIO(found)) as picture:
                return found, f".{(picture.format or 'bin').lower()}".replace(".jpeg", ".jpg")
        except Exception as error:  # A damaged file makes Pillow raise nearly anything.
            raise InputError(f"{self.files[index]}: not a picture ({error})") from error

    def select(self, keep: NDArray[np.bool_]) -> LabelledData:
        """As :meth:`LabelledData.select`."""
        return replace(super().select(keep), places=self.places[keep])  # type: ignore[call-arg]

    def _bytes(self, index: int) -> bytes:
        table, group, row = self.places[index].tolist()
        try:
            opened = _open(self.tables[table], _metadata(self.tables[table]))
            found = opened.read_row_group(group, columns=[self.column], use_threads=False)
            value = found.column(0)[row].as_py()
        except Exception as error:  # A damaged file makes pyarrow raise nearly anything.
            raise InputError(f"{self.files[index]}: cannot be read ({error})") from error
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise InputError(f"{self.files[index]}: holds no picture, only {str(value)[:80]}")
        return data


@dataclass(frozen=True)
class ParquetPart(Part):
    """One split.

    Attributes:
        tables: Files.
        column: Of the pictures.
    """

    tables: tuple[Path, ...] = ()
    column: str = ""

    def read(self, root: Path) -> LabelledData:
        """As :meth:`Part.read`."""
        for table in self.tables:
            note_read(table, ARCHIVES)
        data = super().read(root)
        groups = [
            (number, group, row)
            for number, file in enumerate(self.tables)
            for group in range(_metadata(file).num_row_groups)
            for row in range(_metadata(file).row_group(group).num_rows)
        ]
        fields = {name: getattr(data, name) for name in ("root", "files", "labels", "classes")}
        places = np.array(groups, np.int64).reshape(-1, 3)
        return ParquetPhotos(
            format=data.format, tables=self.tables, column=self.column, places=places, **fields
        )


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a Parquet file, or of a folder with ``train-*.parquet`` in it or in ``data/``.

    Raises:
        InputError: If pyarrow is not installed, or the files hold no pictures with labels.
    """
    files = [path] if path.is_file() and path.suffix == _SUFFIX else []
    for place in _PLACES if path.is_dir() else ():
        files = files or sorted(filter(is_file, (path / place).glob(f"*{_SUFFIX}")))
    if not files:
        return {}
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(f"{files[0]}: is a Parquet file; to read it, pip install pyarrow")
    by_part: dict[str, list[Path]] = {}
    for file in files:
        words = re.split(r"[-_.]", file.name.lower())
        word = next((one for one in words if is_part(one)), "")
        by_part.setdefault(word, []).append(file)
    parts = {
        split: next((by_part[name] for name in names if name in by_part), [])
        for split, names in PART_NAMES.items()
    }
    parts = {split: tables for split, tables in parts.items() if tables} or {"train": files}
    column, label, classes = _columns(next(iter(parts.values()))[0])
    if classes is not None:
        order = [str(number) for number in classes.ids]
    else:
        first = next(iter(parts.values()))
        order = in_order(key for file in first for key in _keys(file, label))
    return {
        split: ParquetPart(
            format="parquet",
            photos=partial(_photos, tables, label),
            order=order,
            classes=classes or name_classes(order),
            where=tables[0],
            annotations=tables,
            tables=tuple(tables),
            column=column,
        )
        for split, tables in parts.items()
    }


def _photos(tables: list[Path], label: str) -> Iterator[tuple[str, str]]:
    for file in tables:
        keys = _keys(file, label)
        yield from ((f"{file}:{row}", key) for row, key in enumerate(keys))


@cache
def _metadata(file: Path) -> Any:
    return _open(file).metadata


def _open(file: Path, metadata: Any = None) -> Any:
    """A Parquet file.

    Raises:
        InputError: If it is none.
    """
    import pyarrow.parquet

    refuse_pointer(file)
    try:
        return pyarrow.parquet.ParquetFile(file, metadata=metadata, memory_map=True)
    except Exception as error:  # A damaged file makes pyarrow raise nearly anything.
        raise InputError(f"{file}: not a Parquet file that can be read ({error})") from error


def _columns(file: Path) -> tuple[str, str, ClassMap | None]:
    """Column of pictures, column of labels, and the classes that the schema names.

    Raises:
        InputError: If there is no such column.
    """
    import pyarrow as pa

    schema = _open(file).schema_arrow
    pictures = [
        field.name
        for field in schema
        if pa.types.is_binary(field.type)
        or pa.types.is_large_binary(field.type)
        or (pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    ]
    label = next((name for name in _LABELS if name in schema.names), None)
    if not pictures or label is None:
        known = ", ".join(schema.names)
        if "objects" in schema.names:
            raise InputError(f"{file}: {BOXES_IN[_SUFFIX]}")
        raise InputError(
            f"{file}: a column of pictures (bytes) and one called label are needed; it has {known}"
        )
    told = (schema.metadata or {}).get(b"huggingface")
    if told is None:
        return pictures[0], label, None
    where = f"{file}: huggingface"
    names: Any = parse_json(told, where)
    for key in ("info", "features", label, "names"):
        names = Fields.of(where, names).values.get(key) if isinstance(names, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return pictures[0], label, None
    return pictures[0], label, ClassMap.from_names(names, first=0)


def _keys(file: Path, label: str) -> list[str]:
    """Label of each row of a file.

    Raises:
        InputError: If a row has none; or the file lacks the column or is damaged.
    """
    try:
        values = _open(file).read(columns=[label]).column(0).to_pylist()
    except InputError:
        raise
    except Exception as error:  # A damaged file makes pyarrow raise nearly anything.
        raise InputError(f"{file}: column {label!r} cannot be read ({error})") from error
    for row, value in enumerate(values):
        if not isinstance(value, str | int) or str(value) in ("", "-1"):
            raise InputError(f"{file}: row {row} has the label {value!r}; leave it out")
    return [str(value) for value in values]
