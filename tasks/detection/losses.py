"""SSD's objective: class loss over anchors, smooth L1 over the matched ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from tasks.detection.matching import Matches
from tasks.detection.spec import LossSpec


def ssd_loss(
    logits: Tensor, offsets: Tensor, matches: Matches, spec: LossSpec
) -> dict[str, Tensor]:
    """Class and box loss, each divided by the number of matched anchors of the batch.

    Args:
        logits: (B, A, 1 + C) raw class scores, column 0 for background.
        offsets: (B, A, 4) predicted offsets.
        matches: What each anchor should say.
        spec: Kind of class loss and its numbers.

    Returns:
        ``class`` and ``box``: scalars, float32.
    """
    logits, offsets = logits.float(), offsets.float()
    labels = matches.labels
    positive = labels > 0
    count = positive.sum().clamp(min=1)
    truth = functional.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    if spec.loss == "focal":
        per_anchor = sigmoid_focal_loss(
            logits, truth, alpha=spec.focal_alpha, gamma=spec.focal_gamma
        ).sum(-1)
        counted = labels >= 0
    else:
        per_anchor = functional.binary_cross_entropy_with_logits(
            logits, truth, reduction="none"
        ).sum(-1)
        counted = positive | hard_negatives(per_anchor.detach(), labels, spec)
    box = functional.smooth_l1_loss(offsets[positive], matches.offsets[positive], reduction="sum")
    return {"class": per_anchor[counted].sum() / count, "box": spec.box_weight * box / count}


def hard_negatives(loss: Tensor, labels: Tensor, spec: LossSpec) -> Tensor:
    """The background anchors with the largest loss, a fixed multiple of each image's matches.

    Args:
        loss: (B, A) class loss.
        labels: (B, A), 0 for background, -1 for ignored.
        spec: Ratio to the matches and least number.

    Returns:
        (B, A) bool mask.
    """
    negative = labels == 0
    wanted = ((labels > 0).sum(1) * spec.negatives_per_positive).clamp(min=spec.min_negatives)
    ranked = torch.where(negative, loss, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(loss.shape[1], device=loss.device).expand_as(ranked)
    chosen = torch.zeros_like(negative).scatter_(1, ranked, rank < wanted[:, None])
    return chosen & negative
