"""CSV lists: a header and ``path,label[,split]`` per line, delimited by comma, ; or tab.

The header may call the columns otherwise, as ``image;class``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from datasets.labels.structure import LabelledData, assemble, name_classes, nearest
from datasets.part_names import PART_NAMES
from datasets.text import read_text
from datasets.types import ClassMap

_SUFFIXES = (".csv", ".tsv")
# Other names by which lists call the columns.
_PATH = ("path", "file", "filename", "file_name", "image", "image_path", "filepath")
_LABEL = ("label", "class", "class_name", "category")
_SPLIT = ("split", "subset", "set")


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        list: The file.
        rows: (path, label) as written.
        order: Labels of the training part in the order of the columns: sorted, numbers by value.
        classes: Their names and ids.
    """

    list: Path
    rows: tuple[tuple[str, str], ...]
    order: tuple[str, ...]
    classes: ClassMap


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a CSV file, or of a folder with ``train.csv`` and ``val.csv``, or with one list.

    Raises:
        InputError: If a file that was named is no such list, or a line of one is incomplete.
    """
    found: dict[str, tuple[Path, list[tuple[str, str]]]] = {}
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES:
            return {}
        found = _read_list(path)
        if not found:
            raise InputError(f"{path}: lists no photo below its header")
    else:
        lists = [f for f in sorted(path.glob("*.[ct]sv")) if _columns(f)]
        for split, names in PART_NAMES.items():
            named = [file for name in names for file in lists if file.stem.lower() == name]
            for file in named[:1]:
                rows = [row for _, part in _read_list(file).values() for row in part]
                found[split] = (file, rows)
        if not found and len(lists) == 1:
            found = _read_list(lists[0])
    if not found:
        return {}
    labels = {label for _, label in next(iter(found.values()))[1]}
    numeric = all(label.isdecimal() for label in labels)
    order = tuple(sorted(labels, key=int if numeric else str))
    classes = name_classes(order)
    return {name: Part(file, tuple(rows), order, classes) for name, (file, rows) in found.items()}


def _header(file: Path) -> tuple[str, list[str]]:
    """Delimiter and lower-case names of the first line."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline().strip()
    except UnicodeDecodeError:
        return ",", []
    delimiter = next((sign for sign in "\t;," if sign in first), ",")
    return delimiter, [name.strip().strip('"').lower() for name in first.split(delimiter)]


def _columns(file: Path) -> tuple[int, int, int | None] | None:
    """Positions of path, label and split; None if the header names no path or no label."""
    _, header = _header(file)
    at = [next((header.index(n) for n in names if n in header), None) for names in _KINDS]
    path, label, split = at
    return None if path is None or label is None else (path, label, split)


_KINDS = (_PATH, _LABEL, _SPLIT)


def _read_list(file: Path) -> dict[str, tuple[Path, list[tuple[str, str]]]]:
    """Rows by split; without a split column all are ``train``. ``test`` serves for ``val``."""
    text, columns = read_text(file), _columns(file)
    if columns is None:
        raise InputError(
            f"{file}: the first line must name the columns, path and label (and split): it is "
            f"{', '.join(_header(file)[1])!r}. A path may also be called "
            f"{', '.join(_PATH[1:])}; a label {', '.join(_LABEL[1:])}"
        )
    rows: dict[str, list[tuple[str, str]]] = {}
    for number, fields in _lines(file, text):
        where = f"{file}: line {number}"
        path, label, split = (_field(fields, k, where) for k in columns)
        rows.setdefault(split_name(split, where), []).append((path, label))
    if "test" in rows:
        tested = rows.pop("test")
        rows.setdefault("val", tested)
    return {name: (file, rows[name]) for name in ("train", "val") if name in rows}


def _lines(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of the lines below the header that hold something."""
    reader = csv.reader(io.StringIO(text), delimiter=_header(file)[0])
    try:
        next(reader)
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise InputError(f"{file}: line {reader.line_num}: no list ({error})") from error


def _field(fields: list[str], position: int | None, where: str) -> str:
    if position is None:
        return "train"
    text = fields[position].strip() if position < len(fields) else ""
    if not text:
        raise InputError(f"{where}: {len(fields)} fields, and number {position + 1} is empty")
    return text


def split_name(text: str, where: str) -> str:
    """``train``, ``val`` or ``test``, as a list's column of splits means it.

    Raises:
        InputError: If it means none of them, naming ``where`` it stands.
    """
    name = text.lower()
    if name in ("test", "testing"):
        return "test"
    for split, names in PART_NAMES.items():
        if name in names:
            return split
    raise InputError(f"{where}: split {text!r}{nearest(name, ('train', 'val', 'test'))}")


def read(root: Path, part: Part) -> LabelledData:
    """Put the rows of a split into the flat structure; paths are relative to the list.

    Raises:
        InputError: If the validation part has a class that the training part lacks.
    """
    return assemble(
        format="csv",
        root=root if root.is_dir() else root.parent,
        files=[str(part.list.parent / path) for path, _ in part.rows],
        keys=[label for _, label in part.rows],
        order=part.order,
        classes=part.classes,
        where=part.list,
    )
