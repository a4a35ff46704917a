"""Augmentation and resizing. The only importer of albumentations.

Every call is seeded by its caller: albumentations' own generator would repeat the same draws in
every loader process and every epoch.
"""

from __future__ import annotations

import os
import random
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # It would ask the registry at import.

import albumentations as A  # noqa: N812
import cv2
import numpy as np
from albumentations.augmentations.crops.transforms import BaseCrop
from numpy.typing import NDArray

from datasets.images import Image
from datasets.spec import Augmentation
from datasets.squares import FILL, fit_square
from datasets.types import DetectionTarget

__all__ = ["A", "DetectionTransform", "seed_steps"]
# Shorter sides than this, in pixels of the network's input, teach nothing.
MIN_SIDE = 1.0


def seed_steps(pipeline: A.Compose, seed: int) -> None:
    """Let all steps of a pipeline draw in turn from one source.

    albumentations' own ``set_random_seed`` starts each step's source at the same state, so that
    their draws are the same: flips came with small crops only. It also takes .4 ms for
    RandAugment's steps, more than the steps themselves on an image of 64 pixels.
    """
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))


class MinIouCrop(BaseCrop):  # type: ignore[misc]
    """SSD's crop: a window that overlaps every box it keeps by at least a drawn IoU.

    The bound is drawn from none, .1, .3, .5, .7 and .9 (or the whole image is kept); windows
    have sides of .3 to 1 of the image's and aspect ratios of 1/2 to 2. A box stays if its
    centre lies in the window. albumentations has no such crop: its bbox-safe crops keep all.

    Args:
        p: Probability of cropping at all.
    """

    bounds = (None, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    tries = 50

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the window; called by albumentations with boxes relative to the image."""
        height, width = params["shape"][:2]
        whole = np.array([0.0, 0.0, 1.0, 1.0])
        boxes = np.asarray(data["bboxes"], dtype=np.float64)[:, :4]
        rng: np.random.Generator = self.random_generator
        bound = self.bounds[int(rng.integers(len(self.bounds)))]
        window = whole if bound is None else _draw_window(rng, boxes, width / height, bound)
        scale = (width, height, width, height)
        x1, y1, x2, y2 = np.round(window * scale).astype(int).tolist()
        return {"crop_coords": (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)), "window": window}

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], window: NDArray[np.float64], **params: Any
    ) -> NDArray[np.float32]:
        """Shift the boxes; one whose centre is outside gets no area, which drops it."""
        centres = (bboxes[:, :2] + bboxes[:, 2:4]) / 2
        inside = ((centres > window[:2]) & (centres < window[2:])).all(axis=1)
        moved = super().apply_to_bboxes(bboxes, **params)
        moved[~inside, :4] = 0
        return moved  # type: ignore[no-any-return]


def _draw_window(
    rng: np.random.Generator, boxes: NDArray[np.float64], aspect: float, bound: float
) -> NDArray[np.float64]:
    """The first of many drawn windows that meets the bound; the whole image if none does."""
    sides = rng.uniform(0.3, 1.0, (MinIouCrop.tries, 2))
    low = rng.uniform(0, 1, (MinIouCrop.tries, 2)) * (1 - sides)
    windows = np.concatenate((low, low + sides), axis=1)
    ratio = sides[:, 0] / sides[:, 1] * aspect
    good = (ratio > 0.5) & (ratio < 2)
    if len(boxes):
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = (centres > windows[:, None, :2]) & (centres < windows[:, None, 2:])
        kept = np.all(inside, axis=2)
        overlaps = np.where(kept, _iou(windows, boxes), np.inf).min(axis=1)
        good = good & np.any(kept, axis=1) & (overlaps >= bound)
    found = np.flatnonzero(good)
    return windows[found[0]] if len(found) else np.array([0.0, 0.0, 1.0, 1.0])


def _iou(windows: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(W, N) overlaps of x1 y1 x2 y2 boxes."""
    low = np.maximum(windows[:, None, :2], boxes[:, :2])
    high = np.minimum(windows[:, None, 2:], boxes[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = (windows[:, 2:] - windows[:, :2]).prod(axis=1)
    others = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return both / np.maximum(areas[:, None] + others - both, 1e-12)  # type: ignore[no-any-return]


class DetectionTransform:
    """Augment, then fit to a square: (image, target in pixels, seed) -> the same, resized.

    Args:
        size: Side of the result in pixels.
        keep_aspect: Scale the longer side to it and fill up at the right or bottom, instead of
            warping.
        augmentation: ``ssd`` is the SSD paper's: min-IoU crop, zoom-out to a quarter, flip and
            photometric distortion; ``tf`` is crop and flip, as MobileNet's authors trained;
            ``flip``; ``none`` for evaluation.
    """

    def __init__(
        self, size: int, augmentation: Augmentation, *, keep_aspect: bool = False
    ) -> None:
        self.size, self.keep_aspect = size, keep_aspect
        self._pipeline = (
            None if augmentation == "none" else _pipeline(size, augmentation, keep_aspect)
        )

    def __call__(
        self, image: Image, target: DetectionTarget, seed: int
    ) -> tuple[Image, DetectionTarget]:
        """Transform one image; all chance comes from ``seed``."""
        if self._pipeline is None:
            square = fit_square(image, self.size, keep_aspect=self.keep_aspect)
            return square, _scale(image, target, self.size, self.keep_aspect)
        seed_steps(self._pipeline, seed)
        out = self._pipeline(
            image=image,
            bboxes=target["boxes"],
            labels=target["labels"],
            iscrowd=target["iscrowd"],
        )
        return out["image"], {
            "boxes": np.asarray(out["bboxes"], dtype=np.float32).reshape(-1, 4),
            "labels": np.asarray(out["labels"], dtype=np.int64),
            "iscrowd": np.asarray(out["iscrowd"], dtype=np.bool_),
        }


def _pipeline(size: int, augmentation: Augmentation, keep_aspect: bool) -> A.Compose:
    steps: list[A.BasicTransform] = []
    if augmentation in ("ssd", "tf"):
        steps.append(MinIouCrop(p=1.0))
    if keep_aspect:
        steps += [
            A.LongestMaxSize(size, interpolation=cv2.INTER_LINEAR),
            A.PadIfNeeded(size, size, position="top_left", border_mode=0, fill=FILL),
        ]
    else:
        steps.append(A.Resize(size, size, interpolation=cv2.INTER_LINEAR))
    if augmentation == "ssd":
        steps += [
            A.RandomScale(scale_limit=(-0.75, 0.0), p=0.5),
            A.PadIfNeeded(size, size, position="random", border_mode=0, fill=FILL),
        ]
    steps.append(A.HorizontalFlip(p=0.5))
    if augmentation == "ssd":
        colours = {"brightness": (0.75, 1.25), "contrast": (0.6, 1.4), "saturation": (0.5, 1.5)}
        steps.append(A.ColorJitter(**colours, hue=(-0.05, 0.05), p=0.8))
    boxes = A.BboxParams(
        format="pascal_voc",
        label_fields=["labels", "iscrowd"],
        clip=True,
        filter_invalid_bboxes=True,
        min_width=MIN_SIDE,
        min_height=MIN_SIDE,
    )
    return A.Compose(steps, bbox_params=boxes)


def _scale(image: Image, target: DetectionTarget, size: int, keep_aspect: bool) -> DetectionTarget:
    height, width = image.shape[:2]
    frame = (max(width, height),) * 2 if keep_aspect else (width, height)
    scale = np.array([size / frame[0], size / frame[1]] * 2, dtype=np.float32)
    return {**target, "boxes": target["boxes"] * scale}
