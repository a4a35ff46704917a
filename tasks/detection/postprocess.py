"""From raw outputs to detections: one top-k over all classes, one batched NMS per image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from tasks.detection.boxes import decode
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
    """Decode, suppress and rank the raw outputs of a batch.

    Only the ``candidates`` best (anchor, class) pairs of an image are decoded at all. Shifting
    each class to a range of its own makes one NMS do for all classes.

    Args:
        logits: (B, A, 1 + C) raw class scores; column 0 (background) is not looked at.
        offsets: (B, A, 4) offsets from the anchors.
        anchors: (A, 4) cx cy w h.
        spec: Thresholds and numbers.
    """
    logits, offsets = logits.float(), offsets.float()
    classes = logits.shape[-1] - 1
    flat = logits[..., 1:].flatten(1)
    best, index = flat.topk(min(spec.candidates, flat.shape[1]), dim=1)
    scores, labels = best.sigmoid(), index % classes
    cell = index // classes
    chosen = offsets.gather(1, cell[..., None].expand(-1, -1, 4))
    boxes = decode(chosen, anchors[cell]).clamp(0, 1)
    keep = _keep(boxes, scores, labels, spec)
    kept = torch.where(keep, scores, 0.0)
    final, order = kept.topk(min(spec.detections, kept.shape[1]), dim=1)
    return Detections(
        boxes=boxes.gather(1, order[..., None].expand(-1, -1, 4)) * (final > 0)[..., None],
        scores=final,
        labels=(labels.gather(1, order) + 1) * (final > 0),
    )


def _keep(boxes: Tensor, scores: Tensor, labels: Tensor, spec: PostSpec) -> Tensor:
    """Mask (B, K) of the candidates that survive NMS and the score threshold."""
    shifted = boxes + labels[..., None] * 2.0
    masks = []
    for box, score in zip(shifted, scores, strict=True):
        # Candidates come best first, so those above the threshold are a prefix.
        above = int((score > spec.score_threshold).sum())
        mask = torch.zeros_like(score, dtype=torch.bool)
        mask[nms(box[:above], score[:above], spec.nms_iou)] = True
        masks.append(mask)
    return torch.stack(masks)
