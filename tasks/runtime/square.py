"""How an image becomes the square that a network sees, and its boxes the image's again.

Networks prepare images by it, and so does whoever runs an export that takes ready squares: then
each input's :class:`Square` stands among the export's facts under ``square``, by its name::

    {"images": {"size": 224, "fit": "centre", "crop": 0.875, "interpolation": "bilinear",
                "keep_aspect": false}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from backbone.flavour import MOST_PIXELS_A_SIDE
from backbone.typed_fields import refuse_other_types
from datasets.errors import InputError
from tasks.runtime.session import SQUARE, Answer, Image

Fit = Literal["centre", "whole"]


@dataclass(frozen=True)
class Square:
    """The preparation of one input.

    Attributes:
        size: Side in pixels.
        fit: ``centre``: the short side is resized to size / crop pixels, antialiased, and the
            centre is cut out. ``whole``: all of the image, bilinear without antialiasing.
        crop: Share of the resized short side that the centre keeps.
        interpolation: Interpolation of the antialiased resize: ``bilinear`` or ``bicubic``.
        keep_aspect: The whole image is scaled by its longer side and filled up at the right or
            the bottom; otherwise it is warped.
    """

    size: int
    fit: Fit
    crop: float = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    keep_aspect: bool = False

    def __call__(self, photo: Image) -> Image:
        """The square (size, size, 3) uint8 of an image (H, W, 3) uint8 RGB."""
        # Needs OpenCV and Pillow, which exports that do this themselves are run without.
        from datasets.squares import centre_square, fit_square

        if self.fit == "whole":
            return fit_square(photo, self.size, keep_aspect=self.keep_aspect)
        return centre_square(photo, self.size, crop=self.crop, interpolation=self.interpolation)

    def on_photo(self, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Boxes (K, 4) x1 y1 x2 y2 in shares of the square, in pixels of an image of that size.

        Of a box in the fill alone nothing is left: a side of 0.
        """
        frame = np.array([width, height] * 2, np.float32)
        scale = np.float32(max(width, height)) if self.keep_aspect else frame
        placed: NDArray[np.float32] = np.minimum(boxes * scale, frame)
        return placed

    def to_json(self) -> dict[str, Any]:
        """Plain dict for the facts of an export."""
        return asdict(self)


def squares_of(facts: Mapping[str, Any], path: Path) -> dict[str, Square]:
    """By the inputs' names in their order, how images become the squares that an export takes.

    Returns:
        Empty where the export takes images of any size.

    Raises:
        InputError: If they cannot be read.
    """
    try:
        given = facts.get(SQUARE, {})
        for one in given.values():
            refuse_other_types(one, Square)
        found = {name: Square(**one) for name, one in given.items()}
        for one in found.values():
            if not 0 < one.size <= MOST_PIXELS_A_SIDE or not 0 < one.crop <= 1:
                raise InputError(f"size {one.size}, crop {one.crop}")
        return found
    except (AttributeError, TypeError, InputError) as error:
        raise InputError(f"{path}: does not state how images are prepared ({error})") from error


def boxes_on_photo(row: Answer, squares: Mapping[str, Square], photo: Image) -> Answer:
    """Named outputs for an image (H, W, 3), boxes in its pixels in place of shares of the square.

    What lies in the fill alone becomes padding: label 0.
    """
    whole = next((one for one in squares.values() if one.fit == "whole"), None)
    found = dict(row)
    for name in [name for name in row if name.endswith("boxes")]:
        if whole is None:
            continue
        boxes = whole.on_photo(
            cast("NDArray[np.float32]", row[name]), photo.shape[1], photo.shape[0]
        )
        labels = name.removesuffix("boxes") + "labels"
        found[name] = boxes
        found[labels] = row[labels] * (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return found
