"""What annotations have besides boxes: outlines and keypoints, which a conversion passes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.segments import packed
from datasets.fields import as_number

# As COCO writes them, in pixels: ``segmentation``, ``keypoints`` and ``num_keypoints``.
Shape = dict[str, Any]
Points = NDArray[np.float64]
FIELDS = ("segmentation", "keypoints", "num_keypoints")
# What a category says of its keypoints.
NAMES_OF_POINTS = ("keypoints", "skeleton")
_KEEPING: ContextVar[bool] = ContextVar("keeping shapes", default=False)


@contextmanager
def keeping_shapes() -> Iterator[None]:
    """Let readers keep outlines and keypoints, which take memory that training has no use for."""
    before = _KEEPING.set(True)
    try:
        yield
    finally:
        _KEEPING.reset(before)


def are_kept() -> bool:
    """Whether a reader keeps shapes."""
    return _KEEPING.get()


@dataclass(frozen=True)
class Shapes:
    """Shapes of all annotations of a split.

    Attributes:
        rows: (M,) shape of each annotation; None where it has only a box.
        points: What COCO's category says of its keypoints, by class name.
    """

    rows: NDArray[np.object_]
    points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Shape | None], points: Mapping[str, Any] | None = None) -> Shapes:
        """Shapes from a list."""
        array = np.empty(len(rows), dtype=np.object_)
        array[:] = rows
        return cls(array, points or {})

    def select(self, which: NDArray[Any]) -> Shapes:
        """Those of some annotations: a mask (M,) or row numbers."""
        return replace(self, rows=self.rows[which])

    def counts(self) -> str:
        """How many there are: ``4 outlines and 2 sets of keypoints``; empty if none."""
        present = [row for row in self.rows if row]
        keys = {"outlines": "segmentation", "sets of keypoints": "keypoints"}
        counts = {what: sum(bool(row.get(key)) for row in present) for what, key in keys.items()}
        return " and ".join(f"{count} {what}" for what, count in counts.items() if count)


def shape_of(values: Mapping[str, Any]) -> tuple[Shape | None, bool]:
    """The shape among an annotation's fields, and whether a part of it has no known form."""
    found = {key: values[key] for key in FIELDS if values.get(key)}
    good = {key: value for key, value in found.items() if _is_sound(key, value)}
    return good or None, len(good) < len(found)


def _is_sound(key: str, value: Any) -> bool:
    if key == "num_keypoints":
        return isinstance(value, int)
    if key == "keypoints":
        return _are_numbers(value) and len(value) % 3 == 0
    if isinstance(value, dict):
        return packed(value) is not None
    polygons = value if isinstance(value, list) else [None]
    return all(
        isinstance(one, list) and _are_numbers(one) and len(one) > 5 and len(one) % 2 == 0
        for one in polygons
    )


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and None not in map(as_number, value)


def polygon(points: Points) -> Shape:
    """The shape of a polygon (N, 2) in pixels."""
    return {"segmentation": [points.reshape(-1).tolist()]}


def keypoints(points: Points) -> Shape:
    """The shape of keypoints (K, 3): x and y in pixels, and 0 not there, 1 hidden, 2 visible."""
    rows = points.copy()
    rows[rows[:, 2] == 0] = 0
    numbers = [[x, y, int(seen)] for x, y, seen in rows.tolist()]
    there = int((rows[:, 2] > 0).sum())
    return {"keypoints": [one for row in numbers for one in row], "num_keypoints": there}
