"""Images with positions as a kind of data."""

from __future__ import annotations

from pathlib import Path

from datasets.findings import Examination
from datasets.kind import CheckOptions, DataKind
from datasets.labels.opening import has_labels
from datasets.positions.checking import examine_places
from datasets.positions.opening import (
    GeoData,
    LeftOut,
    find_parts,
    holds_places,
    part_by_author,
    read_places,
)
from datasets.spec import Split


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    """Parts of images with positions; in a list of labels, positions are only an addition."""
    holds = holds_places(path) and (named or not (path.is_file() and has_labels(path)))
    return tuple(find_parts(path)) if holds or (named and path.is_dir()) else None


def _examine(path: Path, parts: tuple[str, ...], options: CheckOptions) -> Examination[GeoData]:
    split, other = options.choose(parts)
    left_out: list[LeftOut] = []
    beside = None if other is None else _open(path, other, [])
    data = _open(path, split, left_out)
    checkup = examine_places(data, beside, left_out=left_out, decode=options.decode)
    said = options.tell(path, split, parts, "the authors of ")
    return checkup.with_part(said, split, other)


def _open(path: Path, split: Split, left_out: list[LeftOut]) -> GeoData:
    data, lone = read_places(path, split, left_out)
    return part_by_author(data, split) if lone and len(data) else data


POSITIONS = DataKind(
    name="positions",
    task="geolocation",
    layouts="One of places is a list with the columns LAT, LON and the image's name, or holds "
    "one, or images with GPS tags.",
    find_parts=_find_parts,
    examine=_examine,
    shares_files=True,
    formats=("list of places", "images with GPS tags"),
)
