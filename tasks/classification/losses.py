"""A classifier's training objective, on combined images if requested (mixup, cutmix)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional

from tasks.classification.spec import ClassLossSpec


def class_loss(
    logits: Tensor, targets: Tensor, spec: ClassLossSpec, weights: Tensor | None = None
) -> Tensor:
    """Mean loss of a batch of logits.

    Args:
        logits: (B, C) float32.
        targets: Columns (B,) int64, or shares (B, C) of the classes, which sum to 1.
        spec: Objective.
        weights: (C,) weight of each class, from :func:`class_weights`; None weighs all the same.
    """
    smoothing = spec.label_smoothing
    if spec.robust == "gce":
        return generalised_cross_entropy(logits, targets, spec.gce_q, smoothing, weights)
    if weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    # PyTorch's own mean would divide by the weights of the batch, which differ by chance.
    total = functional.cross_entropy(
        logits, targets, weights, label_smoothing=smoothing, reduction="sum"
    )
    return total / len(logits)


def class_weights(counts: Tensor, balance: float) -> Tensor:
    """Weight of an image of each class, from the numbers of images per class: (C,) float32.

    The mean over all images is 1, so that the learning rate means the same. A class without
    images counts as if it had one.
    """
    each = counts.double().clamp(min=1) ** -balance
    return (each * counts.sum() / (each * counts).sum()).float()


def generalised_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    q: float,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean of (1 - p ** q) / q over a batch (Zhang and Sabuncu, arXiv 1805.07836, equation 6).

    Its gradient is that of cross-entropy times p ** q: an image whose label the network finds very
    unlikely, as wrong labels are, has less influence. At q = 0 it is cross-entropy, at q = 1 the
    mean absolute error, which evenly distributed wrong labels do not bias at all, but which learns
    slowly.

    Args:
        logits: (B, C) float32.
        targets: Columns (B,) int64, or shares (B, C) of the classes.
        q: Exponent in (0, 1].
        label_smoothing: Share of the target that is spread over all classes.
        weights: (C,) weight of each class, from :func:`class_weights`; None weighs all the same.
    """
    num_classes = logits.shape[1]
    if targets.ndim == 1:
        targets = functional.one_hot(targets, num_classes)
    shares = targets * (1 - label_smoothing) + label_smoothing / num_classes
    # Computed from the logarithm: the gradient of p ** q itself is infinite where p vanishes.
    each = -torch.expm1(q * functional.log_softmax(logits, dim=1)) / q
    if weights is not None:
        shares = shares * weights
    return (shares * each).sum(dim=1).mean()


def mix(
    images: Tensor, targets: Tensor, num_classes: int, spec: ClassLossSpec
) -> tuple[Tensor, Tensor]:
    """Blend (mixup) or paste (cutmix) each image with the one before it in the batch.

    If both are enabled, each batch uses one of the two.

    Args:
        images: (B, 3, H, W), any dtype; integers are returned as floats if blended.
        targets: (B,) int64 columns.
        num_classes: Number of classes.
        spec: Strengths.

    Returns:
        Images, and targets: (B,) unchanged if nothing is mixed, otherwise shares (B, num_classes).
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
    """Top, bottom, left, right of a window of about a given share of the image, anywhere."""
    side = area**0.5
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    half_h, half_w = round(height * side / 2), round(width * side / 2)
    return max(y - half_h, 0), min(y + half_h, height), max(x - half_w, 0), min(x + half_w, width)
