"""Rows of a list of images with positions, and the images that they name."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.errors import InputError
from datasets.images import is_picture, walk_files
from datasets.ledger import note_read
from datasets.positions.columns import Columns, open_list

# User name on Flickr. In Im2GPS's list some have the rest of the file's name before it.
_FLICKR_USER = re.compile(r"\d+@N\d\d")
# Added after the last line: if a quote is open it becomes part of the last field.
_END = "\x1eend"


class Row(NamedTuple):
    """An image as its list or its tags describe it."""

    file: str  # What the list calls it, or its path.
    lat: float  # Degrees as written, NaN where nothing is; so is the longitude.
    lng: float
    author: str  # Empty where nobody is told.


def lines_of(file: Path, columns: Columns) -> Iterator[tuple[str, list[str]]]:
    """Name and fields of each line below the header that is not empty.

    Args:
        file: The list.
        columns: Its columns.

    Raises:
        InputError: If a quote is opened and never closed; the message names the line.
    """
    note_read(file)
    with open_list(file) as lines:
        reader = csv.reader(chain(lines, ("\n", _END)), delimiter=columns.delimiter)
        begun = 1
        try:
            for fields in reader:
                if fields == [_END]:
                    return
                if fields and fields[-1].endswith(_END):
                    break
                if begun > 1 and any(text.strip() for text in fields):
                    yield f"{file}: line {begun}", fields
                begun = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f'{file}: line {begun}: cannot be split into fields ({error}); is a quote (") '
                "opened there and never closed?"
            ) from error
    raise InputError(
        f'{file}: line {begun}: a quote (") is opened and never closed, which hides the rest of '
        "the list; close or remove it"
    )


def row_of(fields: list[str], columns: Columns, where: str) -> Row:
    """A line's image, position and author.

    Args:
        fields: Fields of the line.
        columns: Columns of the list.
        where: Name of the line for messages.

    Raises:
        InputError: If there are too few fields, or a position is not a number.
    """
    assert columns.photo is not None
    needed = max(columns.lat, columns.lng, columns.photo)
    if len(fields) <= needed:
        raise InputError(f"{where}: {len(fields)} fields, where {needed + 1} are needed")
    both = fields[columns.lat], fields[columns.lng]
    try:
        lat, lng = (float(text) if text.strip() else np.nan for text in both)
    except ValueError as error:
        raise InputError(f"{where}: a position that is no number ({error})") from error
    photo = fields[columns.photo].strip()
    author = ""
    if columns.author is not None and columns.author < len(fields):
        author = fields[columns.author].strip()
    user = _FLICKR_USER.findall(author or Path(photo).name)
    return Row(photo, lat, lng, user[-1] if user else author)


class Pictures:
    """The images below a list's folder, by the names that lists give them."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._by_name: dict[str, list[str]] = {}
        for folder, names in walk_files(root):
            for name in names:
                if is_picture(name):
                    path = f"{folder}{os.sep}{name}"
                    stem = os.path.splitext(name)[0]  # noqa: PTH122 (millions of names)
                    self._by_name.setdefault(name, []).append(path)
                    self._by_name.setdefault(stem, []).append(path)

    def find(self, name: str) -> list[str]:
        """The images that a name may stand for: one, none, or several that fit equally well.

        The listed path has priority; otherwise an image whose path ends like the name is searched
        for everywhere below, nearest to the list first: in a single folder, not in several.
        """
        if "\0" in name or not name:
            return []
        listed = os.path.join(self.root, name)  # noqa: PTH118 (millions of names)
        if os.path.isfile(listed):  # noqa: PTH113 (the same)
            return [listed]
        for wanted in (name, name.replace("_", "/")):
            found = self._by_name.get(wanted.rpartition("/")[2], [])
            end = f"/{wanted.lstrip('/')}"
            exact = [f for f in found if f.endswith(end) or f"{end}." in f]
            beside = [f for f in exact if os.path.splitext(f)[0] == self.root + end]  # noqa: PTH122
            if exact:
                return sorted(beside if len(beside) == 1 else exact)
        return []
