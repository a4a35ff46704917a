"""The objective against labels; that against a teacher is in :mod:`tasks.distillation.losses`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tasks.fitting.shared_count import shared_count


def attribute_loss(
    logits: Tensor, values: Tensor, yes: Tensor, no: Tensor, focal_gamma: float = 0.0
) -> Tensor:
    """Mean weighted cross-entropy over the known attributes of a batch; 0 if none is known.

    The known attributes of all processes are counted.

    With a gamma it is the focal loss (Lin et al., arXiv 1708.02002, equation 4): each entry times
    (1 - p) ** gamma, where p is the probability of the correct answer.

    Args:
        logits: (B, A) float32.
        values: (B, A) 1 yes, 0 no, -1 unknown.
        yes: (A,) weight of an image with the attribute.
        no: (A,) weight of one without it.
        focal_gamma: Exponent, 0 or more.
    """
    known = values >= 0
    truth = values.clamp(min=0).to(logits.dtype)
    loss = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if focal_gamma:
        loss = loss * (-torch.expm1(-loss)) ** focal_gamma  # exp(-loss) is p.
    weighted = loss * torch.where(values > 0, yes, no) * known
    return weighted.sum() / shared_count(known.sum())
