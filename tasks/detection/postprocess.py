"""Turns raw outputs into detections: one top-k over all classes, one batched NMS per image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.core_operators import best_of, parted, pick, rows_at, suppress
from tasks.detection.anchors import decode
from tasks.detection.spec import PostSpec


class Detections(NamedTuple):
    """Detections of a batch, best first, padded to a fixed number with score 0.

    Attributes:
        boxes: (B, D, 4) relative x1 y1 x2 y2 in 0..1.
        scores: (B, D) in 0..1.
        labels: (B, D) int64 from 1; 0 where padded.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def postprocess(logits: Tensor, offsets: Tensor, anchors: Tensor, spec: PostSpec) -> Detections:
    """Decode, suppress and rank SSD's raw outputs of a batch.

    Args:
        logits: (B, A, 1 + C) raw class scores; column 0 (background) is ignored.
        offsets: (B, A, 4) offsets from the anchors.
        anchors: (A, 4) cx cy w h.
        spec: Thresholds and numbers.
    """
    classes = logits.shape[-1] - 1
    best, index = best_of(logits[..., 1:].float().flatten(1), spec.candidates)
    cell, label = parted(index, classes)
    chosen = pick(offsets.float(), cell)
    return _select(chosen, rows_at(anchors, cell), best.sigmoid(), label, spec)


def postprocess_regions(
    scores: Tensor, offsets: Tensor, regions: Tensor, spec: PostSpec
) -> Detections:
    """The same for Faster R-CNN's second stage, which has boxes per class.

    Args:
        scores: (B, P, C) in 0..1, without background, and 0 for proposals that are only padding.
        offsets: (B, P, C, 4) offsets from the regions.
        regions: (B, P, 4) cx cy w h.
        spec: Thresholds and numbers.
    """
    classes = scores.shape[-1]
    best, index = best_of(scores.flatten(1), spec.candidates)
    region, label = parted(index, classes)
    return _select(pick(offsets.flatten(1, 2), index), pick(regions, region), best, label, spec)


def _select(
    offsets: Tensor, anchors: Tensor, scores: Tensor, labels: Tensor, spec: PostSpec
) -> Detections:
    """Decode candidates (B, K), best first; keep those that survive NMS and the threshold."""
    boxes = decode(offsets, anchors).clamp(0, 1)
    # Shifting each class to its own range makes one NMS serve all classes.
    apart = boxes + labels[..., None] * 2.0
    keep = suppress(apart, scores, spec.score_threshold, spec.nms_iou, spec.detections)
    kept = torch.where(keep, scores, 0.0)
    final, order = kept.topk(min(spec.detections, kept.shape[1]), dim=1)
    return Detections(
        boxes=pick(boxes, order) * (final > 0)[..., None],
        scores=final,
        labels=(pick(labels, order) + 1) * (final > 0),
    )
