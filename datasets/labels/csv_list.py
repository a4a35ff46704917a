"""CSV lists: a header and ``path,label[,split]`` per line, delimited by comma, ; or tab.

The header may call the columns otherwise, as ``image;class``, or as competitions do: ``id,breed``,
``image_id,label``, ``image,level``. Instead of one column of labels there may be one per class, of
which a single one is 1 in each line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from datasets.csv_files import split_header
from datasets.errors import InputError
from datasets.fields import as_number
from datasets.labels.listed_pictures import find_pictures, names_pictures
from datasets.labels.structure import Part, name_classes, nearest
from datasets.ledger import UNUSED_PART, note_dropped
from datasets.names import entries_like, in_order, shown
from datasets.part_names import PART_NAMES
from datasets.text import read_head, read_text
from datasets.types import ClassMap

_SUFFIXES = (".csv", ".tsv")
# Other names by which lists call the columns.
_PATH = ("path", "file", "filename", "file_name", "image", "image_path", "filepath")
LABEL_NAMES = ("label", "class", "class_name", "category")
_SPLIT = ("split", "subset", "set")
# Names that count where images below are called so.
_ID = ("image_id", "image_name", "img", "img_name", "img_path", "id_code", "id")
_LIKELY_LABEL = (
    "labels",
    "target",
    "breed",
    "species",
    "dx",
    "diagnosis",
    "level",
    "emotion",
)
# Columns of words about an image, which are no class.
_PROSE = ("text", "caption", "prompt", "description", "url")
# Lines that are looked at to see whether they name images.
# Bytes from which a file is guessed to be a list.
_HEAD = 2**16
_LOOKED_AT = 20
_LINE = re.compile(r"[^\n]+\n?|\n")


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a CSV file, or of a folder with ``train.csv`` and ``val.csv``, or with one list.

    Raises:
        InputError: If a file that was named is no such list, or a line of one is incomplete.
    """
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES:
            return {}
        found = read_list(path)
        if not found:
            raise InputError(f"{path}: lists no image below its header")
        return found
    lists = [f for f in entries_like(path, "*.[ct]sv") if _is_list(f)]
    by_part = {
        split: [file for name in names for file in lists if file.stem.lower() == name]
        for split, names in PART_NAMES.items()
    }
    if not any(by_part.values()):
        return read_list(lists[0]) if len(lists) == 1 else {}
    named = {split: files[0] for split, files in by_part.items() if files}
    if {"train", "val"} < named.keys() and not _is_labelled(named["test"]):
        del named["test"]  # Often it tells no labels, and nothing here reads it.
    for file in named.values():
        if len(parts := read_rows(file)) < 2:
            continue
        if len(named) == 1:  # Its split column tells the parts.
            return read_list(file)
        raise InputError(
            f"{file}: its split column names {' and '.join(parts)}, though other lists are parts, "
            "too; name one list, or take the column away"
        )
    rows = {
        split: (file, [row for part in read_rows(file).values() for row in part])
        for split, file in named.items()
    }
    return parts_of("csv", rows, _columns_of(next(iter(named.values()))).classes)


def _is_labelled(file: Path) -> bool:
    try:
        return bool(read_rows(file))
    except InputError:
        return False


def read_list(file: Path) -> dict[str, Part]:
    """Parts of a list; without a split column all is ``train``.

    Raises:
        InputError: Under the same conditions as in :func:`find_splits`.
    """
    rows = read_rows(file)
    if "test" in rows and "val" in rows:  # Whoever reads them notes that they are used.
        why = f"images that {shown(file.name)} lists for test, {UNUSED_PART}"
        note_dropped(find_pictures(file, *map(list, zip(*rows["test"], strict=True))), why)
    listed = {name: (file, rows[name]) for name in PART_NAMES if name in rows}
    return parts_of("csv", listed, _columns_of(file).classes)


def tells_classes(file: Path) -> bool:
    """Whether the header of a list names an image and its class."""
    return _columns(file) is not None


def parts_of(
    format: str,
    found: Mapping[str, tuple[Path, list[tuple[str, str]]]],
    order: Sequence[str] = (),
    classes: ClassMap | None = None,
) -> dict[str, Part]:
    """Parts from lists, with the classes of the first of them.

    Args:
        format: Name of the format.
        found: The list of each part, and (image as written, class) of its images.
        order: Classes in the order of their columns; empty sorts them, numbers by value.
        classes: Their names and ids, if they have others.
    """
    if not found:
        return {}
    order = order or in_order(label for _, label in next(iter(found.values()))[1])
    named = classes or name_classes(order)
    return {
        name: Part(format, partial(_photos, file, rows), tuple(order), named, file, (file,))
        for name, (file, rows) in found.items()
    }


def _photos(file: Path, rows: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    labels = [label for _, label in rows]
    return zip(find_pictures(file, [name for name, _ in rows], labels), labels, strict=True)


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns.

    Attributes:
        path: Column that names an image.
        label: Column of its class; None if each class has a column.
        split: Column of the part, if there is one.
        one_hot: Columns of the classes.
        classes: Their names.
        is_sure: The header alone says that it is a list of images and classes.
    """

    path: int
    label: int | None
    split: int | None
    one_hot: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    is_sure: bool = False


def _columns(file: Path) -> _Columns | None:
    """The columns in a list's header and first line; None if they name no path or no label."""
    sign, raw = _header(file)
    header = [name.lower() for name in raw]
    path, split = _first(header, (*_PATH, *_ID)), _first(header, _SPLIT)
    if path is None or {"xmin", "ymin"} <= {*header}:  # A line per box.
        return None
    label = _first(header, (*LABEL_NAMES, *_LIKELY_LABEL))
    if label is not None:
        sure = header[path] in _PATH and header[label] in LABEL_NAMES
        return _Columns(path, label, split, is_sure=sure)
    rest = [k for k, name in enumerate(header) if k not in (path, split) and name]
    if len(rest) == 1 and header[rest[0]] not in _PROSE:
        return _Columns(path, rest[0], split)
    first = next((fields for _, fields in _first_lines(file, sign)), [])
    if len(rest) < 2 or any(k >= len(first) or _bit(first[k]) is None for k in rest):
        return None
    return _Columns(path, None, split, tuple(rest), tuple(raw[k] for k in rest))


def _first(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _bit(text: str) -> int | None:
    number = as_number(text)
    return int(number) if number in (0, 1) else None


def _columns_of(file: Path) -> _Columns:
    columns = _columns(file)
    if columns is None:
        read_text(file)  # If it is no text, that is what is wrong.
        raise InputError(
            f"{file}: the first line must name the columns, path and label (and split): it is "
            f"{', '.join(_header(file)[1]).lower()!r}. A path may also be called "
            f"{', '.join((*_PATH[1:], *_ID))}; a label "
            f"{', '.join((*LABEL_NAMES[1:], *_LIKELY_LABEL))}, or be one column of 0 and 1 per "
            "class"
        )
    return columns


def _is_list(file: Path) -> bool:
    """Whether a file that lies in a folder is a list of its images, and no form to fill in."""
    if "submission" in file.stem.lower():
        return False
    columns = _columns(file)
    if columns is None or columns.is_sure:
        return columns is not None
    lines = islice(_first_lines(file, _header(file)[0]), _LOOKED_AT)
    at = columns.path
    return names_pictures(file, [fields[at].strip() for _, fields in lines if at < len(fields)])


def _header(file: Path) -> tuple[str, list[str]]:
    """Delimiter and names of the first line; no names where it is no text."""
    return split_header(read_head(file, _HEAD))


def _first_lines(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """As :func:`_lines`, of the first whole lines: a guess counts no file as read."""
    head, cut, rest = read_head(file, _HEAD).decode("utf-8-sig", "replace").rpartition("\n")
    return _lines(file, head + cut if cut and len(rest) < _HEAD else rest, delimiter)


def read_rows(file: Path) -> dict[str, list[tuple[str, str]]]:
    """(image as written, class) of a list by split, ``test`` among them.

    Raises:
        InputError: Under the same conditions as in :func:`find_splits`.
    """
    columns = _columns_of(file)
    rows: dict[str, list[tuple[str, str]]] = {}
    for number, fields in _lines(file, read_text(file), _header(file)[0]):
        where = f"{file}: line {number}"
        path = _field(fields, columns.path, where)
        if columns.label is None:
            label = _only_class(fields, columns, where)
        else:
            label = _field(fields, columns.label, where)
        split = "train" if columns.split is None else _field(fields, columns.split, where)
        rows.setdefault(split_name(split, where), []).append((path, label))
    return rows


def _only_class(fields: list[str], columns: _Columns, where: str) -> str:
    bits = [_bit(_field(fields, k, where)) for k in columns.one_hot]
    if None in bits:
        wrong = columns.classes[bits.index(None)]
        raise InputError(f"{where}: {wrong} is neither 0 nor 1")
    if sum(map(bool, bits)) != 1:
        raise InputError(
            f"{where}: {sum(map(bool, bits))} of the columns {', '.join(columns.classes[:12])} "
            "are 1; an image has one class"
        )
    return columns.classes[bits.index(1)]


def _lines(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of the lines below the header that hold something."""
    # A StringIO would hold four bytes of each character beside the text.
    reader = csv.reader((found[0] for found in _LINE.finditer(text)), delimiter=delimiter)
    try:
        next(reader, None)
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise InputError(f"{file}: line {reader.line_num}: no list ({error})") from error


def _field(fields: list[str], position: int, where: str) -> str:
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
    for split, names in PART_NAMES.items():
        if name in names:
            return split
    raise InputError(f"{where}: split {text!r}{nearest(name, ('train', 'val', 'test'))}")
