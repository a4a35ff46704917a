"""Reads videos frame by frame, and writes them so that a truncated one never seems complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from datasets.images import Image
from datasets.names import safe_path
from tasks.weights.atomic_write import replacing

_SUFFIX = ".mp4"


def frames_of(capture: cv2.VideoCapture) -> Iterator[Image]:
    """The frames (H, W, 3) RGB of an opened video."""
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield np.ascontiguousarray(frame[..., ::-1])


class VideoFile:
    """A video that is written: it is named when complete; without a frame there is none.

    Args:
        path: File to write, MP4.
        rate: Frames per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self._rate = path, rate
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
        """Add a frame (H, W, 3) RGB. Raises OSError if the file cannot be opened."""
        if self._writer is None:
            self._writer = self._open(image)
        self._writer.write(image[..., ::-1])
        self._count += 1

    def _open(self, image: Image) -> cv2.VideoWriter:
        temporary = self._opened.enter_context(replacing(self.path, _SUFFIX))
        # A name that is not UTF-8 would crash the process in OpenCV.
        self._name = self._opened.enter_context(safe_path(temporary))
        code = cv2.VideoWriter.fourcc(*"mp4v")
        size = (image.shape[1], image.shape[0])
        writer = cv2.VideoWriter(self._name, code, self._rate, size)
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
