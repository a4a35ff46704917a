"""Makes a network's square input from an image, without augmentation.

There are two ways: the antialiased centre, as for classifiers; or the whole image, stretched or
padded, as for detectors.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image as PilImage

from datasets.errors import InputError
from datasets.images import Image
from datasets.spec import Interpolation

_PIL = {
    "bilinear": PilImage.Resampling.BILINEAR,
    "bicubic": PilImage.Resampling.BICUBIC,
}
# Number of pixels on either side that contribute to a pixel (the cubic's 2), and one for rounding.
_REACH = 3
# About the mean colour of images.
FILL = (124, 116, 104)


def centre_square(
    image: Image, size: int, *, crop: float = 0.875, interpolation: Interpolation = "bilinear"
) -> Image:
    """Resize the short side of (H, W, 3) to size / crop pixels, antialiased; cut out the centre.

    The result equals torchvision's ``Resize(round(size / crop))`` and ``CenterCrop(size)`` in
    every pixel, with the horizontal pass first: Pillow 13 begins with the vertical one if that is
    less work, and because each pass rounds to integers, one pixel in four would differ by one from
    older versions.
    """
    height, width = image.shape[:2]
    short, wanted = min(height, width), round(size / crop)
    sides = np.array([width * wanted // short, height * wanted // short])
    first = np.round((sides - size) / 2)
    # Resizing only the window, from the rows that it needs, gives the same pixels for less work.
    step = np.array([width, height]) / sides
    last = np.minimum((first + size) * step, (width, height))  # Not a rounding error beyond it.
    (left, top), (right, bottom) = (first * step).tolist(), last.tolist()
    reach = _REACH * max(step[1], 1)
    above, below = max(int(top - reach), 0), min(int(bottom + reach), height)
    picture = PilImage.fromarray(np.ascontiguousarray(image[above:below]))
    kind = _PIL[interpolation]
    across = picture.resize((size, below - above), kind, box=(left, 0, right, below - above))
    square = across.resize((size, size), kind, box=(0, top - above, size, bottom - above))
    return np.asarray(square, np.uint8)


class CentreCut:
    """The centre of an image, resized by :func:`centre_square`.

    Args:
        size: Side of the result in pixels.
        crop: Share of the resized short side to keep, in (0, 1].
        interpolation: Interpolation of the resize.

    Raises:
        InputError: If the crop is outside (0, 1].
    """

    def __init__(self, size: int, *, crop: float, interpolation: Interpolation) -> None:
        if not 0 < crop <= 1:
            raise InputError(f"crop {crop} is not in (0, 1]")
        self.size, self.crop = size, crop
        self.interpolation: Interpolation = interpolation

    def cut(self, image: Image) -> Image:
        """The centre of (H, W, 3) RGB."""
        return centre_square(image, self.size, crop=self.crop, interpolation=self.interpolation)


def resize_square(image: Image, size: int) -> Image:
    """Stretch (H, W, 3) to (size, size, 3), bilinear without antialiasing as in TensorFlow."""
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def fit_square(image: Image, size: int, *, keep_aspect: bool = False) -> Image:
    """Make (H, W, 3) (size, size, 3): stretched, or scaled and padded at the right or bottom."""
    if not keep_aspect:
        return resize_square(image, size)
    height, width = image.shape[:2]
    scale = size / max(height, width)
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    square = np.full((size, size, 3), FILL, np.uint8)
    square[: sides[1], : sides[0]] = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR)
    return square
