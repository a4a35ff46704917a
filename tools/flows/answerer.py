"""A model for the service: its findings in images, and their presentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from datasets.images import Image
from tasks.application import Reply

Together = Callable[[Image], Hashable] | None


class Refusal(ValueError):  # noqa: N818 (nothing went wrong)
    """A request that is refused: HTTP status, 400 to 503, and the text that the user sees."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Answerer:
    """A model prepared for images of any size, and the presentation of its answers.

    Attributes:
        look: Function from images (H, W, 3) RGB to what the network finds in them.
        tell: Function from the same images and these findings to what the user sees.
        plain: Function from the finding in one image to plain data for programs.
        together: Function from an image to what the images of several requests must have in
            common to be given to ``look`` at once; None if they cannot be.
    """

    look: Callable[[list[Image]], Any]
    tell: Callable[[list[Image], Any], Reply]
    plain: Callable[[Any], dict[str, Any]]
    together: Together = None

    def answer(self, images: list[Image]) -> tuple[Reply, float, float]:
        """The reply, and the milliseconds of the network (resize to decoding) and of drawing."""
        start = time.perf_counter()
        found = self.look(images)
        middle = time.perf_counter()
        reply = self.tell(images, found)
        end = time.perf_counter()
        return reply, 1000 * (middle - start), 1000 * (end - middle)
