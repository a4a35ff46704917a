"""Positions on Earth from any CSV with a header, or from the EXIF tags of a folder of images."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.images import find_images
from datasets.lfs import refuse_pointer
from datasets.names import entries_like
from datasets.parallel import in_threads
from datasets.positions.exif_gps import Tags, read_tags

Floats = NDArray[np.float64]

LISTS = (".csv", ".tsv", ".txt")
# Names that lists give their columns, in order of preference.
_LAT, _LNG = ("lat", "latitude"), ("lon", "lng", "long", "longitude")
_ID = (
    *("img_id", "path", "file", "file_name", "filename", "image", "img_path"),
    *("image_id", "photo_id", "photoid", "id"),
)
_AUTHOR = (
    *("author", "artist", "owner", "user_nsid", "nsid", "user_id", "userid", "user"),
    *("creator_id", "creator_username"),
)
_SPLIT = ("split", "subset")
_ROWS = 500_000
# Largest number of characters in a header; a longer first line is not a list.
_LONGEST = 100_000


@dataclass(frozen=True)
class Columns:
    """The delimiter of a list, and the numbers of its columns, as far as they exist."""

    delimiter: str
    lat: int
    lng: int
    photo: int | None
    author: int | None  # Who took it.
    split: int | None  # The part that it belongs to.


def open_list(file: Path) -> TextIO:
    """Open a list as UTF-8 text; bytes that are not UTF-8, such as Latin-1, become their numbers.

    So authors with names in other encodings remain distinct, and no list is refused for its names.
    """
    return file.open(encoding="utf-8-sig", newline="", errors="backslashreplace")


def find_columns(file: Path) -> Columns | None:
    """Read the header of a list; None if it names no latitude and longitude.

    Args:
        file: The list.

    Raises:
        InputError: If it is a Git LFS pointer.
    """
    refuse_pointer(file)
    with open_list(file) as lines:
        first = lines.readline(_LONGEST)
    delimiter = next((sign for sign in "\t;," if sign in first), ",")
    try:
        fields = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:  # No text, or one endless line.
        return None
    names = [name.strip().lower() for name in fields]
    lat, lng, photo, author, split = (
        next((names.index(name) for name in known if name in names), None)
        for known in (_LAT, _LNG, _ID, _AUTHOR, _SPLIT)
    )
    if lat is None or lng is None:
        return None
    return Columns(delimiter, lat, lng, photo, author, split)


def need_columns(file: Path) -> Columns:
    """Read the header of a list. Raises InputError if it names no latitude and longitude."""
    columns = find_columns(file)
    if columns is None:
        raise InputError(
            f"{file}: the first line must name the columns of the positions: LAT and LON (or "
            "latitude and longitude)"
        )
    return columns


def read_positions(path: Path) -> tuple[Floats, Floats]:
    """Positions in a CSV list, or of the images in a folder; impossible ones are left out.

    A list of 10 million lines takes about 5 seconds.

    Args:
        path: List or folder.

    Returns:
        Latitudes and longitudes (N,) in degrees.

    Raises:
        InputError: If there is no position, a line is damaged, or a quote is never closed; the
            message names the file.
    """
    if path.is_dir():
        tags = tags_of([str(file) for file in find_images(path)])
        found = [one.position for one in tags if one is not None and one.position is not None]
        pairs = np.array(found, np.float64).reshape(-1, 2)
        pairs = pairs[is_position(*pairs.T)]
    elif path.is_file():
        pairs = _read_pairs(path)
    else:
        raise InputError(f"{path}: no such file or folder")
    if not len(pairs):
        lists = entries_like(path, "*.csv", "*.tsv") if path.is_dir() else []
        hint = f"; name {lists[0].name} in it if that lists them" if lists else ""
        raise InputError(f"{path}: holds no position: no GPS tags, or no lines with numbers{hint}")
    return pairs[:, 0], pairs[:, 1]


def _read_pairs(file: Path) -> Floats:
    """Positions (N, 2) in a list; a line with none, or only half of one, is left out."""
    columns = need_columns(file)
    try:
        pairs, lines, closed = _read_blocks(file, columns, None)
    except ValueError:  # Fields may be blank; reading such lists takes longer.
        try:
            pairs, lines, closed = _read_blocks(file, columns, _number)
        except ValueError as error:
            raise InputError(f"{file}: a position that is no number ({error})") from error
    if not closed:
        raise InputError(
            f'{file}: about line {lines}: a quote (") is opened and never closed, which hides the '
            "rest of the list; close or remove it"
        )
    return pairs


def _number(text: str) -> float:
    return float(text) if text.strip() else np.nan


def _read_blocks(
    file: Path, columns: Columns, converters: Callable[[str], float] | None
) -> tuple[Floats, int, bool]:
    """Positions, number of lines, and whether the last line is the end, read in blocks.

    So lists may be longer than memory.
    """
    blocks, total, count, closed = [np.zeros((0, 2))], 0, _ROWS, False
    # Marks the end; if a quote is open it becomes part of the last field.
    end = columns.delimiter.join(["nan"] * (max(columns.lat, columns.lng) + 1))
    with open_list(file) as lines, warnings.catch_warnings():
        lines.readline()
        warnings.simplefilter("ignore", UserWarning)  # "no data", at the end.
        rows = chain(lines, (end,))
        while count == _ROWS:
            block = np.loadtxt(
                rows,
                delimiter=columns.delimiter,
                usecols=(columns.lat, columns.lng),
                converters=converters,
                encoding=None,
                quotechar='"',
                comments=None,
                max_rows=_ROWS,
                ndmin=2,
            )
            block = block.reshape(-1, 2)
            count = len(block)
            total += count
            if count:
                closed = bool(np.isnan(block[-1]).all())
            blocks.append(block[is_position(*block.T)])
    return np.concatenate(blocks), total + 1, closed


def tags_of(files: Sequence[str]) -> list[Tags | None]:
    """EXIF tags of images; None if an image cannot be read."""

    def work(file: str) -> Tags | None:
        try:
            return read_tags(file)
        except ValueError:
            return None

    return in_threads(work, files, "reading GPS tags", unit="image")


def is_position(lat: Floats, lng: Floats) -> NDArray[np.bool_]:
    """Mask (N,) of possible image positions, in degrees.

    0, 0 is not possible: cameras without a fix and empty forms write it.
    """
    there = (np.abs(lat) <= 90) & (np.abs(lng) <= 180)
    return np.asarray(there & ((lat != 0) | (lng != 0)))
