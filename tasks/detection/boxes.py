"""Box coder: offsets between boxes and anchors.

All boxes are relative to the image (0..1): anchors as cx cy w h, boxes as x1 y1 x2 y2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Variances of the coder: offsets are scaled so that all four have about unit spread.
CODER_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# exp() of a larger log-size would overflow long before it meant a box.
MAX_LOG_SIZE = math.log(1000.0)


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
    dx, dy, dw, dh = offsets.unbind(-1)
    cx, cy, w, h = anchors.unbind(-1)
    wx, wy, ww, wh = CODER_WEIGHTS
    x, y = cx + dx / wx * w, cy + dy / wy * h
    half_w = w * torch.exp((dw / ww).clamp(max=MAX_LOG_SIZE)) / 2
    half_h = h * torch.exp((dh / wh).clamp(max=MAX_LOG_SIZE)) / 2
    return torch.stack((x - half_w, y - half_h, x + half_w, y + half_h), dim=-1)
