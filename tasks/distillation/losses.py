"""Losses of a student against its teacher's answers, for every kind of answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def softmax_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Loss for exclusive classes: divergence from the teacher's softened probabilities.

    It is temperature squared times KL(teacher || student), mean over the batch, so that the
    gradient has about the same size at any temperature (Hinton et al., arXiv 1503.02531, section
    2). It has the gradient of their cross-entropy, and is 0 where both agree.

    Args:
        logits: (B, C) logits or log probabilities of the student.
        teacher: (B, C) logits or log probabilities of the teacher.
        temperature: Number that both are divided by.
    """
    ours = functional.log_softmax(logits / temperature, dim=1)
    theirs = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def sigmoid_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Loss for independent attributes: cross-entropy with the teacher's outputs.

    Mean over attributes and batch of (B, A) logits, as for the paper's face attributes (section
    4.5).
    """
    return functional.binary_cross_entropy_with_logits(logits, teacher.sigmoid())


def cells_loss(
    logits: Tensor, teacher: Tensor, sizes: Sequence[int], temperature: float
) -> Tensor:
    """Loss for cells of the globe in one or several partitions: :func:`softmax_loss` of each head.

    Columns (B, C) are the cells of all partitions, whose ``sizes`` are given, one after the other.
    The mean is over heads and batch, as for the losses against the labels.
    """
    pairs = zip(*(torch.split(one, list(sizes), dim=1) for one in (logits, teacher)), strict=True)
    losses = [softmax_loss(ours, theirs, temperature) for ours, theirs in pairs]
    return torch.stack(losses).mean()


def embedding_loss(embeddings: Tensor, teacher: Tensor) -> Tensor:
    """Loss for embeddings: squared distance from the teacher's, as with FaceNet (section 4.7).

    For (B, D) each, the sum over D and mean over B: 0 to 4 between vectors of length one.
    """
    return (embeddings - teacher).square().sum(dim=1).mean()
