"""Makes a square network input from an image of a face, with slight changes for training.

Aligned faces are identified by the positions of their parts, so the crops used for training
classifiers would remove what is to be learnt: here a face is moved by a few pixels, rotated by a
few degrees and mirrored.
"""

from __future__ import annotations

import cv2
import numpy as np

from datasets.images import Image
from datasets.spec import FaceAugmentation, Interpolation
from datasets.squares import CentreCut

# Largest shift (share of the side), rotation (degrees), scaling; changes of contrast and
# brightness.
_SHIFT, _TURN, _SCALE = 0.04, 6.0, 0.06
_CONTRAST, _BRIGHTNESS = 0.2, 20.0


class FaceTransform(CentreCut):
    """(image, seed) -> (size, size, 3) uint8; all randomness comes from the seed.

    Args:
        size: Side of the result in pixels.
        augmentation: ``none`` for evaluation; ``flip`` mirrors every other image; ``face`` also
            moves, rotates and scales, and changes contrast and brightness.
        crop: Share of the image's short side that is cut out of its centre.
        interpolation: Interpolation of the resize.

    Raises:
        InputError: If the crop is outside (0, 1].
    """

    def __init__(
        self,
        size: int,
        augmentation: FaceAugmentation,
        *,
        crop: float,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__(size, crop=crop, interpolation=interpolation)
        self.augmentation = augmentation

    def __call__(self, image: Image, seed: int) -> Image:
        """Transform one image (H, W, 3) RGB."""
        if self.augmentation == "none":
            return self.cut(image)
        rng = np.random.default_rng(seed)
        face = self.cut(image) if self.augmentation == "flip" else self._move(image, rng)
        return np.ascontiguousarray(face[:, ::-1]) if rng.random() < 0.5 else face

    def _move(self, image: Image, rng: np.random.Generator) -> Image:
        """A cut of the face, slightly moved and with changed light."""
        height, width = image.shape[:2]
        scale = self.size / (self.crop * min(height, width))
        if scale < 1:  # warpAffine looks at four pixels only.
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            width, height, scale = *size, 1.0
        angle = np.radians(rng.uniform(-_TURN, _TURN))
        factor = scale * rng.uniform(1 - _SCALE, 1 + _SCALE)
        shift = self.size * rng.uniform(-_SHIFT, _SHIFT, 2)
        cosine, sine = factor * np.cos(angle), factor * np.sin(angle)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        middle = np.array([width - 1, height - 1]) / 2
        offset = (self.size - 1) / 2 + shift - linear @ middle
        matrix = np.column_stack((linear, offset))
        moved = cv2.warpAffine(
            image,
            matrix,
            (self.size, self.size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        contrast = rng.uniform(1 - _CONTRAST, 1 + _CONTRAST)
        level = 127.5 * (1 - contrast) + rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
        lit = cv2.addWeighted(moved, contrast, moved, 0, level)
        return np.asarray(lit, np.uint8)
