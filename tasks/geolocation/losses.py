"""Losses with hard labels, and with soft labels that depend on distance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tasks.fitting.shared_count import shared_count
from tasks.geolocation.sphere import EARTH_KM


def hard_loss(logits: Tensor, columns: Tensor) -> Tensor:
    """Cross-entropy of logits (B, C) with the images' cells (B,), where -1 does not count.

    It is the mean over the images that have a cell, in all processes; 0 if none has.
    """
    total = functional.cross_entropy(logits, columns, ignore_index=-1, reduction="sum")
    return total / shared_count((columns >= 0).sum())


def soft_loss(logits: Tensor, columns: Tensor, units: Tensor, cells: Tensor, tau: float) -> Tensor:
    """Cross-entropy with labels that decrease with the distance from the image.

    The label of a cell is exp(-(d - least d) / tau), where d is the great-circle distance from the
    image to the cell's mean image position, divided by their sum (Haas et al., PIGEON, arXiv
    2307.05845). Every cell has a label, at any distance: where cells are small, hundreds of them
    are within a few tau.

    Args:
        logits: (B, C) logits.
        columns: (B,) int64 cell of each image, or -1.
        units: (B, 3) float32 positions of the images, vectors of length one.
        cells: (C, 3) float32 mean positions of the cells.
        tau: Decay distance in km.

    Returns:
        Mean over the images that have a cell, in all processes; 0 if none has.
    """
    known = columns >= 0
    # Differences preserve metres in float32, which products of unit vectors would not.
    chords = torch.cdist(units, cells, compute_mode="donot_use_mm_for_euclid_dist")
    distances = 2 * EARTH_KM * torch.asin((chords / 2).clamp(max=1))
    labels = torch.softmax(-distances / tau, dim=1)
    each = -(labels * functional.log_softmax(logits, dim=1)).sum(dim=1)
    return (each * known).sum() / shared_count(known.sum())
