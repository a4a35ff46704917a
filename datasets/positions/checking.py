"""The data doctor of images with positions: finds what harms a geolocator or its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.copies import find_copies, in_both_splits
from datasets.findings import (
    MOST_BROKEN,
    Examination,
    Finding,
    drop_unreadable,
    note_shared,
    refuse_broken,
)
from datasets.positions.opening import NOWHERE, UNREADABLE, GeoData, LeftOut

# Copies whose positions differ by more degrees than this (about a kilometre) were not taken at one
# place.
_ONE_PLACE = 0.01
# This many latitudes out of range, with no longitude beyond 90, are a swap and not slips.
_FEW_SLIPS = 10


def examine_places(
    data: GeoData,
    other: GeoData | None = None,
    *,
    left_out: Sequence[LeftOut] = (),
    decode: bool = False,
) -> Examination[GeoData]:
    """Examine a part of a data set, and find images and authors that are also in another part.

    Args:
        data: Part to examine.
        other: Part to compare it with.
        left_out: Images that could not be used, which are reported too.
        decode: Whether to decode every image instead of reading its header.
    """
    findings = [_explain(photo) for photo in left_out]
    good = drop_unreadable(data, findings, decode=decode)
    mended = data.select(good, UNREADABLE)
    refuse_broken(data.root, good, findings)
    if not len(data):
        detail = "no image that is there has one"
        findings.append(Finding("no positions", "refused", str(data.root), None, detail))
    _check_swap(data, left_out, findings)
    _check_listed_twice(mended, findings)
    copies = _check_copies(mended, other, findings)
    both = _check_authors(mended, other, findings)
    summary = {**_summary(mended), "copies": copies, "authors_in_both_splits": both}
    return Examination(
        data=mended, findings=tuple(findings), summary=summary, about=_about(summary)
    )


def _explain(photo: LeftOut) -> Finding:
    """A finding about an image that could not be used."""
    kind, detail = photo.reason, photo.photo
    if photo.reason == NOWHERE and not np.isnan((photo.lat, photo.lng)).any():
        detail = f"latitude {photo.lat:g}, longitude {photo.lng:g}"
        if photo.lat == photo.lng == 0:
            kind, detail = "position at 0, 0", "what cameras without a fix write"
        else:
            kind = "position out of range"
            detail += "; are they swapped?" if _is_swapped(photo.lat, photo.lng) else ""
    elif photo.reason == NOWHERE:
        of_list = photo.where != photo.photo
        detail = "no latitude or no longitude" if of_list else "no GPS tags with one"
    elif photo.reason == UNREADABLE:
        detail = "not an image whose tags can be read"
    return Finding(kind, "dropped", photo.where, None, detail)


def _is_swapped(lat: float, lng: float) -> bool:
    """Whether an impossible position would be possible with latitude and longitude swapped."""
    return 90 < abs(lat) <= 180 and abs(lng) <= 90


def _check_swap(data: GeoData, left_out: Sequence[LeftOut], findings: list[Finding]) -> None:
    """Refuse a data set in which latitude and longitude are swapped.

    If all positions are possible both ways, as in Europe, a swap cannot be recognised.
    """
    swapped = [photo for photo in left_out if _is_swapped(photo.lat, photo.lng)]
    total = len(data) + len(left_out)
    never_east = not (np.abs(data.lng) > 90).any()
    if len(swapped) > MOST_BROKEN * total or (len(swapped) >= _FEW_SLIPS and never_east):
        first = swapped[0]
        detail = (
            f"{len(swapped)} of {total} positions are none, but would be the other way round: "
            f"latitude {first.lat:g}, longitude {first.lng:g} in {first.where}. Rename the columns"
        )
        root = str(data.root)
        findings.append(Finding("latitude and longitude swapped", "refused", root, None, detail))


def _check_listed_twice(data: GeoData, findings: list[Finding]) -> None:
    order = np.argsort(data.files, kind="stable")
    names = data.files[order]
    for k in np.flatnonzero(names[1:] == names[:-1]).tolist():
        before, row = int(order[k]), int(order[k + 1])
        near = _are_near(data, before, data, row)
        kind = "image listed twice" if near else "image listed at two places"
        detail = _place(data, row) if near else f"{_place(data, before)} and {_place(data, row)}"
        findings.append(Finding(kind, "kept", str(names[k]), None, detail))


def _are_near(one: GeoData, first: int, other: GeoData, second: int) -> bool:
    north = abs(one.lat[first] - other.lat[second])
    east = abs(one.lng[first] - other.lng[second])
    return bool(north <= _ONE_PLACE and min(east, 360 - east) <= _ONE_PLACE)


def _place(data: GeoData, row: int) -> str:
    return f"{data.lat[row]:g}, {data.lng[row]:g}"


def _check_copies(data: GeoData, other: GeoData | None, findings: list[Finding]) -> int:
    """Note files with the same content; returns how many repeat one of this part."""
    mine, first = np.unique(data.files, return_index=True)
    theirs = np.zeros(0, np.str_) if other is None else np.unique(other.files)
    copies = 0
    for ours, copied in find_copies(mine.tolist(), theirs.tolist()):
        rows = [int(first[k]) for k in ours]
        copies += len(rows) - 1
        for row in rows[1:]:
            near = _are_near(data, rows[0], data, row)
            kind = "copy of an image" if near else "copy at another place"
            places = "" if near else f", at {_place(data, row)} instead of {_place(data, rows[0])}"
            detail = f"of {data.files[rows[0]]}{places}"
            findings.append(Finding(kind, "kept", str(data.files[row]), None, detail))
        for row in rows if copied else []:
            findings.append(in_both_splits(data.files[row], theirs[copied[0]]))
    return copies


def _check_authors(data: GeoData, other: GeoData | None, findings: list[Finding]) -> int:
    """Note authors that are in both parts, or a single author; returns how many are in both."""
    authors = np.unique(data.authors).tolist()
    if other is None and len(authors) == 1 and len(data) > 1:
        detail = f"{authors[0]}: images of others are needed to validate on (--val)"
        findings.append(Finding("one author only", "kept", str(data.root), None, detail))
    theirs = [] if other is None else other.authors.tolist()
    return note_shared("authors", authors, theirs, data.root, findings)


def _summary(data: GeoData) -> dict[str, Any]:
    most = Counter(data.authors.tolist()).most_common(1)
    places = np.unique(np.stack((data.lat, data.lng)), axis=1).shape[1] if len(data) else 0

    def span(values: NDArray[np.float64]) -> list[float] | None:
        return [float(values.min()), float(values.max())] if len(values) else None

    return {
        "format": data.format,
        "images": len(data),
        "left_out": dict(data.left_out),
        "authors": len(np.unique(data.authors)),
        "most_by_one_author": most[0][1] if most else 0,
        "positions": places,
        "latitudes": span(data.lat),
        "longitudes": span(data.lng),
    }


def _about(summary: dict[str, Any]) -> tuple[str, ...]:
    s = summary
    photos = (
        f"{s['images']} images of {s['authors']} authors at {s['positions']} positions, format "
        f"{s['format']}"
    )
    if not (s["latitudes"] and s["longitudes"]):
        return (photos,)
    (south, north), (west, east) = s["latitudes"], s["longitudes"]
    return (
        photos,
        f"latitudes {south:g} to {north:g}, longitudes {west:g} to {east:g}; at most "
        f"{s['most_by_one_author']} images of one author",
    )
