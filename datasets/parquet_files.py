"""Finds and opens Parquet files, split into parts as on the Hub, and reads their columns.

It needs pyarrow, which is required only for these files.
"""

from __future__ import annotations

import importlib.util
import os
import re
import zlib
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.images import is_passed_over
from datasets.json_files import parse_json
from datasets.lfs import refuse_pointer
from datasets.names import entries_like, shown
from datasets.part_names import PART_NAMES, is_part, part_folders

SUFFIX = ".parquet"
# Where data sets on the Hub have them: beside the page, in data/, or in a folder per
# configuration.
_PLACES = ("", "data", "default")
# Parts of a stored column's path that stand for a list, under the names that writers use.
_OF_LISTS = ("list", "element", "item", "array", "bag", "array_element")
# A folder with more folders than this holds classes, not configurations.
_MOST_FOLDERS = 12


def without_reader(file: Path) -> str:
    """What to do if pyarrow is not installed; empty if it is."""
    if importlib.util.find_spec("pyarrow") is not None:
        return ""
    return f"{shown(file)}: is a Parquet file; to read it, pip install pyarrow"


def find_tables(path: Path) -> dict[str, tuple[Path, ...]]:
    """Parquet files by ``train`` and ``val``, from words in their names or their folders' names.

    They are in a folder or in folders of parts, or likewise in its ``data`` folder or its only
    configuration. Files that name no part are all training data.

    Args:
        path: File or folder.

    Raises:
        InputError: If there are several configurations.
    """
    if path.is_file():
        return _by_part(path.parent, [path]) if path.suffix.lower() == SUFFIX else {}
    for place in _PLACES:
        if found := _tables_in(path / place):
            return _by_part(path / place, found)
    return {}


def find_configurations(path: Path) -> list[Path]:
    """Folders in a folder that hold Parquet files, each a separate data set."""
    if not path.is_dir():
        return []
    inner = [one for one in sorted(path.iterdir()) if one.is_dir()]
    inner = [one for one in inner if not is_passed_over(one.name)]
    return [one for one in inner if find_tables(one)] if len(inner) <= _MOST_FOLDERS else []


def _tables_in(folder: Path) -> list[Path]:
    """Parquet files in a folder and in its folders of parts, sorted."""
    parts = [one for several in part_folders(folder).values() for one in several]
    return [
        file
        for one in (folder, *parts)
        for file in entries_like(one, f"*{SUFFIX}")
        if file.is_file() and not is_passed_over(file.name)
    ]


def _by_part(base: Path, files: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    named: dict[str, list[Path]] = {}
    for file in files:
        words = re.split(r"[-_.]", file.stem.lower())
        if file.parent != base:
            words.append(file.parent.name.lower())
        named.setdefault(next((one for one in words if is_part(one)), ""), []).append(file)
    found = {
        split: tuple(next((named[name] for name in names if name in named), ()))
        for split, names in PART_NAMES.items()
    }
    return {split: tables for split, tables in found.items() if tables} or {"train": tuple(files)}


def open_table(file: Path) -> Any:
    """Open a Parquet file with pyarrow.

    Args:
        file: File to open.

    Raises:
        InputError: If it is not a Parquet file.
    """
    return _opened(file, metadata_of(file))


def metadata_of(file: Path) -> Any:
    """Description of a file's rows, from its end. Raises InputError if it is not Parquet."""
    found = file.stat()
    return _metadata(file, (found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=4096)
def _metadata(file: Path, _version: tuple[int, int]) -> Any:
    """Cached form of :func:`metadata_of`, per version of the file."""
    return _opened(file, None).metadata


def version_of(file: Path) -> int:
    """A checksum of a file's end, which states the position and length of everything in it.

    Args:
        file: Parquet file.

    Raises:
        InputError: If it is not a Parquet file.
    """
    size = min(metadata_of(file).serialized_size + 8, file.stat().st_size)
    with file.open("rb") as opened:
        opened.seek(-size, os.SEEK_END)
        return zlib.crc32(opened.read())


def num_rows(file: Path) -> int:
    """Number of rows in a file. Raises InputError if it is not a Parquet file."""
    return int(metadata_of(file).num_rows)


def first_filled(files: Sequence[Path]) -> Path:
    """The first file with a row, or else the first file. Raises InputError if one is damaged."""
    return next((file for file in files if num_rows(file)), files[0])


def _opened(file: Path, metadata: Any) -> Any:
    import pyarrow.parquet

    refuse_pointer(file)
    try:
        return pyarrow.parquet.ParquetFile(file, metadata=metadata, memory_map=True)
    except Exception as error:  # A damaged file makes pyarrow raise nearly anything.
        raise InputError(f"{file}: not a Parquet file that can be read ({error})") from error


def read_columns(file: Path, columns: Sequence[str]) -> dict[str, list[Any]]:
    """Values of some columns by name, a list over all rows for each.

    Args:
        file: Table.
        columns: Names of columns, or of a field in one, such as ``image.path``.

    Raises:
        InputError: If one does not exist, or cannot be read.
    """
    names = [one.partition(".")[0] for one in columns]
    if not num_rows(file):
        return {name: [] for name in names}
    opened = open_table(file)
    try:
        found = opened.read(columns=list(columns), use_threads=False)
        values = {name: found.column(name).to_pylist() for name in found.column_names}
    except Exception as error:  # A damaged file makes pyarrow raise nearly anything.
        told = " and ".join(map(repr, columns))
        raise InputError(f"{file}: column {told} cannot be read ({error})") from error
    for name in names:
        if name not in values:
            raise InputError(f"{file}: no column {name!r}, which other tables of the set have")
    return values


def leaves_of(file: Path, column: str, fields: Collection[str]) -> list[str]:
    """Arguments for :func:`read_columns` that read only some fields in a column of structures.

    Args:
        file: Table.
        column: Column of structures, or of lists of structures.
        fields: Fields of the structures to read; those that do not exist are skipped.

    Returns:
        Paths of the columns as they are stored; the column itself if it has none of the fields.
    """
    schema = metadata_of(file).schema
    paths = [schema.column(k).path for k in range(len(schema))]
    wanted = [
        path
        for path in paths
        if path.startswith(f"{column}.") and {*fields} & {*path.split(".")[1:]} - {*_OF_LISTS}
    ]
    return wanted or [column]


def class_names(file: Path, *place: str) -> tuple[str, ...]:
    """Class names in a file's own description of its columns; empty if it has none.

    Args:
        file: Table.
        place: Column, and field in it.

    Raises:
        InputError: If the description is not JSON.
    """
    told = (open_table(file).schema_arrow.metadata or {}).get(b"huggingface")
    if told is None:
        return ()
    found: Any = parse_json(told, f"{file}: huggingface")
    for key in ("info", "features", *place, "names"):
        while True:  # Lists of something are described as a list, or by the word feature.
            if isinstance(found, list) and len(found) == 1:
                found = found[0]
            elif isinstance(found, dict) and key not in found and "feature" in found:
                found = found["feature"]
            else:
                break
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return ()
    return tuple(found)
