"""Images in a column of Parquet files.

They are read by groups of rows; each process keeps the most recent groups in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets import reading_order
from datasets.errors import InputError
from datasets.fields import is_clean
from datasets.names import is_file, shown
from datasets.parquet_files import (
    metadata_of,
    num_rows,
    open_table,
    read_columns,
    version_of,
)
from datasets.reading_order import ReadTogether

# Usual names of image columns and of columns of their paths; if there are several, the first in
# this list is used.
_PICTURES = ("image", "img", "picture", "photo", "image_bytes", "bytes", "content")
_PATHS = ("image", "file_name", "image_path", "filename", "path", "img", "file", "img_path")
# Largest size of a group of rows of images, in bytes: each process that reads holds at least one.
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class PictureColumn:
    """The image column of a table.

    Attributes:
        name: Name of the column.
        embedded: Whether it holds the images, rather than their paths.
        has_path: Whether it holds a path beside each image.
    """

    name: str
    embedded: bool
    has_path: bool

    def paths(self, table: Path) -> list[str]:
        """The path that a table gives for the image in each row.

        Raises:
            InputError: If a row has no path.
        """
        leaf = f"{self.name}.path" if self.has_path else self.name
        found = read_columns(table, [leaf])[self.name]
        paths = list[str]()
        for row, value in enumerate(found):
            path = value.get("path") if isinstance(value, dict) else value
            if not isinstance(path, str) or not path or not is_clean(path):
                raise InputError(
                    f"{table}: row {row}: {self.name} has neither an image nor a path; leave it "
                    "out"
                )
            paths.append(path)
        return paths

    def names(self, table: Path) -> list[str]:
        """Names that a table gives for the images that it holds; empty texts if it has none."""
        rows = num_rows(table)
        if not self.has_path:
            return [""] * rows
        found = read_columns(table, [f"{self.name}.path"])[self.name]
        paths = [(one or {}).get("path") for one in found]
        own = [Path(path.replace("\\", "/")).name for path in paths if path and is_clean(path)]
        return own if len({*own}) == rows else [""] * rows

    def refuse_missing(self, table: Path, files: Sequence[str]) -> None:
        """Raise InputError if none of the images exists that a table's paths name."""
        if files and not any(map(is_file, files)):
            raise InputError(
                f"{table}: row 0: {self.name} has the path of an image, not the image, and "
                f"{shown(files[0])} is not there; put the images beside the table, or into it"
            )


def find_column(file: Path) -> PictureColumn | None:
    """The image column of a table; None if there is none.

    It contains bytes, or numbers that are bytes, or a structure of bytes and a path, or only
    paths.

    Args:
        file: Table.

    Raises:
        InputError: If the file cannot be read.
    """
    types = {field.name: field.type for field in open_table(file).schema_arrow}
    fitting = [name for name, kind in types.items() if _can_hold(kind)]
    name = next((one for one in _PICTURES if one in fitting), next(iter(fitting), None))
    if name is not None:
        has_path = not _is_list(types[name]) and "path" in _fields(types[name])
        is_void = has_path and str(types[name].field("bytes").type) == "null"
        embedded = not has_path or (not is_void and _holds_any(file, name))
        return PictureColumn(name, embedded, has_path)
    texts = ("string", "large_string", "string_view")
    named = next((one for one in _PATHS if str(types.get(one)) in texts), None)
    return None if named is None else PictureColumn(named, embedded=False, has_path=False)


def _can_hold(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        inner = kind.field(place).type if place >= 0 else kind
        return place >= 0 and (pa.types.is_null(inner) or _can_hold(inner))
    if _is_list(kind):
        return bool(pa.types.is_uint8(kind.value_type))
    return str(kind) in ("binary", "large_binary", "binary_view")


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _fields(kind: Any) -> list[str]:
    return [kind.field(k).name for k in range(kind.num_fields)]


def _holds_any(file: Path, column: str) -> bool:
    """Whether a column contains any bytes, as far as the file's metadata shows."""
    metadata = metadata_of(file)
    for group in range(metadata.num_row_groups):
        for leaf in _leaves(metadata.row_group(group), column):
            told = leaf.statistics
            if told is None or not told.has_null_count or told.null_count < leaf.num_values:
                return True
    return False


def _leaves(group: Any, column: str) -> list[Any]:
    """The chunks of a group of rows that contain the bytes of a column."""
    chunks = [group.column(k) for k in range(group.num_columns)]
    inside = [one for one in chunks if one.path_in_schema.split(".")[0] == column]
    return [one for one in inside if one.path_in_schema.startswith(f"{column}.bytes")] or inside


@dataclass(frozen=True)
class StoredPictures:
    """Images in a column of Parquet files.

    Attributes:
        shelf: Reader and cache of the images.
        places: (N, 3) int64 file, group of rows in it, and row in that, of each image.
    """

    shelf: Shelf
    places: NDArray[np.int64]

    @classmethod
    def of(cls, tables: Sequence[Path], column: str) -> StoredPictures:
        """All images in some files.

        Args:
            tables: Files.
            column: Image column.

        Raises:
            InputError: If a group of rows is too large for memory, or a file is damaged.
        """
        places = list[tuple[int, int, int]]()
        for number, file in enumerate(tables):
            metadata = metadata_of(file)
            for group in range(metadata.num_row_groups):
                found = metadata.row_group(group)
                _refuse_large(file, group, sum(_sizes(found, column)))
                places += [(number, group, row) for row in range(found.num_rows)]
        return cls(Shelf(tuple(tables), column), np.array(places, np.int64).reshape(-1, 3))

    @property
    def read_together(self) -> ReadTogether:
        """Which of the images are read together."""
        pairs, groups = np.unique(self.places[:, :2], axis=0, return_inverse=True)
        sizes = [self.shelf.size(*pair) for pair in pairs.tolist()]
        tables = self.shelf.tables
        versions = {"/".join(file.parts[-2:]): version_of(file) for file in tables}
        return ReadTogether(groups.reshape(-1), np.array(sizes, np.int64), versions)

    def select(self, keep: NDArray[np.bool_]) -> StoredPictures:
        """The images of a mask (N,)."""
        return replace(self, places=self.places[keep])

    def read(self, index: int, name: str) -> bytes:
        """The file content of an image.

        Args:
            index: Index of the image.
            name: Name at the beginning of messages.

        Raises:
            InputError: If there is none, or it cannot be read.
        """
        table, group, row = self.places[index].tolist()
        try:
            data = _as_bytes(self.shelf.group(table, group)[row])
        except Exception as error:  # A damaged file makes pyarrow raise nearly anything.
            raise InputError(f"{name}: cannot be read ({error})") from error
        if not isinstance(data, bytes):
            raise InputError(f"{name}: holds no image, only {str(data)[:80]}; leave the row out")
        return data

    def length(self, index: int) -> int | None:
        """Number of bytes of an image; None if there is none."""
        try:
            return len(self.read(index, ""))
        except InputError:
            return None


class Shelf:
    """Cache of groups of rows in the image column of some files; the most recent ones are kept.

    Loader processes and threads may share it; a copy in another process starts empty.

    Args:
        tables: Files.
        column: Column of the images.

    Attributes:
        reads: Number of groups that were read.
    """

    def __init__(self, tables: tuple[Path, ...], column: str) -> None:
        self.tables, self.column = tables, column
        self.reads = 0
        self._held: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Shelf], tuple[tuple[Path, ...], str]]:
        """A copy for another process."""
        return Shelf, (self.tables, self.column)

    def size(self, table: int, group: int) -> int:
        """Number of bytes of a group before compression."""
        return sum(_sizes(metadata_of(self.tables[table]).row_group(group), self.column))

    def group(self, table: int, group: int) -> Any:
        """The column's values in a group of rows, as a pyarrow array."""
        key = (table, group)
        found = self._held.get(key)  # Without the lock, for which a thread may wait for long.
        if found is None:
            with self._lock:
                found = self._held.get(key)
                if found is None:
                    found = self._held[key] = self._load(table, group)
        with suppress(KeyError):  # Another thread may just have let go of it.
            self._held.move_to_end(key)
        return found

    def _load(self, table: int, group: int) -> Any:
        """Read a group, and drop the groups that have been unused for longest, if necessary.

        Sizes must be the ones that reading orders are computed with, or one group too many might
        be kept.
        """
        self.reads += 1
        columns, opened = [self.column], open_table(self.tables[table])
        found = opened.read_row_group(group, columns=columns, use_threads=False).column(0)
        held = sum(self.size(*key) for key in (*self._held, (table, group)))
        while self._held and held > reading_order.HELD:
            held -= self.size(*self._held.popitem(last=False)[0])
        return found


def _sizes(group: Any, column: str) -> list[int]:
    return [int(one.total_uncompressed_size) for one in _leaves(group, column)]


def _refuse_large(file: Path, group: int, size: int) -> None:
    if size > MOST_BYTES:
        raise InputError(
            f"{file}: group of rows {group} has {size / 1e6:,.0f} MB of images, which are read "
            f"at once; at most {MOST_BYTES / 1e6:,.0f} MB are. Write the file anew in smaller "
            "groups: pyarrow.parquet.write_table(pyarrow.parquet.read_table(file), new_file, "
            "row_group_size=100)"
        )


def _as_bytes(scalar: Any) -> object:
    """The bytes of a value in a column; something else if it has none."""
    import pyarrow as pa

    if isinstance(scalar, pa.StructScalar):
        found = scalar["bytes"] if scalar.is_valid else scalar
        return _as_bytes(found) if found.is_valid else scalar.as_py()
    if isinstance(scalar, pa.ListScalar) and scalar.is_valid:
        return scalar.values.to_numpy(zero_copy_only=False).astype(np.uint8).tobytes()
    return scalar.as_py()
