"""Losses of embeddings of length one on identities: triplets, or classes with a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """(A, B) squared distances, 0 to 4, of vectors of length one: (A, D) and (B, D)."""
    return (2 - 2 * one @ other.T).clamp(0, 4)


def triplet_loss(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean over all pairs of the same person of max(0, d(a, p) - d(a, n) + margin).

    The negative n of a pair is the nearest that is farther than its positive ("semi-hard", section
    3.2 of FaceNet, arXiv 1503.03832); if there is none, the farthest. The loss is zero, with a
    gradient of zero, if a batch contains no pair or only one person.

    Args:
        embeddings: (B, D) float32 of length one.
        labels: (B,) int64 identities.
        margin: Margin of the squared distance.
    """
    distances = squared_distances(embeddings, embeddings)
    same = labels[:, None] == labels[None]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    usable = (same & ~itself) & (~same).any(dim=1, keepdim=True)
    anchor, positive = usable.nonzero(as_tuple=True)
    if not len(anchor):
        return embeddings.sum() * 0
    near = distances[anchor, positive]
    others = distances[anchor]
    allowed = ~same[anchor]
    harder = others.masked_fill(~(allowed & (others > near[:, None])), torch.inf).amin(dim=1)
    farthest = others.masked_fill(~allowed, -torch.inf).amax(dim=1)
    negative = torch.where(harder.isfinite(), harder, farthest)
    return functional.relu(near - negative + margin).mean()


class MarginHead(nn.Module):
    """A direction for each identity; images must be nearer to their own by a margin.

    Cross-entropy over scale * (cosine - margin of the correct one) (CosFace, arXiv 1801.09414,
    equation 4). It is only used in training: people that are met later have no direction.
    """

    def __init__(self, dim: int, num_identities: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.directions = nn.Parameter(torch.empty(num_identities, dim))
        nn.init.normal_(self.directions, std=dim**-0.5)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of embeddings (B, D) float32 of length one, with identities (B,)."""
        cosines = embeddings @ functional.normalize(self.directions.float(), dim=1).T
        own = functional.one_hot(labels, cosines.shape[1])
        return functional.cross_entropy(self.scale * (cosines - self.margin * own), labels)
