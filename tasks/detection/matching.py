"""Assigns anchors (or proposals) to boxes for training, and samples those used in the loss.

All boxes are relative to the image (0..1): anchors as cx cy w h, boxes as x1 y1 x2 y2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from tasks.detection.anchors import encode

BACKGROUND, IGNORED = -1, -2


@dataclass(frozen=True)
class Rule:
    """Conditions under which an anchor belongs to a box.

    Attributes:
        positive_iou: Lowest IoU of a positive match.
        negative_iou: IoU below which, with every box, an anchor is background; in between it is
            ignored.
        rescue: Treatment of boxes that no anchor overlaps enough. ``one``: each takes its best
            anchor, even if that belonged to another box (SSD). ``ties``: all anchors with the
            highest overlap of a box belong to the box that they overlap most (Faster R-CNN's first
            stage). ``none``: nothing (its second stage).
    """

    positive_iou: float
    negative_iou: float
    rescue: Literal["one", "ties", "none"]


@dataclass(frozen=True)
class Matches:
    """Targets of the anchors.

    Attributes:
        labels: (B, A) int64; 0 is background, -1 is ignored.
        offsets: (B, A, 4) float32 target offsets; zero where there is no match.
    """

    labels: Tensor
    offsets: Tensor


def match(
    targets: Sequence[dict[str, Tensor]], anchors: Tensor | Sequence[Tensor], rule: Rule
) -> Matches:
    """Assign ground truth to anchors.

    Anchors that are mostly in a crowd region and match no box are ignored: neither object nor
    background would be a correct label there.

    Args:
        targets: For each image, ``boxes`` (N, 4) relative x1 y1 x2 y2, ``labels`` (N,) from 1, and
            ``iscrowd`` (N,) bool.
        anchors: (A, 4) cx cy w h for all images, or (B, A, 4) per image.
        rule: When an anchor belongs to a box.
    """
    shared = isinstance(anchors, Tensor) and anchors.ndim == 2
    each = [anchors] * len(targets) if shared else anchors
    found = [_match_image(target, own, rule) for target, own in zip(targets, each, strict=True)]
    return Matches(*map(torch.stack, zip(*found, strict=True)))


def _match_image(target: dict[str, Tensor], anchors: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Labels (A,) and offsets (A, 4) of one image."""
    labels = torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
    offsets = torch.zeros(len(anchors), 4, device=anchors.device)
    corners = box_convert(anchors, "cxcywh", "xyxy")
    crowd = target["iscrowd"]
    boxes = target["boxes"][~crowd]
    if len(boxes):
        chosen = assign(box_iou(boxes, corners), rule)
        found = chosen >= 0
        labels[chosen == IGNORED] = -1
        labels[found] = target["labels"][~crowd][chosen[found]]
        offsets[found] = encode(boxes[chosen[found]], anchors[found])
    if crowd.any():
        inside = _share_inside(corners, target["boxes"][crowd]) >= 0.5
        labels[inside & (labels == 0)] = -1
    return labels, offsets


def assign(iou: Tensor, rule: Rule) -> Tensor:
    """Index of the box of each anchor, ``BACKGROUND`` or ``IGNORED``: (A,) int64.

    The overlaps are (N, A), with N at least 1.
    """
    best, nearest = iou.max(dim=0)
    chosen = torch.where(best >= rule.positive_iou, nearest, IGNORED)
    chosen[best < rule.negative_iou] = BACKGROUND
    if rule.rescue == "one":
        # In reverse, so that of two boxes with the same best anchor the first keeps it.
        for box, anchor in reversed(list(enumerate(iou.argmax(dim=1).tolist()))):
            chosen[anchor] = box
    elif rule.rescue == "ties":
        most = iou.amax(dim=1, keepdim=True)
        saved = ((iou == most) & (most > 0)).any(dim=0)
        chosen[saved] = nearest[saved]
    return chosen


def _share_inside(corners: Tensor, regions: Tensor) -> Tensor:
    """Largest share of each anchor's area inside any of the regions: (A,)."""
    low = torch.maximum(corners[:, None, :2], regions[None, :, :2])
    high = torch.minimum(corners[:, None, 2:], regions[None, :, 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    area = (corners[:, 2:] - corners[:, :2]).prod(-1)
    return (inside / area[:, None]).amax(dim=1)


def sample(labels: Tensor, number: int, positive_share: float) -> Tensor:
    """Sample some objects per image and fill up with background: mask (B, A).

    Args:
        labels: (B, A) above 0 for objects, 0 for background, -1 for ignored.
        number: Number to draw per image; fewer if there are not enough.
        positive_share: Largest share of objects.
    """
    keys = torch.rand(labels.shape, device=labels.device)
    most = torch.full_like(labels[:, :1], int(number * positive_share))
    objects = _draw(labels > 0, keys, most)
    return objects | _draw(labels == 0, keys, number - objects.sum(1, keepdim=True))


def _draw(candidates: Tensor, keys: Tensor, count: Tensor) -> Tensor:
    """The ``count`` (B, 1) candidates of each row with the smallest keys: mask (B, A)."""
    order = torch.where(candidates, keys, 2.0).argsort(dim=1)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    return candidates & (rank < count)
