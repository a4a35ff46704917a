"""Mixup and cutmix: pairs of images in one, with the shares of their classes as target."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional

from tasks.classification.spec import ClassLossSpec


def mix(
    images: Tensor, targets: Tensor, num_classes: int, spec: ClassLossSpec
) -> tuple[Tensor, Tensor]:
    """Blend (mixup) or paste (cutmix) each image with the one before it in the batch.

    Args:
        images: (B, 3, H, W), any dtype; integers come back as floats if blended.
        targets: (B,) int64 columns.
        num_classes: Columns.
        spec: Strengths; where both are set, each batch takes one of the two.

    Returns:
        Images, and targets: (B,) as they came if nothing is mixed, else shares (B, num_classes).
    """
    if not spec.mixup and not spec.cutmix:
        return images, targets
    paste = bool(spec.cutmix) and (not spec.mixup or bool(torch.rand(()) < 0.5))
    strength = spec.cutmix if paste else spec.mixup
    share = float(Beta(strength, strength).sample())
    others = images.roll(1, dims=0)
    if paste:
        top, bottom, left, right = _window(images.shape[-2], images.shape[-1], 1 - share)
        images = images.clone()
        images[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        area = (bottom - top) * (right - left)
        share = 1 - area / (images.shape[-2] * images.shape[-1])
    else:
        images = images.float() * share + others.float() * (1 - share)
    own = functional.one_hot(targets, num_classes).float()
    return images, own * share + own.roll(1, dims=0) * (1 - share)


def _window(height: int, width: int, area: float) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a window of about a share of the image, centred anywhere."""
    side = area**0.5
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    half_h, half_w = round(height * side / 2), round(width * side / 2)
    return max(y - half_h, 0), min(y + half_h, height), max(x - half_w, 0), min(x + half_w, width)
