"""From an image to a classifier's square input: the centre of it, or a seeded augmentation.

Evaluation resizes with Pillow, exactly as the public weights of torchvision and timm are scored.
On 120 images brought to 128 pixels OpenCV's bilinear resize, which does not antialias, differs
from that by 3.2 of 255 on average, its area resize by 1.3; they take .08 and .37 ms an image,
Pillow .58. Training takes the area resize where it shrinks, so that both see images about as
sharp.
"""

from __future__ import annotations

import cv2
import numpy as np

from datasets.boxes.augmentation import A, seed_steps
from datasets.images import Image
from datasets.spec import Interpolation, LabelAugmentation
from datasets.squares import FILL, CentreCut

# Of RandAugment's scale, whose 30 steps go from nothing to all; torchvision's default.
_MAGNITUDE = 9 / 30
_CV2 = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


class LabelTransform(CentreCut):
    """(image, seed) -> (size, size, 3) uint8; all chance comes from the seed.

    Args:
        size: Side of the result in pixels.
        augmentation: ``none`` for evaluation: the short side is resized to size / crop and the
            centre cut out, so nothing is warped. (TF-slim cut .875 of each side and warped the
            rest to a square; for the square images of its own tests that is the same.)
            ``tf_slim`` is what MobileNet's authors trained with: a window of .05 to 1 of the
            area and an aspect of 3/4 to 4/3, flip, brightness +-32/255, saturation .5 to 1.5.
            ``mild`` has windows of .35 or more, and the flip: "we limit the size of small
            crops" (section 3.1 of the paper), for small networks. ``modern`` has windows of .08
            or more, flip, and two RandAugment steps. ``small`` shifts by an eighth at most (4 of
            32 pixels) and flips, for images of about the input's own size.
        crop: Share of the resized short side that the centre keeps in evaluation.
        interpolation: Interpolation of every enlarging resize, and of evaluation's.

    Raises:
        InputError: If a number is out of its range.
    """

    def __init__(
        self,
        size: int,
        augmentation: LabelAugmentation,
        *,
        crop: float = 0.875,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__(size, crop=crop, interpolation=interpolation)
        self._pipeline = None
        if augmentation != "none":
            self._pipeline = A.Compose(_steps(augmentation, size, _CV2[interpolation]))

    def __call__(self, image: Image, seed: int) -> Image:
        """Transform one image (H, W, 3) RGB."""
        if self._pipeline is None:
            return self.cut(image)
        seed_steps(self._pipeline, seed)
        return np.asarray(self._pipeline(image=image)["image"], np.uint8)


def _steps(
    augmentation: LabelAugmentation, size: int, interpolation: int
) -> list[A.BasicTransform]:
    """Augmentation as a list; the image leaves it as a square."""
    flip = A.HorizontalFlip(p=0.5)
    if augmentation == "small":
        pad = max(1, size // 8)
        return [
            A.SmallestMaxSize(size, interpolation=interpolation, area_for_downscale="image"),
            A.CenterCrop(size, size),
            A.Pad(pad, border_mode=cv2.BORDER_REFLECT_101),
            A.RandomCrop(size, size),
            flip,
        ]
    smallest = {"tf_slim": 0.05, "mild": 0.35, "modern": 0.08}[augmentation]
    window = A.RandomResizedCrop(
        (size, size),
        scale=(smallest, 1.0),
        ratio=(3 / 4, 4 / 3),
        interpolation=interpolation,
        area_for_downscale="image",
    )
    steps: list[A.BasicTransform] = [window, flip]
    if augmentation == "tf_slim":
        shift = 32 / 255
        steps += [
            A.RandomBrightnessContrast(
                (-shift, shift), (0, 0), brightness_by_max=True, ensure_safe_range=False, p=1
            ),
            A.ColorJitter((1, 1), (1, 1), (0.5, 1.5), (0, 0), p=1),
        ]
    if augmentation == "modern":
        steps.append(A.RandomOrder(_rand_augment(), n=2, replace=True))
    return steps


def _rand_augment() -> list[A.BasicTransform]:
    """RandAugment's fourteen operations, as strong as torchvision's at the same step."""
    frame = {"border_mode": cv2.BORDER_CONSTANT, "fill": FILL, "p": 1}
    angle, shift = 30 * _MAGNITUDE, 0.45 * _MAGNITUDE
    shear = float(np.degrees(np.arctan(0.3 * _MAGNITUDE)))

    def either(value: float) -> A.BasicTransform:
        return (-value, value)

    strength = (1 - 0.9 * _MAGNITUDE, 1 + 0.9 * _MAGNITUDE)
    none = (1, 1)
    return [
        A.NoOp(p=1),
        A.Rotate(either(angle), **frame),
        A.Affine(shear={"x": either(shear), "y": (0, 0)}, **frame),
        A.Affine(shear={"x": (0, 0), "y": either(shear)}, **frame),
        A.Affine(translate_percent={"x": either(shift), "y": (0, 0)}, **frame),
        A.Affine(translate_percent={"x": (0, 0), "y": either(shift)}, **frame),
        A.ColorJitter(strength, none, none, (0, 0), p=1),
        A.ColorJitter(none, strength, none, (0, 0), p=1),
        A.ColorJitter(none, none, strength, (0, 0), p=1),
        A.Sharpen(alpha=(0, max(0.9 * _MAGNITUDE, 1e-6)), p=1),
        A.Posterize(num_bits=min(7, 8 - round(4 * _MAGNITUDE)), p=1),
        A.Solarize(threshold_range=(1 - _MAGNITUDE, 1 - _MAGNITUDE), p=1),
        A.AutoContrast(method="pil", p=1),
        A.Equalize(mode="pil", p=1),
    ]
