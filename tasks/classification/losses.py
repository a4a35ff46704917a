"""A classifier's training objective: cross-entropy, or one that wrong labels disturb less."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tasks.classification.spec import ClassLossSpec


def class_loss(logits: Tensor, targets: Tensor, spec: ClassLossSpec) -> Tensor:
    """Mean loss of a batch.

    Args:
        logits: (B, C) float32.
        targets: (B,) int64 columns, or (B, C) shares of the classes, which sum to 1.
        spec: Which loss, and label smoothing.
    """
    if spec.robust == "gce":
        return generalised_cross_entropy(logits, targets, spec.gce_q, spec.label_smoothing)
    return functional.cross_entropy(logits, targets, label_smoothing=spec.label_smoothing)


def generalised_cross_entropy(
    logits: Tensor, targets: Tensor, q: float, label_smoothing: float = 0.0
) -> Tensor:
    """Mean of (1 - p ** q) / q over a batch (Zhang and Sabuncu, arXiv 1805.07836, equation 6).

    Its gradient is cross-entropy's times p ** q: a photo that the network finds very unlike its
    label, as wrongly labelled ones are, pulls less. At q = 0 it is cross-entropy, at q = 1 the
    mean absolute error, which wrong labels that are spread evenly do not bias at all, but which
    learns slowly.

    Args:
        logits: (B, C) float32.
        targets: (B,) int64 columns, or (B, C) shares of the classes.
        q: In (0, 1].
        label_smoothing: Share of the target that is spread over all classes.
    """
    num_classes = logits.shape[1]
    if targets.ndim == 1:
        targets = functional.one_hot(targets, num_classes)
    shares = targets * (1 - label_smoothing) + label_smoothing / num_classes
    # From the logarithm: the gradient of p ** q itself is infinite where p vanishes.
    each = -torch.expm1(q * functional.log_softmax(logits, dim=1)) / q
    return (shares * each).sum(dim=1).mean()
