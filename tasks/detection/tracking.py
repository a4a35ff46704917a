"""Follows objects through a video, by ByteTrack of the library ``trackers``.

ByteTrack joins boxes of successive frames by their overlap with where a Kalman filter expects each
object. Boxes with a low score may continue a track, but never begin one.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.detection.answer import BoxAnswers, Objects
from tasks.detection.followed import Counted, Crossing, Followed
from tasks.detection.spec import WEAK_SCORE, DetectOptions
from tasks.detection.track_spec import Line, Point, Side
from tasks.runtime.session import Answer as Outputs

# An object that is lost this long, in seconds and in frames that are used, has a new number.
_SECONDS, _FRAMES = 1.0, 4
# Seconds that a trail goes back.
_TRAIL_SECONDS = 1.5
# A centre this near to a line, as a share of the side of a square of the box's area, is on neither
# side: a trembling box would cross the line in every frame.
_NEAR = 0.1
# IoU above which two boxes of a frame are of one object.
_SAME = 0.7
_INSTALL = (
    "--track needs the packages trackers and supervision: pip install 'mobilenet-suite[track]' && "
    "pip install --no-deps 'trackers>=2.6' (without its opencv-python, which would overwrite "
    "opencv-python-headless)"
)


def tracked(answers: BoxAnswers, options: DetectOptions) -> Callable[[float, int], BoxTracker]:
    """What follows objects through videos.

    Args:
        answers: Presentation of the detector's outputs.
        options: Its options, with the lines.

    Returns:
        A function from the frames per second that are used of a video, and the first number to
        give, to a tracker for that video.

    Raises:
        InputError: If the libraries are not installed.
    """
    try:
        import supervision  # noqa: F401
        import trackers  # noqa: F401
    except ImportError as error:
        raise InputError(f"{_INSTALL} ({error})") from error
    lines = options.tracking.parsed
    return lambda rate, first: BoxTracker(answers, lines, rate, first)


class BoxTracker:
    """Follows the objects of one video.

    Args:
        answers: Presentation of the detector's outputs.
        lines: Lines to count at.
        rate: Frames per second that are used.
        first: First number to give.
    """

    def __init__(
        self, answers: BoxAnswers, lines: tuple[Line, ...], rate: float, first: int = 1
    ) -> None:
        from trackers import ByteTrackTracker

        self._answers, self._rate, self._first = answers, rate, first
        self._weak = np.where(
            np.isinf(answers.floors), np.inf, np.minimum(answers.floors, WEAK_SCORE)
        )
        # The library takes one threshold, and a class may have its own: boxes are given the
        # scores 1 (may begin a track) and 0 (may only continue one).
        self._tracker = ByteTrackTracker(
            lost_track_buffer=math.ceil(30 * max(_SECONDS, _FRAMES / rate)),
            frame_rate=rate,
            track_activation_threshold=0.5,
            high_conf_det_threshold=0.5,
        )
        self._trails: dict[int, deque[tuple[int, Point]]] = {}
        self._counters = [_Counter(line) for line in lines]
        self._size = (0, 0)

    def __call__(self, outputs: Outputs, number: int, size: tuple[int, int]) -> Objects:
        """The objects in a frame, with their tracks.

        Args:
            outputs: Named outputs of the detector.
            number: Number of the frame, counted in frames that are used; it rises, and has gaps
                where frames were passed over.
            size: Width and height of the frame in pixels.
        """
        self._warn_of_lines(size)
        found = self._answers.stronger(outputs, self._weak)
        strong = found.scores > self._answers.floors[found.labels]
        alone = _alone(found)
        tracks = np.zeros(len(strong), np.int64)
        tracks[alone] = self._update(found.boxes[alone], strong[alone], number)
        rows = np.flatnonzero(strong | (tracks > 0))
        tracks = tracks[rows]
        objects = Objects(found.boxes[rows], found.scores[rows], found.labels[rows])
        return objects._replace(followed=self._followed(objects, tracks, number, size))

    def _warn_of_lines(self, size: tuple[int, int]) -> None:
        """Warn of lines that no object can cross, once for each size of frames."""
        if size == self._size:
            return
        self._size = size
        for counter in self._counters:
            line = counter.counted(size).line
            if line.is_outside(*size):
                ends = ",".join(f"{value:g}" for value in line.ends)
                warnings.warn(
                    f"--lines {line.name}={ends}: lies outside of the frames, which have "
                    f"{size[0]} x {size[1]} pixels, so nothing can cross it",
                    stacklevel=3,
                )

    def _update(
        self, boxes: NDArray[np.float64], strong: NDArray[np.bool_], number: int
    ) -> NDArray[np.int64]:
        """Number of each box; 0 for none yet."""
        from supervision import Detections

        given: Any = Detections(
            xyxy=boxes, confidence=strong.astype(np.float64), data={"row": np.arange(len(boxes))}
        )
        joined = self._tracker.update(given, timestamp=number / self._rate)
        found = np.zeros(len(boxes), np.int64)
        ids = np.asarray(joined.tracker_id, np.int64)
        # The library changes their order.
        found[np.asarray(joined.data.get("row", []), np.int64)] = np.where(
            ids < 0, 0, ids + self._first
        )
        return found

    def _followed(
        self, objects: Objects, tracks: NDArray[np.int64], number: int, size: tuple[int, int]
    ) -> Followed:
        oldest = number - _TRAIL_SECONDS * self._rate
        trails: list[NDArray[np.float64]] = []
        crossings: list[Crossing] = []
        for row, (box, track) in enumerate(zip(objects.boxes, tracks.tolist(), strict=True)):
            centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
            if not track:
                trails.append(np.array([centre]))
                continue
            trail = self._trails.setdefault(track, deque())
            trail.append((number, centre))
            while trail[0][0] < oldest:
                trail.popleft()
            trails.append(np.array([point for _, point in trail]))
            side = math.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 0.0))
            for counter in self._counters:
                if to := counter.count(track, centre, _NEAR * side, size):
                    crossings.append(Crossing(counter.name, row, to))
        self._forget(number)
        lines = [counter.counted(size) for counter in self._counters]
        return Followed(tracks, trails, crossings, lines)

    def _forget(self, number: int) -> None:
        """Forget objects that the tracker has given up, so that memory does not grow."""
        oldest = number - max(_SECONDS, _TRAIL_SECONDS) * self._rate - _FRAMES
        for track in [key for key, trail in self._trails.items() if trail[-1][0] < oldest]:
            del self._trails[track]
            for counter in self._counters:
                counter.forget(track)


def _alone(found: Objects) -> NDArray[np.int64]:
    """Rows of objects without those that lie on a better one, of another class.

    A detector suppresses boxes of the same class only; an object with two boxes would have two
    tracks.
    """
    kept: list[int] = []
    order = np.argsort(-found.scores, kind="stable")
    areas = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], 1)
    for row in order.tolist():
        box = found.boxes[row]
        low = np.maximum(found.boxes[kept, :2], box[:2])
        high = np.minimum(found.boxes[kept, 2:], box[2:])
        both = np.prod(np.clip(high - low, 0, None), 1)
        if not (both > _SAME * (areas[kept] + areas[row] - both)).any():
            kept.append(row)
    return np.array(sorted(kept), np.int64)


class _Counter:
    """Counts the objects that cross a line."""

    def __init__(self, line: Line) -> None:
        self.name, self._line = line.name, line
        self._clear: dict[int, Point] = {}
        self._counts: dict[Side, int] = {"left": 0, "right": 0}

    def count(self, track: int, centre: Point, near: float, size: tuple[int, int]) -> Side | None:
        """The side to which an object has crossed the line since it was last clear of it."""
        line = self._line.within(*size)
        if abs(line.offset(centre)) <= near and track in self._clear:
            return None
        before = self._clear.get(track)
        self._clear[track] = centre
        to = None if before is None else line.crossed(before, centre)
        if to is not None:
            self._counts[to] += 1
        return to

    def forget(self, track: int) -> None:
        self._clear.pop(track, None)

    def counted(self, size: tuple[int, int]) -> Counted:
        """The line, with what has crossed it so far."""
        return Counted(self._line.within(*size), **self._counts)
