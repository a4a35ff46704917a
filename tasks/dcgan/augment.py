"""Differentiable augmentation (Zhao et al., arXiv 2006.10738): what lets a GAN learn from little.

It is applied to real and generated pictures alike, when the discriminator learns and when the
generator does; so nothing of it leaks into what is generated, and gradients pass through it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tasks.dcgan.spec import Policy

_SHIFT = 1 / 8  # Of the side, each way.
_HOLE = 1 / 2  # Of the side.


def augment(pictures: Tensor, policies: Sequence[Policy]) -> Tensor:
    """Change pictures (B, 3, S, S) in -1..1 by chance: colours, place, and a hole in each."""
    if "colour" in policies:
        pictures = _colour(pictures)
    if "translation" in policies:
        pictures = _translate(pictures)
    if "cutout" in policies:
        pictures = _cut_out(pictures)
    return pictures


def mirror_some(pictures: Tensor) -> Tensor:
    """Mirror every other picture (B, 3, S, S), by chance."""
    chosen = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < 0.5
    return torch.where(chosen, pictures.flip(3), pictures)


def _colour(pictures: Tensor) -> Tensor:
    """Brightness +-.5, saturation times 0..2, contrast times .5..1.5."""
    draws = torch.rand(3, len(pictures), 1, 1, 1, device=pictures.device)
    pictures = pictures + (draws[0] - 0.5)
    grey = pictures.mean(dim=1, keepdim=True)
    pictures = (pictures - grey) * (2 * draws[1]) + grey
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return (pictures - mean) * (draws[2] + 0.5) + mean


def _translate(pictures: Tensor) -> Tensor:
    """Shift by whole pixels, an eighth of the side at most; what comes in is zero."""
    count, _, height, width = pictures.shape
    limit = max(1, round(height * _SHIFT))
    shifts = torch.randint(-limit, limit + 1, (2, count, 1), device=pictures.device)
    # Row 0 of the padded picture, and its last, are zero: all that lies outside is taken there.
    rows = (torch.arange(height, device=pictures.device) + shifts[0] + 1).clamp(0, height + 1)
    columns = (torch.arange(width, device=pictures.device) + shifts[1] + 1).clamp(0, width + 1)
    padded = functional.pad(pictures, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    which = torch.arange(count, device=pictures.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(pictures: Tensor) -> Tensor:
    """Zero a square of half the side, anywhere, also across the edge."""
    count, _, height, width = pictures.shape
    side = round(height * _HOLE)
    centres = torch.randint(0, height + 1, (2, count, 1), device=pictures.device)
    inside = [
        ((torch.arange(length, device=pictures.device) - centre + 0.5).abs() * 2) < side
        for length, centre in ((height, centres[0]), (width, centres[1]))
    ]
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return pictures * (~hole).to(pictures.dtype)
