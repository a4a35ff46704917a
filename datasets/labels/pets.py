"""Oxford-IIIT Pets as breeds: ``images/`` and ``annotations/{trainval,test}.txt``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from datasets.errors import InputError
from datasets.labels.structure import Part
from datasets.text import read_text
from datasets.types import ClassMap

_LISTS = {"train": "trainval.txt", "test": "test.txt"}


def find_splits(path: Path) -> dict[str, Part]:
    """Splits of a folder; empty if it is not the Pets layout.

    The XML boxes are of heads, not of animals, so they are no boxes to crop to.

    Raises:
        InputError: If a line has not the four fields, or a breed has two ids.
    """
    rows = {}
    for split, name in _LISTS.items():
        file = path / "annotations" / name
        if file.is_file() and (path / "images").is_dir():
            rows[split] = (file, _read_list(file))
    numbers: dict[str, int] = {}
    for file, lines in rows.values():
        for stem, number in lines:
            if numbers.setdefault(_breed(stem), number) != number:
                first = numbers[_breed(stem)]
                raise InputError(f"{file}: {stem} has class {number}, but others {first}")
    ordered = sorted(numbers, key=lambda name: numbers[name])
    classes = ClassMap(tuple(numbers[name] for name in ordered), tuple(ordered))
    return {
        split: Part("pets", partial(_photos, path, lines), classes.names, classes, file, (file,))
        for split, (file, lines) in rows.items()
    }


def _photos(path: Path, lines: list[tuple[str, int]]) -> list[tuple[str, str]]:
    return [(str(path / "images" / f"{stem}.jpg"), _breed(stem)) for stem, _ in lines]


def _breed(stem: str) -> str:
    return stem.rpartition("_")[0] or stem


def _read_list(file: Path) -> list[tuple[str, int]]:
    """(name, class id) of each line."""
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) != 4 or not fields[1].isdecimal():
            raise InputError(
                f"{file}: line {number}: {line!r}; name, class, species and breed are needed"
            )
        rows.append((fields[0], int(fields[1])))
    return rows
