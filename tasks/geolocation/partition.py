"""PlaNet's adaptive partition: small cells where there are many images, none where there are few.

A cell with more than t1 images is split into its four children, repeatedly; cells that end with
fewer than t2 are dropped (Weyand et al., arXiv 1602.05314, section 3, which the paper follows in
its section 4.4). The leaf cells of all images are sorted once: a cell is a range of them, so that
counting its images takes two binary searches.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets.errors import InputError
from tasks.geolocation import s2
from tasks.geolocation.s2 import Ids, Ints
from tasks.geolocation.sphere import Floats, degrees, unit_vectors
from tasks.weights.atomic_write import write_csv

# The columns of the public lists of cells.
CELLS_HEADER = ("class_label", "hex_id", "imgs_per_cell", "latitude_mean", "longitude_mean")
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Partition:
    """Disjoint cells, in the order of a model's outputs."""

    ids: Ids  # (C,) S2 cells
    counts: Ints  # (C,) images in each
    lat: Floats  # (C,) mean position of its images, degrees
    lng: Floats  # (C,) the same

    def __post_init__(self) -> None:
        """Raise InputError if there is no cell, or if one contains another, naming both."""
        if not len(self.ids):
            raise InputError("a partition needs at least one cell")
        first, last = (ends[self._order] for ends in s2.range_of(self.ids))
        inside = np.flatnonzero(first[1:] <= last[:-1])
        if len(inside):
            one, other = s2.tokens(self.ids[self._order][inside[0] : inside[0] + 2])
            raise InputError(f"cells {one} and {other} overlap: an image would be in both")

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.ids)

    @cached_property
    def _order(self) -> Ints:
        return np.argsort(self.ids, kind="stable").astype(np.int64)

    @cached_property
    def tokens(self) -> list[str]:
        """Tokens of the cells."""
        return s2.tokens(self.ids)

    @cached_property
    def units(self) -> Floats:
        """(C, 3) mean positions as vectors of length one."""
        return unit_vectors(self.lat, self.lng)

    def columns_of(self, ids: Ids) -> Ints:
        """Column (N,) of the cell that contains each cell (N,), or is it; -1 if none does."""
        first, last = (ends[self._order] for ends in s2.range_of(self.ids))
        place = np.searchsorted(first, ids, side="right") - 1
        inside = (place >= 0) & (ids <= last[np.maximum(place, 0)])
        return np.where(inside, self._order[np.maximum(place, 0)], -1)

    def columns_at(self, lat: Floats, lng: Floats) -> Ints:
        """Column (N,) of the cell of each point (N,) in degrees; -1 if there is none."""
        return self.columns_of(s2.cell_ids(lat, lng))


def split_adaptively(
    lat: Floats, lng: Floats, *, most: int = 10_000, least: int = 50
) -> Partition:
    """The adaptive partition of positions (N,) in degrees, with cells in the order of their ids.

    10 million positions take about 4 seconds on one core, and .4 GB including the positions.

    Args:
        lat: (N,) degrees.
        lng: (N,) degrees.
        most: Number of images above which a cell is split (t1); a leaf cell never is.
        least: Number of images below which a cell is dropped (t2).

    Raises:
        InputError: If a position is not on Earth, or no cell contains enough images.
    """
    leaves = s2.cell_ids(lat, lng)
    ids, counts = _split(np.sort(leaves), most, least)
    if not len(ids):
        raise InputError(
            f"{len(leaves)} positions are too few for cells of {least} or more images: lower "
            "--drop-below, or name more positions"
        )
    blank = np.zeros(len(ids))
    bare = Partition(ids, counts, blank, blank)
    sums = np.zeros((len(ids), 3))
    for start in range(0, len(leaves), _BLOCK):
        part = slice(start, start + _BLOCK)
        columns = bare.columns_of(leaves[part])
        known = columns >= 0
        units = unit_vectors(lat[part][known], lng[part][known])
        for axis in range(3):
            sums[:, axis] += np.bincount(columns[known], units[:, axis], len(ids))
    return Partition(ids, counts, *degrees(sums))


def _split(leaves: Ids, most: int, least: int) -> tuple[Ids, Ints]:
    """Cells and their counts from sorted leaves (N,), by level and id; sorted at the end."""
    found: list[tuple[Ids, Ints]] = []
    cells = s2.faces()
    for level in range(s2.MAX_LEVEL + 1):
        first, last = s2.range_of(cells)
        counts = np.searchsorted(leaves, last, "right") - np.searchsorted(leaves, first, "left")
        large = counts > most if level < s2.MAX_LEVEL else np.zeros(len(cells), np.bool_)
        done = ~large & (counts >= max(least, 1))
        found.append((cells[done], counts[done].astype(np.int64)))
        if not large.any():
            break
        cells = s2.children(cells[large]).ravel()
    ids, totals = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(ids, kind="stable")
    return ids[order], totals[order]


def write_cells(path: Path, partition: Partition) -> None:
    """Write the cells in the format of public lists. Raises OSError if that fails."""
    columns = (one.tolist() for one in (partition.counts, partition.lat, partition.lng))
    rows = enumerate(zip(partition.tokens, *columns, strict=True))
    write_csv(path, CELLS_HEADER, ((label, *row) for label, row in rows))


def is_cells(text: str) -> bool:
    """Whether a text is a list of cells: its header is among the first lines."""
    return any(line.startswith("class_label,hex_id") for line in text.split("\n", 5)[:5])


def read_cells(path: Path, text: str) -> Partition:
    """Read a list of cells: ``class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean``.

    Lines above the header, which public lists have, are skipped. Columns are in the order of
    ``class_label``.

    Args:
        path: Path of the file, for messages.
        text: Its content.

    Raises:
        InputError: If a line is not a cell, or labels or cells conflict; the message names the
            file.
    """
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("class_label,hex_id"))
    rows = csv.DictReader(lines[start:])
    found: list[tuple[int, str, int, float, float]] = []
    for number, row in enumerate(rows, start + 2):
        try:
            label, token, count, lat, lng = (row[name] for name in CELLS_HEADER)
            found.append((int(label), token, int(count), float(lat), float(lng)))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: line {number}: no cell ({error})") from error
    found.sort()
    if [row[0] for row in found] != list(range(len(found))):
        raise InputError(f"{path}: class_label does not run from 0 to {len(found) - 1}")
    try:
        ids = s2.from_tokens([row[1] for row in found])
        counts = np.array([row[2] for row in found], np.int64)
        lat, lng = np.array([row[3:] for row in found], np.float64).reshape(-1, 2).T
        return Partition(ids, counts, lat, lng)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: {error}") from error
