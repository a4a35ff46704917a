"""Box coder and matching between ground truth and anchors.

All boxes here are relative to the image (0..1): anchors as cx cy w h, boxes as x1 y1 x2 y2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

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


@dataclass(frozen=True)
class Matches:
    """What each anchor is trained to say.

    Attributes:
        labels: (B, A) int64; 0 is background, -1 is ignored.
        offsets: (B, A, 4) float32 target offsets; zero where there is no match.
    """

    labels: Tensor
    offsets: Tensor


def match(targets: list[dict[str, Tensor]], anchors: Tensor, min_iou: float) -> Matches:
    """Assign ground truth to anchors.

    An anchor takes the box that it overlaps most, if by ``min_iou`` or more; each box moreover
    takes its best anchor whatever the overlap. Anchors that lie mostly in a crowd region are
    ignored: neither object nor background can be said there.

    Args:
        targets: Per image ``boxes`` (N, 4) relative x1 y1 x2 y2, ``labels`` (N,) from 1, and
            ``iscrowd`` (N,) bool.
        anchors: (A, 4) cx cy w h.
        min_iou: Overlap from which an anchor matches.
    """
    corners = box_convert(anchors, "cxcywh", "xyxy")
    labels = torch.zeros(len(targets), len(anchors), dtype=torch.int64, device=anchors.device)
    offsets = torch.zeros(*labels.shape, 4, device=anchors.device)
    for index, target in enumerate(targets):
        crowd = target["iscrowd"]
        boxes = target["boxes"][~crowd]
        if len(boxes):
            chosen = _match_one(boxes, corners, min_iou)
            found = chosen >= 0
            labels[index, found] = target["labels"][~crowd][chosen[found]]
            offsets[index, found] = encode(boxes[chosen[found]], anchors[found])
        if crowd.any():
            inside = _share_inside(corners, target["boxes"][crowd]) >= 0.5
            labels[index, inside & (labels[index] == 0)] = -1
    return Matches(labels, offsets)


def _match_one(boxes: Tensor, corners: Tensor, min_iou: float) -> Tensor:
    """Index of the matched box per anchor, -1 for none: (A,) int64."""
    iou = box_iou(boxes, corners)
    best, chosen = iou.max(dim=0)
    chosen = torch.where(best >= min_iou, chosen, -1)
    # In reverse, so that of two boxes with the same best anchor the first keeps it.
    for box, anchor in reversed(list(enumerate(iou.argmax(dim=1).tolist()))):
        chosen[anchor] = box
    return chosen


def _share_inside(corners: Tensor, regions: Tensor) -> Tensor:
    """Largest share of each anchor's area inside any of the regions: (A,)."""
    low = torch.maximum(corners[:, None, :2], regions[None, :, :2])
    high = torch.minimum(corners[:, None, 2:], regions[None, :, 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    area = (corners[:, 2:] - corners[:, :2]).prod(-1)
    return (inside / area[:, None]).amax(dim=1)
