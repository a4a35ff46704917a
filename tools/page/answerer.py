"""What a model says of a photo, as the page shows it: a drawing, a table, a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from datasets.images import Image

# Longer side of drawn pictures in pixels: what can be read, and what a fine screen shows.
_LEAST, _MOST = 640, 1280


class Column(NamedTuple):
    """Of a table.

    Attributes:
        title: Its heading.
        kind: How values are written: as they are, as percent with a bar, or rounded.
    """

    title: str
    kind: Literal["text", "share", "number"] = "text"


class Reply(NamedTuple):
    """An answer as a person sees it.

    Attributes:
        picture: (H, W, 3) RGB.
        summary: The answer in a few words.
        detail: What else belongs to it; with the summary it stands for the picture where that
            cannot be seen.
        columns: Of the table.
        rows: Of the table, the most important first; a value for each column.
    """

    picture: Image
    summary: str
    detail: str
    columns: tuple[Column, ...]
    rows: list[tuple[str | float, ...]]


@dataclass(frozen=True)
class Answerer:
    """A model made ready for pictures of any size, and how its answers are told.

    Attributes:
        look: From pictures (H, W, 3) RGB to what the network finds in them.
        tell: From the same pictures and what was found to what a person sees.
    """

    look: Callable[[list[Image]], Any]
    tell: Callable[[list[Image], Any], Reply]

    def answer(self, images: list[Image]) -> tuple[Reply, float, float]:
        """The reply, and the milliseconds of the network (resize to decoding) and of drawing."""
        start = time.perf_counter()
        found = self.look(images)
        middle = time.perf_counter()
        reply = self.tell(images, found)
        end = time.perf_counter()
        return reply, 1000 * (middle - start), 1000 * (end - middle)


def for_screen(image: Image) -> Image:
    """The picture (H, W, 3) in a size to draw on: of 50 megapixels nobody sees more."""
    height, width = image.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, _LEAST), _MOST) / longest
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)
