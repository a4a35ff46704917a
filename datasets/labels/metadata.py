"""Hugging Face's imagefolder: ``metadata.jsonl`` or ``.csv`` with ``file_name`` and ``label``.

It lies in each part's folder, or above them all.
"""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.fields import Fields, as_whole
from datasets.json_files import read_lines
from datasets.labels.csv_list import LABEL_NAMES, parts_of, read_list, read_rows, tells_classes
from datasets.labels.folders import class_folders
from datasets.labels.structure import Part
from datasets.part_names import PART_NAMES, part_folders

_NAMES = ("metadata.jsonl", "metadata.csv")
Rows = list[tuple[str, str]]


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder or of such a file; empty if it is none.

    A file of boxes (``objects``) is no file of labels, and one without labels leaves folders of
    classes as they are.

    Raises:
        InputError: If a line of a file is no JSON or lacks a field, or none has a label.
    """
    if path.is_file():
        return parts_of("metadata", _by_folder(path)) if path.name == _NAMES[0] else {}
    folders = {split: below[0] for split, below in part_folders(path).items()}
    files = {split: file for split, one in folders.items() if (file := _file_in(one))}
    above = _file_in(path)
    if above is None or files:
        found = {}
        for split, file in files.items():
            try:
                rows = _read(file)
            except InputError:
                if split == "test" and "val" in found:  # Often it tells no labels.
                    continue
                raise
            if rows:
                found[split] = (file, rows)
        return parts_of("metadata", found)
    if above.suffix.lower() == ".csv" and tells_classes(above) and len(read_rows(above)) > 1:
        return read_list(above)  # It has a column of splits.
    return parts_of("metadata", _by_folder(above))


def _by_folder(file: Path) -> dict[str, tuple[Path, Rows]]:
    """Parts of a file above the parts' folders, by the first folder of each path."""
    rows = _read(file)
    named = [_first(path) for path, _ in rows]
    by_part = {"train": [row for row, one in zip(rows, named, strict=True) if not _is_apart(one)]}
    for split in ("val", "test"):  # Of several folders that are such a part one is taken.
        folder = next((one for one in PART_NAMES[split] if one in named), None)
        by_part[split] = [row for row, one in zip(rows, named, strict=True) if one == folder]
    return {split: (file, part) for split, part in by_part.items() if part}


def _file_in(folder: Path) -> Path | None:
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def _first(path: str) -> str:
    """The first folder of a path, in small letters."""
    return path.partition("/")[0].lower()


def _is_apart(folder: str) -> bool:
    """Whether a folder is named as a part to validate or test on; others are trained on."""
    return folder in (*PART_NAMES["val"], *PART_NAMES["test"])


def _read(file: Path) -> Rows:
    """(path, label) of each line; empty if the file is of boxes, or beside folders of classes."""
    if file.suffix.lower() == ".csv":
        return _read_csv(file)
    rows: Rows = []
    key = ""
    for row in read_lines(file):
        if not key:
            key = next((name for name in LABEL_NAMES if row.has(name)), "")
            if not key and (row.has("objects") or class_folders(file.parent)):
                return []
            if not key:
                known = ", ".join(row.values)
                raise row.error("label", f"a class is needed; the line has {known}")
        rows.append((row.text("file_name"), _label(row, key)))
    if not rows:
        raise InputError(f"{file}: names no image")
    return rows


def _read_csv(file: Path) -> Rows:
    if tells_classes(file):
        return [row for rows in read_rows(file).values() for row in rows]
    if class_folders(file.parent):
        return []
    raise InputError(f"{file}: has no column 'label' with the class of each image")


def _label(row: Fields, key: str) -> str:
    value = row.values.get(key)
    number = None if isinstance(value, str) else as_whole(value)
    label = row.text(key).strip() if number is None else str(number)
    if not label:
        raise row.error(key, "the name or number of a class is needed")
    return label
