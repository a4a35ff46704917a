"""The objects that were followed through videos, counted by class, line and direction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

Row = dict[str, Any]
TRACKS = "tracks.json"
_SIDES = ("left", "right")


def count_tracks(rows: Iterable[Row], lines: Sequence[str]) -> Row:
    """Tracks and crossings of each video, and of all.

    Args:
        rows: Results in order, as predict.py writes them; those of images are passed over.
        lines: Names of the lines.

    Returns:
        ``videos``, a list of ``file``, ``tracks`` (number of objects by class) and, with lines,
        ``lines``: by name ``left`` and ``right``, the numbers of objects of each class that have
        crossed to that side; and ``tracks`` and ``lines`` of all videos together. An object counts
        for the class that it had in most frames; a crossing for that of its frame.
    """
    frames = (row for row in rows if "crossings" in row)
    videos = [_counts(file, film, lines) for (file, _), film in groupby(frames, _Films())]
    total: Row = {"tracks": _sum(one["tracks"] for one in videos)}
    if lines:
        total["lines"] = {
            name: {side: _sum(one["lines"][name][side] for one in videos) for side in _SIDES}
            for name in lines
        }
    return {"videos": videos, **total}


class _Films:
    """Which video a row is of; the same file may be given twice."""

    def __init__(self) -> None:
        self._film, self._number, self._count = "", -1, 0

    def __call__(self, row: Row) -> tuple[str, int]:
        film, _, text = row["file"].rpartition("#")
        number = int(text)
        if film != self._film or number <= self._number:
            self._count += 1
        self._film, self._number = film, number
        return film, self._count


def _counts(file: str, rows: Iterator[Row], lines: Sequence[str]) -> Row:
    classes: dict[int, Counter[str]] = {}
    crossed = {name: {side: Counter[str]() for side in _SIDES} for name in lines}
    for row in rows:
        for one in row["objects"]:
            if one["track"] is not None:
                classes.setdefault(one["track"], Counter())[one["category"]] += 1
        for one in row["crossings"]:
            crossed[one["line"]][one["to"]][one["category"]] += 1
    found = Counter(votes.most_common(1)[0][0] for votes in classes.values())
    told: Row = {"file": file, "tracks": _sorted(found)}
    if lines:
        told["lines"] = {
            name: {side: _sorted(count) for side, count in sides.items()}
            for name, sides in crossed.items()
        }
    return told


def last_track(rows: Iterable[Row], film: str) -> int:
    """The highest number that an object of a video has; 0 if there is none."""
    return max(
        (
            one.get("track") or 0
            for row in rows
            if row["file"].rpartition("#")[0] == film
            for one in row["objects"]
        ),
        default=0,
    )


def track_lines(found: Row) -> list[str]:
    """The counts of all videos as text: ``tracks: 3 car, 1 bus``, then a line per line."""
    text = [f"tracks: {_listed(found['tracks'])}"]
    for name, sides in found.get("lines", {}).items():
        ways = "; ".join(f"to {side}: {_listed(count)}" for side, count in sides.items())
        text.append(f"{name}: {ways}")
    return text


def _listed(count: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in count.items()) or "none"


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return _sorted(total)


def _sorted(count: Counter[str]) -> dict[str, int]:
    return dict(sorted(count.items(), key=lambda one: (-one[1], one[0])))
