"""CelebA's lists: attributes, parts and identities, as published or as CSV."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.attributes.structure import NO, YES, AttributeData, name_attributes
from datasets.errors import InputError
from datasets.text import read_text

ATTRIBUTE_LIST, PARTITION_LIST = "list_attr_celeba", "list_eval_partition"
IDENTITY_LIST = "identity_CelebA"
IMAGES = "img_align_celeba"
# Folders that the archives of the data set are usually unpacked to.
_LIST_FOLDERS = (".", "Anno", "Eval")
_IMAGE_FOLDERS = (f"{IMAGES}/{IMAGES}", IMAGES, f"Img/{IMAGES}", "img_celeba", "Img/img_celeba")


def read(path: Path) -> tuple[AttributeData, NDArray[np.int64] | None] | None:
    """The data set, and the part (N,) of each image if there is a list; None for another layout.

    Args:
        path: Folder of the data set.

    Raises:
        InputError: If a list is damaged, or two lists disagree; the message names file and line.
    """
    file = find_list(path, ATTRIBUTE_LIST)
    if file is None:
        return None
    images = next((path / name for name in _IMAGE_FOLDERS if (path / name).is_dir()), None)
    if images is None:
        raise InputError(f"{path}: {file.name}, but no folder of images ({IMAGES}/) there")
    names, attributes, values = _read_attributes(file)
    partition = find_list(path, PARTITION_LIST)
    identities = find_list(path, IDENTITY_LIST)
    parts = None if partition is None else _read_numbers(partition, names)
    if parts is not None and not np.isin(parts, (0, 1, 2)).all():
        odd = names[int(np.argmax(~np.isin(parts, (0, 1, 2))))]
        raise InputError(f"{partition}: the part of {odd} is none of 0, 1 and 2")
    data = AttributeData(
        format="celeba",
        root=path,
        files=np.array([str(images / name) for name in names], dtype=np.str_),
        values=values,
        attributes=name_attributes(attributes, file),
        people=None if identities is None else _read_numbers(identities, names),
    )
    return data, parts


def find_list(path: Path, stem: str) -> Path | None:
    """A list of the data set, as text or CSV, where its archives put it; None if it is missing."""
    places = (path / folder / f"{stem}{s}" for folder in _LIST_FOLDERS for s in (".txt", ".csv"))
    return next((file for file in places if file.is_file()), None)


def _read_attributes(file: Path) -> tuple[list[str], list[str], NDArray[np.int8]]:
    """File names (N,), attribute names (A,) and values (N, A).

    The published list begins with the number of images and the names, and pads its rows so that
    columns align; a CSV file has a header instead.
    """
    lines = read_text(file).replace(",", " ").splitlines()
    count, first = None, 1
    if lines and lines[0].strip().isdecimal():
        count, first = int(lines[0]), 2
    if len(lines) < first:
        raise InputError(f"{file}: ends before the names of the attributes")
    header = lines[first - 1].split()
    attributes = header if count is not None else header[1:]
    rows = [line.split() for line in lines[first:] if line.strip()]
    if count is not None and count != len(rows):
        warnings.warn(
            f"{file}: says that it lists {count} images, but it lists {len(rows)}: cut short?",
            stacklevel=2,
        )
    for number, row in enumerate(rows, start=first + 1):
        if len(row) != len(attributes) + 1:
            raise InputError(
                f"{file}: line {number}: {len(row) - 1} values for {len(attributes)} attributes"
            )
    written = np.array([row[1:] for row in rows], dtype="U8").reshape(len(rows), len(attributes))
    return [row[0] for row in rows], attributes, _read_signs(file, written, first)


def _read_signs(file: Path, written: NDArray[np.str_], first: int) -> NDArray[np.int8]:
    """Values as 1 for yes and -1 for no, which modified lists may write as 0."""
    values = np.full(written.shape, NO - 2, np.int8)
    values[written == "1"] = YES
    values[(written == "-1") | (written == "0")] = NO
    bad = np.argwhere(values < NO)
    if len(bad):
        row, column = bad[0].tolist()
        raise InputError(
            f"{file}: line {first + 1 + row}: {str(written[row, column])!r} is neither 1 nor -1"
        )
    if (written == "-1").any() and (written == "0").any():
        raise InputError(f"{file}: holds both -1 and 0; which of them is no?")
    return values


def _read_numbers(file: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """The number after each name, in the order of ``names`` (N,)."""
    found: dict[str, int] = {}
    for number, line in enumerate(read_text(file).replace(",", " ").splitlines(), start=1):
        fields = line.split()
        if not fields or (number == 1 and not fields[-1].isdecimal()):
            continue  # The header of a CSV.
        if len(fields) != 2 or not fields[1].isdecimal():
            raise InputError(f"{file}: line {number}: {line!r}; a file and a number are needed")
        found[fields[0]] = int(fields[1])
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"{file}: {len(missing)} images are not in it; the first is {missing[0]}")
    return np.array([found[name] for name in names], dtype=np.int64)
