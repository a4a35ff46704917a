"""SSD's default boxes as the TensorFlow object detection API lays them (paper table 13's SSD)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Side relative to the input, per feature map; the last one only closes the series.
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
# The finest map carries three boxes only: (scale, aspect ratio).
FIRST_MAP = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)


def anchor_shapes(level: int) -> list[tuple[float, float]]:
    """Relative (width, height) of the boxes in each cell of feature map ``level`` (0..5)."""
    if level == 0:
        pairs = list(FIRST_MAP)
    else:
        scale, following = SCALES[level], SCALES[level + 1]
        pairs = [(scale, ratio) for ratio in ASPECT_RATIOS]
        pairs.append((math.sqrt(scale * following), 1.0))
    return [(s * math.sqrt(ratio), s / math.sqrt(ratio)) for s, ratio in pairs]


def make_anchors(map_sizes: list[tuple[int, int]]) -> Tensor:
    """All anchors of an image, map by map, row by row, cell by cell.

    Args:
        map_sizes: (height, width) of the feature maps, finest first.

    Returns:
        (A, 4) float32, cx cy w h, relative to the image: 1917 for a 300x300 input.
    """
    anchors = []
    for level, (height, width) in enumerate(map_sizes):
        shapes = torch.tensor(anchor_shapes(level), dtype=torch.float64)
        cy = (torch.arange(height, dtype=torch.float64) + 0.5) / height
        cx = (torch.arange(width, dtype=torch.float64) + 0.5) / width
        grid = torch.stack(torch.meshgrid(cy, cx, indexing="ij"), dim=-1).flip(-1)
        centres = grid[:, :, None, :].expand(-1, -1, len(shapes), -1)
        sizes = shapes.expand(height, width, -1, -1)
        anchors.append(torch.cat([centres, sizes], dim=-1).reshape(-1, 4))
    return torch.cat(anchors).float()
