"""Opens images with positions: lists like MP-16, Im2GPS, YFCC4k and OSV-5M, and EXIF tags."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError, NotRecognised
from datasets.findings import first_of
from datasets.images import find_images, is_passed_over, is_picture
from datasets.labels.csv_list import split_name
from datasets.ledger import UNUSED_PART, note_dropped, note_entries
from datasets.lfs import refuse_pointer
from datasets.positions.columns import (
    LISTS,
    Columns,
    Floats,
    find_columns,
    is_position,
    need_columns,
    tags_of,
)
from datasets.positions.rows import Pictures, Row, lines_of, row_of
from datasets.spec import Split
from datasets.splitting import choose_part, held_out, name_shares
from datasets.types import PhotoFiles

# Names of the parts of a data set, as files (train.csv) or folders (train/).
_PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
# Number of images in a folder whose tags are read to recognise it.
_LOOKED_AT = 20
LOST, NOWHERE, UNREADABLE = "image not found", "no position", "unreadable"
SEVERAL = "several images fit the name"
# The same reasons in a ledger.
_WITHOUT = "images without a position that can be used"


@dataclass(frozen=True)
class GeoData(PhotoFiles):
    """Images of one part in flat arrays.

    Attributes:
        lat: (N,) degrees north.
        lng: (N,) degrees east.
        authors: (N,) author of each image; an image of unknown author is its own author.
        left_out: Numbers of missing images, by reason.
    """

    lat: Floats
    lng: Floats
    authors: NDArray[np.str_]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def select(self, keep: NDArray[np.bool_], reason: str = "") -> GeoData:
        """The images of a mask (N,).

        Args:
            keep: The mask.
            reason: Why the others are left out; empty if they are in another part.
        """
        dropped = int((~keep).sum())
        left_out = dict(self.left_out)
        if reason and dropped:
            left_out[reason] = left_out.get(reason, 0) + dropped
            note_dropped(self.files[~keep].tolist(), f"images left out: {reason}")
        return replace(
            self,
            files=self.files[keep],
            lat=self.lat[keep],
            lng=self.lng[keep],
            authors=self.authors[keep],
            left_out=left_out,
        )


class LeftOut(NamedTuple):
    """An image that cannot be used."""

    reason: str  # As :attr:`GeoData.left_out` counts it.
    where: str  # Its line of the list, or its file.
    photo: str  # What the list calls it.
    lat: float  # As a row's.
    lng: float


class Part(NamedTuple):
    """A list or folder of images, and its value in the column of splits; None takes all rows."""

    path: Path
    rows: str | None = None


_Note = Callable[[LeftOut, Sequence[str]], None]


def open_places(path: Path, split: Split, *, whole: bool = False) -> GeoData:
    """Open a list of images, or a folder with one, or a folder of images with GPS tags.

    The images of a list may be anywhere below its folder; names may lack their suffix, or have
    underscores for the slashes of the path (``3f_2f_2747.jpg``), as in MP-16. A list may have a
    column ``split``. In a data set without parts, the images of a fifth of the authors, chosen by
    their names, are ``val``.

    Args:
        path: List or folder.
        split: Part to open.
        whole: Whether any split takes all of a data set without parts.

    Raises:
        InputError: If there is no such part, or no image with a position; the message names the
            path.
    """
    left_out: list[LeftOut] = []
    data, lone = read_places(path, split, left_out)
    if not len(data):
        raise without_positions(path, data, left_out)
    return part_by_author(data, split) if lone and not whole else data


def without_positions(path: Path, data: GeoData, left_out: Sequence[LeftOut]) -> InputError:
    """The error if no image can be used; images without a list may be other data."""
    why = ", ".join(f"{count} {reason}" for reason, count in data.left_out.items())
    several = next((photo for photo in left_out if photo.reason == SEVERAL), None)
    if several is not None:
        why += f", as {several.photo}: name folders in the list"
    told = f"no image with a position ({why or 'it lists none'})"
    return NotRecognised(path, told) if data.format == "exif" else InputError(f"{path}: {told}")


def read_places(
    path: Path, split: Split, left_out: list[LeftOut] | None = None
) -> tuple[GeoData, bool]:
    """Read images as :func:`open_places` does, before they are split; there may be none.

    Args:
        path: List or folder.
        split: Part to read.
        left_out: List to which each image that cannot be used is added.

    Returns:
        The images, and whether they must be split because they are all there is.

    Raises:
        InputError: If there is no such part, or a list is damaged; the message names the path.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    part, lone = choose_part(path, split, find_parts(path))
    counts = Counter[str]()

    def note(photo: LeftOut, files: Sequence[str]) -> None:
        counts[photo.reason] += 1
        note_dropped(files, _WITHOUT)
        if left_out is not None:
            left_out.append(photo)

    is_list = part.path.is_file()
    rows = _read_list(part, note) if is_list else _read_folder(part.path, note)
    note_entries([row.file for row in rows])
    return _assemble("csv" if is_list else "exif", path, rows, dict(counts)), lone


def find_parts(path: Path) -> dict[str, Part]:
    """Lists or folders of the parts of a data set, by ``train``, ``val`` and ``test``.

    Args:
        path: List or folder.

    Raises:
        InputError: If a list names no positions, a folder holds several lists, or a list's column
            of splits contains something else.
    """
    if path.is_file():
        return _parts_of_list(path)
    inside = [f for f in sorted(path.iterdir()) if not is_passed_over(f.name)]
    lists = [f for f in inside if f.suffix.lower() in LISTS and f.is_file() and find_columns(f)]
    folders = [f for f in inside if f.is_dir()]
    named = _named_parts(lists)
    if len(lists) > max(1, len(named)):
        shown = ", ".join(f.name for f in lists[:5])
        raise InputError(f"{path}: holds {len(lists)} lists of images ({shown}): name one")
    if lists:
        return named or _parts_of_list(lists[0])
    return _named_parts(folders) or {"train": Part(path)}


def holds_places(path: Path) -> bool:
    """Whether a path looks like images with positions: a list, or GPS tags in a folder's images.

    In a folder only some of its own images are read, and none in folders below.
    """
    if path.is_file():
        return path.suffix.lower() in LISTS and find_columns(path) is not None
    files = sorted(f for f in path.iterdir() if f.is_file() and not is_passed_over(f.name))
    columns = [find_columns(file) for file in files if file.suffix.lower() in LISTS]
    if any(found is not None and found.photo is not None for found in columns):
        return True
    photos = [str(file) for file in files if is_picture(file.name)][:_LOOKED_AT]
    return any(tags is not None and tags.position is not None for tags in tags_of(photos))


def _parts_of_list(file: Path) -> dict[str, Part]:
    """Parts by the list's own column of splits, if it has one."""
    columns = need_columns(file)
    told: set[str] = set()
    if columns.split is not None:
        told = {_split_of(fields, columns, where) for where, fields in lines_of(file, columns)}
    if not told:
        return {"train": Part(file)}
    return {part: Part(file, part) for part in _PARTS if part in told}


def _split_of(fields: list[str], columns: Columns, where: str) -> str:
    assert columns.split is not None
    text = fields[columns.split].strip() if columns.split < len(fields) else ""
    return split_name(text, where)


def _named_parts(paths: list[Path]) -> dict[str, Part]:
    """Files or folders that have the name of a part."""
    return {
        part: Part(path)
        for part, names in _PARTS.items()
        for path in reversed(paths)
        if path.name.lower().partition(".")[0] in names
    }


def _read_list(part: Part, note: _Note) -> list[Row]:
    """The images in a list that exist and have a position."""
    file = part.path
    columns = need_columns(file)
    if columns.photo is None:
        raise InputError(f"{file}: no column names the images (IMG_ID, path, id, ...)")
    index = Pictures(file.parent)
    rows: list[Row] = []
    for where, fields in lines_of(file, columns):
        if part.rows is not None and (named := _split_of(fields, columns, where)) != part.rows:
            if named == "test":  # Whoever reads them notes that they are used.
                found = index.find(row_of(fields, columns, where).file)
                note_dropped(found, f"images that {file.name} lists for test, {UNUSED_PART}")
            continue
        row = row_of(fields, columns, where)
        found = index.find(row.file)
        if len(found) > 1:
            fitting = f"{row.file}: {first_of([os.path.relpath(f, file.parent) for f in found])}"
            note(LeftOut(SEVERAL, where, fitting, row.lat, row.lng), found)
        elif not found or not is_position(np.array(row.lat), np.array(row.lng)):
            reason = NOWHERE if found else LOST
            note(LeftOut(reason, where, row.file, row.lat, row.lng), found)
        else:
            rows.append(row._replace(file=found[0], author=row.author or found[0]))
    return rows


def _read_folder(folder: Path, note: _Note) -> list[Row]:
    """The images in a folder whose tags state a position.

    The author is the tag's artist, or the folder of the image, or unknown.
    """
    files = find_images(folder)
    rows: list[Row] = []
    for file, tags in zip(files, tags_of([str(f) for f in files]), strict=True):
        place = None if tags is None else tags.position
        lat, lng = place or (np.nan, np.nan)
        if tags is None or not is_position(np.array(lat), np.array(lng)):
            refuse_pointer(file)
            reason = UNREADABLE if tags is None else NOWHERE
            note(LeftOut(reason, str(file), str(file), lat, lng), [str(file)])
            continue
        inside = file.parent.relative_to(folder).as_posix()
        author = tags.artist or (str(file) if inside == "." else inside)
        rows.append(Row(str(file), lat, lng, author))
    return rows


def _assemble(kind: str, root: Path, rows: list[Row], left_out: dict[str, int]) -> GeoData:
    files, lat, lng, authors = zip(*rows, strict=True) if rows else ((), (), (), ())
    return GeoData(
        format=kind,
        root=root,
        files=np.array(files, np.str_),
        lat=np.array(lat, np.float64),
        lng=np.array(lng, np.float64),
        authors=np.array(authors, np.str_),
        left_out=left_out,
    )


def part_by_author(data: GeoData, split: Split, share: float | None = None) -> GeoData:
    """Split by author: a share of the authors is ``val``, the others are ``train``.

    Images by one author on one day look alike and are near each other: if images were split
    individually, a network would be tested on what it has seen.

    Args:
        data: All images.
        split: Part to return.
        share: Share of the authors in ``val``, in (0, 1); by default a fifth, or the fold to hold
            out.

    Raises:
        InputError: If all images are by one author.
    """
    # An image of unknown author is identified by its path in the data set, wherever that is
    # stored.
    base = data.root if data.root.is_dir() else data.root.parent
    alone = data.authors == data.files
    told = [
        os.path.relpath(author, base) if own else author
        for author, own in zip(data.authors.tolist(), alone.tolist(), strict=True)
    ]
    names, which = np.unique(np.array(told), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"{data.root}: all {len(data)} images are of one author, so none can be held out to "
            "validate on; name images of others by --val"
        )
    held = held_out(name_shares(names.tolist()), share)[which]
    return data.select(held if split == "val" else ~held)
