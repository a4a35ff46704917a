"""The options of following objects through videos, and the lines that are counted at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from datasets.errors import InputError
from datasets.names import shown

Side = Literal["left", "right"]
Point = tuple[float, float]
# More pixels than the side of any image; OpenCV draws to no place that is much further.
_MOST = 65_535


class Line(NamedTuple):
    """A line across an image, with a direction: from its start to its end.

    Attributes:
        name: Name in the results.
        ends: x1 y1 x2 y2 of start and end.
        shares: Whether these are shares of the width and height, and not pixels.
    """

    name: str
    ends: tuple[float, float, float, float]
    shares: bool

    def within(self, width: int, height: int) -> Line:
        """The line in pixels of an image."""
        if not self.shares:
            return self
        x1, y1, x2, y2 = self.ends
        return Line(self.name, (x1 * width, y1 * height, x2 * width, y2 * height), False)

    def is_outside(self, width: int, height: int) -> bool:
        """Whether a line in pixels lies beyond the right or lower edge of an image."""
        x1, y1, x2, y2 = self.ends
        return min(x1, x2) > width or min(y1, y2) > height

    def offset(self, point: Point) -> float:
        """Distance in pixels of a point from the line prolonged; positive to its right.

        That is the right hand of someone who walks from its start to its end.
        """
        x1, y1, x2, y2 = self.ends
        turn = (x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)
        return turn / math.hypot(x2 - x1, y2 - y1)

    def crossed(self, before: Point, after: Point) -> Side | None:
        """The side to which a straight way crosses the line; None if it does not."""
        left, right = self.offset(before), self.offset(after)
        if (left <= 0) == (right <= 0):
            return None
        share = left / (left - right)
        x, y = (a + (b - a) * share for a, b in zip(before, after, strict=True))
        x1, y1, x2, y2 = self.ends
        along = (x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)
        if not 0 <= along <= (x2 - x1) ** 2 + (y2 - y1) ** 2:
            return None
        return "right" if right > 0 else "left"


@dataclass(frozen=True)
class TrackSpec:
    """Following objects through videos and streams."""

    track: bool = False
    """For videos and streams: give each object a number that it keeps from frame to frame, by
    ByteTrack, and count the objects of each class."""
    lines: tuple[str, ...] = ()
    """Lines at which the objects that cross them are counted by class and direction, as
    X1,Y1,X2,Y2 or NAME=X1,Y1,X2,Y2: in pixels, or in shares of width and height if all four are
    from 0 to 1, such as door=.5,0,.5,1. An object crosses with the centre of its box."""

    def __post_init__(self) -> None:
        """Refuse what is no line, and lines without tracking. Raises InputError."""
        if self.lines and not self.track:
            raise InputError(f"--lines {self.lines[0]}: has no effect without --track")
        _ = self.parsed

    @property
    def parsed(self) -> tuple[Line, ...]:
        """The lines; those without a name are numbered. Raises InputError if one is none."""
        lines = tuple(_parse(text, number) for number, text in enumerate(self.lines, start=1))
        names = [line.name for line in lines]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"--lines {name}: two lines have this name")
        return lines


def _parse(text: str, number: int) -> Line:
    name, _, ends = text.rpartition("=")
    try:
        x1, y1, x2, y2 = map(float, ends.split(","))
    except ValueError:
        x1 = y1 = x2 = y2 = math.nan
    if not all(0 <= value <= _MOST for value in (x1, y1, x2, y2)) or (x1, y1) == (x2, y2):
        raise InputError(
            f"--lines {text}: write X1,Y1,X2,Y2 or NAME=X1,Y1,X2,Y2 of two different points in "
            f"pixels, 0 to {_MOST}, or in shares of the image, such as door=.5,0,.5,1"
        )
    shares = max(x1, y1, x2, y2) <= 1
    # As in the results: OpenCV crashes if it draws text that is not UTF-8.
    return Line(shown(name).strip() or f"line {number}", (x1, y1, x2, y2), shares)
