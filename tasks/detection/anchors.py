"""Anchors: SSD's default boxes and those of Faster R-CNN's first stage (table 13); box coder.

All boxes are relative to the image (0..1): anchors as cx cy w h, boxes as x1 y1 x2 y2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Shape = tuple[float, float]  # (width, height), relative to the image

# TensorFlow's SSD: side relative to the input, per feature map; the last value ends the series.
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
# Its finest map has only three boxes: (scale, aspect ratio).
FIRST_MAP = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
# Values of the SSD paper for VGG16, whose first and last two maps lack the ratios of 3.
VGG_SCALES = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)
_VGG_RATIOS = (3, 5, 5, 5, 3, 3)
# Faster R-CNN's anchors have these sides in pixels, whatever the size of the input.
RPN_SIDES = (64, 128, 256, 512)
RPN_RATIOS = (0.5, 1.0, 2.0)
# Variances of the coder: offsets are scaled so that all four have about unit variance.
CODER_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# exp() of a larger log-size would overflow before it described a sensible box.
MAX_LOG_SIZE = math.log(1000.0)


def ssd_shapes() -> list[list[Shape]]:
    """Shapes in each cell of the six maps of SSD on MobileNet and Inception V2: 3, 6, 6 ..."""
    first = [_shape(scale, ratio) for scale, ratio in FIRST_MAP]
    return [first, *(_level(SCALES, level, ASPECT_RATIOS) for level in range(1, 6))]


def vgg_ssd_shapes() -> list[list[Shape]]:
    """Shapes in each cell of the six maps of SSD300 on VGG16: 4, 6, 6, 6, 4, 4."""
    return [
        _level(VGG_SCALES, level, ASPECT_RATIOS[:count]) for level, count in enumerate(_VGG_RATIOS)
    ]


def rpn_shapes(size: int) -> list[Shape]:
    """The twelve shapes in each cell of Faster R-CNN's map, for an input of ``size`` pixels."""
    return [_shape(side / size, ratio) for side in RPN_SIDES for ratio in RPN_RATIOS]


def _level(scales: Sequence[float], level: int, ratios: Sequence[float]) -> list[Shape]:
    """One scale in several ratios, and a square half-way to the next scale."""
    between = math.sqrt(scales[level] * scales[level + 1])
    return [*(_shape(scales[level], ratio) for ratio in ratios), _shape(between, 1.0)]


def _shape(scale: float, ratio: float) -> Shape:
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)


def make_anchors(
    map_sizes: Sequence[tuple[int, int]],
    shapes: Sequence[list[Shape]],
    extent: float | None = None,
) -> Tensor:
    """All anchors (A, 4) float32 of an image, map by map, row by row, cell by cell.

    Args:
        map_sizes: (height, width) of the feature maps, finest first.
        shapes: Anchor shapes in each cell of these maps.
        extent: Number of cells that would span the image, if that is not an integer: VGG16's pools
            cut off a part of a cell at the right and bottom. By default the maps' own size.
    """
    anchors = []
    for (height, width), level in zip(map_sizes, shapes, strict=True):
        sides = torch.tensor(level, dtype=torch.float64)
        cy = (torch.arange(height, dtype=torch.float64) + 0.5) / (extent or height)
        cx = (torch.arange(width, dtype=torch.float64) + 0.5) / (extent or width)
        grid = torch.stack(torch.meshgrid(cy, cx, indexing="ij"), dim=-1).flip(-1)
        centres = grid[:, :, None, :].expand(-1, -1, len(sides), -1)
        sizes = sides.expand(height, width, -1, -1)
        anchors.append(torch.cat([centres, sizes], dim=-1).reshape(-1, 4))
    return torch.cat(anchors).float()


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets of boxes (..., 4; x1 y1 x2 y2) from anchors (..., 4; cx cy w h): dx dy dw dh."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    cx, cy, w, h = anchors.unbind(-1)
    wx, wy, ww, wh = CODER_WEIGHTS
    tiny = torch.finfo(boxes.dtype).eps
    return torch.stack(
        (
            wx * ((x1 + x2) / 2 - cx) / w,
            wy * ((y1 + y2) / 2 - cy) / h,
            ww * torch.log((x2 - x1).clamp(min=tiny) / w),
            wh * torch.log((y2 - y1).clamp(min=tiny) / h),
        ),
        dim=-1,
    )


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (..., 4; x1 y1 x2 y2) of offsets (..., 4; dx dy dw dh) from anchors (..., 4)."""
    # Pairs of columns, not single numbers: exporters write them with fewer operators.
    (centre, side), (shift, growth) = ((t[..., :2], t[..., 2:]) for t in (anchors, offsets))
    by_centre, _, by_side, _ = CODER_WEIGHTS
    middle = centre + shift / by_centre * side
    half = side * torch.exp((growth / by_side).clamp(max=MAX_LOG_SIZE)) * 0.5
    return torch.cat((middle - half, middle + half), dim=-1)
