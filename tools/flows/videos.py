"""Reads videos frame by frame, and writes them so that a truncated one never seems complete."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from datasets.errors import InputError
from datasets.images import Image
from datasets.names import odd_file, refused_name, safe_path, shown
from tasks.weights.atomic_write import replacing

VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})
_SUFFIX = ".mp4"
_USUAL_RATE = 25.0
_MILLISECONDS = 15_000
# MPEG-4 stores a rate as a fraction of 16-bit numbers, OpenCV with 1000 as its denominator.
_EXACT_RATE, _MOST_RATE = 65, 65_535
Frames = Generator[tuple[int, Image], None, None]


@dataclass(frozen=True)
class Film:
    """A video file, a stream or a camera.

    Attributes:
        where: Path, address, or number of a camera.
        live: Whether its frames come whether or not they are read.
    """

    where: Path | str | int
    live: bool = False


class OpenedFilm:
    """A film that is read frame by frame. Close it by leaving the ``with`` block.

    Attributes:
        rate: Frames per second.
        count: Number of frames as its header states it; None if it states none.
        seen: Number of frames that have been passed so far.

    Raises:
        InputError: If it cannot be opened.
    """

    def __init__(self, film: Film, name: str) -> None:
        self._film, self._opened = film, ExitStack()
        self._capture = self._open(name)
        self._opened.callback(self._capture.release)
        self.seen = 0
        self.rate = _possible(self._capture.get(cv2.CAP_PROP_FPS))
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 and not film.live else None

    def __enter__(self) -> OpenedFilm:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the film; the thread that reads a stream ends first."""
        self._opened.close()

    @property
    def is_cut(self) -> bool:
        """Whether clearly fewer frames came than its header states, some of which estimate."""
        return self.count is not None and self.count - self.seen > max(1, self.count // 100)

    def _open(self, name: str) -> cv2.VideoCapture:
        where = self._film.where
        if isinstance(where, int):
            capture = cv2.VideoCapture(where)
            what = f"camera {where}: cannot be opened; is it connected, and free?"
        elif isinstance(where, str):
            limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            options = [value for limit in limits for value in (limit, _MILLISECONDS)]
            capture = cv2.VideoCapture(where, cv2.CAP_FFMPEG, options)
            what = f"{name}: no stream can be opened there; is the server on, the address right?"
        else:
            if why := refused_name(where):
                raise InputError(f"{shown(where)[:200]}: no name that a file can have ({why})")
            if odd := odd_file(where):
                raise InputError(f"{shown(where)}: is {odd}, and no video")
            # A name that is not UTF-8 would crash the process in OpenCV.
            capture = cv2.VideoCapture(self._opened.enter_context(safe_path(where)))
            what = f"{shown(where)}: not a video that can be read"
        if not capture.isOpened():
            self._opened.close()
            raise InputError(what)
        return capture

    def frames(self, first: int, every: int) -> Iterator[tuple[int, Image]]:
        """Number and pixels (H, W, 3) RGB of every n-th frame.

        Args:
            first: Number of the first frame; earlier ones are passed over.
            every: Only frames whose numbers are multiples of this are used.
        """
        found = (
            _newest(self._capture, first, every) if self._film.live else self._each(first, every)
        )
        self._opened.callback(found.close)
        return found

    def _each(self, first: int, every: int) -> Frames:
        while self._capture.grab():
            number = self.seen
            if number >= first and not number % every:
                there, frame = self._capture.retrieve()
                if not there:
                    return
                yield number, np.ascontiguousarray(frame[..., ::-1])
            self.seen += 1


def _possible(rate: float) -> float:
    """Frames per second as a file states them, or usual ones if it states none that can be."""
    return rate if 1e-3 <= rate < float("inf") else _USUAL_RATE  # Nor if it is no number.


def _newest(capture: cv2.VideoCapture, first: int, every: int) -> Frames:
    """Frames of a live stream: a slow model passes over frames instead of falling behind.

    A thread reads all frames; each is numbered from ``first``, and the newest one is kept.
    """
    box: queue.Queue[tuple[int, Any] | None] = queue.Queue(maxsize=1)
    ended = threading.Event()

    def read() -> None:
        number = first
        while not ended.is_set() and capture.grab():
            if not number % every:
                there, frame = capture.retrieve()
                if not there:
                    break
                with suppress(queue.Empty):
                    box.get_nowait()
                box.put((number, frame))
            number += 1
        if not ended.is_set():
            box.put(None)  # After the last frame, which may still be waiting.

    thread = threading.Thread(target=read, name="stream", daemon=True)
    thread.start()
    try:
        while (found := box.get()) is not None:
            number, frame = found
            yield number, np.ascontiguousarray(frame[..., ::-1])
    finally:
        ended.set()
        with suppress(queue.Empty):
            box.get_nowait()
        thread.join(_MILLISECONDS / 1000)


class VideoFile:
    """A video that is written: it is named when complete; without a frame there is none.

    Args:
        path: File to write, MP4.
        rate: Frames per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        rate = _possible(rate)
        self.path = path
        self._rate = rate if rate <= _EXACT_RATE else float(min(round(rate), _MOST_RATE))
        self._size = (0, 0)
        self._count = 0
        self._name = ""
        self._writer: cv2.VideoWriter | None = None
        self._opened = ExitStack()

    def __enter__(self) -> VideoFile:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Give the file its name. Raises OSError if not all frames are in it."""
        self._opened.__exit__(kind, error, at)

    def write(self, image: Image) -> None:
        """Add a frame (H, W, 3) RGB, in the size of the first. Raises OSError."""
        if self._writer is None:
            self._writer = self._open(image)
        if image.shape[1::-1] != self._size:
            image = np.asarray(cv2.resize(image, self._size), np.uint8)
        self._writer.write(image[..., ::-1])
        self._count += 1

    def _open(self, image: Image) -> cv2.VideoWriter:
        temporary = self._opened.enter_context(replacing(self.path, _SUFFIX))
        # A name that is not UTF-8 would crash the process in OpenCV.
        self._name = self._opened.enter_context(safe_path(temporary))
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._size = (image.shape[1], image.shape[0])
        writer = cv2.VideoWriter(self._name, code, self._rate, self._size)
        if not writer.isOpened():
            raise OSError(f"{self.path}: the video cannot be written")
        self._opened.push(self._finish)
        return writer

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file. OpenCV does not report a full disk, so all frames are read again."""
        assert self._writer is not None
        self._writer.release()
        if kind is not None:
            return
        capture, there = cv2.VideoCapture(self._name), 0
        while there < self._count and capture.grab():
            there += 1
        capture.release()
        if there < self._count:
            raise OSError(
                f"{self.path}: the video was cut: {there} of {self._count} frames could be "
                "written; is the disk full?"
            )
