"""Losses of a student against its teacher's answers, for every kind of answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def softmax_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """One class of many: divergence from the teacher's softened probabilities, mean of the batch.

    Temperature squared times KL(teacher || student), so that the gradient stays about as large
    at any temperature (Hinton et al., arXiv 1503.02531, section 2). It has the gradient of
    their cross-entropy, and is 0 where both agree. Both (B, C) are logits or log probabilities.
    """
    ours = functional.log_softmax(logits / temperature, dim=1)
    theirs = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def sigmoid_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Attributes that do not exclude each other: cross-entropy with the teacher's outputs.

    Mean over attributes and batch, (B, A) logits each, as the paper's face attributes (section
    4.5).
    """
    return functional.binary_cross_entropy_with_logits(logits, teacher.sigmoid())


def cells_loss(
    logits: Tensor, teacher: Tensor, sizes: Sequence[int], temperature: float
) -> Tensor:
    """Cells of the globe in one partition or several: :func:`softmax_loss` of each head.

    Columns (B, C) are the cells of all partitions, of some ``sizes``, one after the other. The
    mean is over heads and batch, as of the losses against the labels.
    """
    pairs = zip(*(torch.split(one, list(sizes), dim=1) for one in (logits, teacher)), strict=True)
    losses = [softmax_loss(ours, theirs, temperature) for ours, theirs in pairs]
    return torch.stack(losses).mean()


def embedding_loss(embeddings: Tensor, teacher: Tensor) -> Tensor:
    """Embeddings: squared distance from the teacher's, as the paper's FaceNet (section 4.7).

    Of (B, D) each, the sum over D and mean over B: 0 to 4 between vectors of length one.
    """
    return (embeddings - teacher).square().sum(dim=1).mean()
