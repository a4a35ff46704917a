"""Text lists: an image and its class per line, in either order, as Caffe and Places365 have them.

Numbers of classes get names from ``classes.txt``, ``labels.txt`` or ``categories*.txt`` beside the
list, which may hold ``name number``, ``number name``, or a name per line.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

from datasets.errors import InputError
from datasets.images import SUFFIXES
from datasets.labels.csv_list import parts_of
from datasets.labels.structure import Part
from datasets.names import entries_like, is_file
from datasets.part_names import PART_NAMES
from datasets.text import read_text
from datasets.types import ClassMap

_CLASSES = ("classes.txt", "labels.txt", "class_names.txt", "names.txt", "categories*.txt")
_SIGNS = ("\t", ";", ",")
_LOOKED_AT = 5
# Letters of a class name; whatever is as long is none.
_LONGEST = 1000
# Four numbers and more are boxes, several are several labels.
_NUMBERS = re.compile(r"[-+.\d]+([\s,;]+[-+.\d]+)+|.*[\s,;]([-+]?[.\d]+[\s,;]){3}[-+]?[.\d]+$")
# CelebA's lists of parts and of people, which look like those of classes.
_NO_CLASSES = re.compile("eval_partition|identity_celeba", re.IGNORECASE)


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a text file, or of a folder with ``train.txt`` and ``val.txt``, or with one list.

    Raises:
        InputError: If a line is not as the first ones are, or the names of the classes lack one.
    """
    if path.is_file():
        return _parts({"train": path}) if path.suffix.lower() == ".txt" and _is_list(path) else {}
    lists = [file for file in entries_like(path, "*.txt") if _is_list(file)]
    by_part = {
        split: [file for name in names for file in lists if file.stem.lower() == name]
        for split, names in PART_NAMES.items()
    }
    found = {split: files[0] for split, files in by_part.items() if files}
    return _parts(found or ({"train": lists[0]} if len(lists) == 1 else {}))


def _parts(files: dict[str, Path]) -> dict[str, Part]:
    rows = {split: (file, _read(file)) for split, file in files.items()}
    labels = {label for _, part in rows.values() for _, label in part}
    listed = _names_beside(next(iter(files.values()))) if files else None
    if listed is None or not all(one.isdecimal() and len(one) < 19 for one in labels):
        return parts_of("text", rows)
    names = read_numbered(listed)
    plain = {
        split: (file, [(picture, str(int(label))) for picture, label in part])
        for split, (file, part) in rows.items()
    }
    classes = ClassMap(tuple(names), tuple(names.values()))
    parts = parts_of("text", plain, [str(number) for number in names], classes)
    return {
        split: replace(part, annotations=(*part.annotations, listed))
        for split, part in parts.items()
    }


def _is_list(file: Path) -> bool:
    """Whether the first lines are an image and a class each."""
    if not is_file(file) or _NO_CLASSES.search(file.name):
        return False
    try:
        with file.open(encoding="utf-8-sig") as lines:
            first = [line.strip() for line in islice(lines, _LOOKED_AT)]
    except (OSError, UnicodeDecodeError):
        return False
    full = [line for line in first if line and not line.startswith("#")]
    return bool(full) and all(_pair(line) is not None for line in full)


def _read(file: Path) -> list[tuple[str, str]]:
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            pair = _pair(line.strip())
            if pair is None:
                raise InputError(
                    f"{file}: line {number}: {line[:80]!r}; an image and its class are needed"
                )
            rows.append(pair)
    return rows


def _pair(line: str) -> tuple[str, str] | None:
    """(image, class) of a line; None if it holds anything else."""
    sign = next((one for one in _SIGNS if one in line), None)
    early, late = line.split(sign, 1), line.rsplit(sign, 1)
    if len(early) < 2:
        return None
    tries = [(early[0], early[1]), (late[0], late[1]), (late[1], late[0])]
    if early[0].strip().isdecimal():
        tries.insert(2, (early[1], early[0]))
    for picture, label in ((one.strip(), other.strip()) for one, other in tries):
        if not 0 < len(label) < _LONGEST or _is_picture(label) or not _is_picture(picture):
            continue
        if not _NUMBERS.match(label):
            return picture.removeprefix("/"), label
    return None


def _is_picture(name: str) -> bool:
    return name.lower().endswith(tuple(SUFFIXES))


def _names_beside(file: Path) -> Path | None:
    """The list of classes beside a list of images."""
    found = (one for one in entries_like(file.parent, *_CLASSES) if one != file)
    return next((one for one in found if not _is_list(one)), None)


def read_numbered(file: Path) -> dict[int, str]:
    """Names of classes by number, sorted: ``3 cat``, ``cat,3``, ``3: cat``; or a name per line.

    Without numbers they count from 0.

    Raises:
        InputError: If there is none, or a number or name stands twice.
    """
    lines = [line for line in map(str.strip, read_text(file).splitlines()) if line]
    found = [pair for line in lines if (pair := _numbered(line)) is not None]
    pairs = sorted(found if len(found) == len(lines) else enumerate(lines))
    for one, other in pairwise(pairs):
        if one[0] == other[0]:
            raise InputError(f"{file}: class {one[0]} has two names, {one[1]!r} and {other[1]!r}")
    names = [name for _, name in pairs]
    if not names or len(set(names)) < len(names):
        twice = next((f"{name!r} twice" for name in names if names.count(name) > 1), "no class")
        raise InputError(f"{file}: names {twice}")
    return dict(pairs)


def _numbered(line: str) -> tuple[int, str] | None:
    """Number and name of a line, in either order."""
    first = re.fullmatch(r"(\d{1,9})\s*[\s,;:]\s*(.+)", line, re.ASCII)
    last = re.fullmatch(r"(.+?)\s*[\s,;:]\s*(\d{1,9})", line, re.ASCII)
    if first:
        return int(first[1]), first[2]
    return (int(last[2]), last[1]) if last else None
