"""What following objects through a video adds to the answer to a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.detection.track_spec import Line, Side


class Crossing(NamedTuple):
    """An object that has crossed a line in this frame.

    Attributes:
        line: Name of the line.
        row: Index of the object in the answer.
        to: Side of the line that it has crossed to.
    """

    line: str
    row: int
    to: Side


class Counted(NamedTuple):
    """A line in pixels, and how many objects have crossed it in each direction so far."""

    line: Line
    left: int
    right: int


class Followed(NamedTuple):
    """The tracks of the objects in a frame.

    Attributes:
        tracks: (D,) number of each object in its video, from 1; 0 for none yet.
        trails: Way of each object's centre up to now, (T, 2) x y in pixels.
        crossings: Lines that objects have crossed since the frame before.
        lines: All lines; empty if none were requested.
    """

    tracks: NDArray[np.int64]
    trails: list[NDArray[np.float64]]
    crossings: list[Crossing]
    lines: list[Counted]
