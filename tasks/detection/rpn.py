"""The first stage of Faster R-CNN: proposes regions that may contain objects."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_convert

from backbone.layers import make_activation
from tasks.core_operators import first_of, pick, rows_at, suppress
from tasks.detection.anchors import decode
from tasks.detection.matching import Rule, match, sample
from tasks.detection.spec import TwoStageLossSpec
from tasks.fitting.shared_count import shared_count

DEPTH = 512
ANCHORS_PER_CELL = 12
NMS_IOU = 0.7
# Number of anchors that enter NMS, best first, or five times the wanted proposals, so that enough
# survive.
CANDIDATES = 1000
# Relative side below which a proposal is considered empty.
MIN_SIDE = 1e-3


class RegionProposals(nn.Module):
    """3x3 convolution, then 1x1 ones for objectness and box offsets of twelve anchors per cell.

    Objectness has two columns, background and object, as in TensorFlow; only their difference
    matters. At 300 pixels the second column costs 2 M mult-adds, less than the paper's figures
    resolve.
    """

    def __init__(self, in_channels: int, depth: int, activation: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, depth, 3, padding=1)
        self.act = make_activation(activation)
        self.objectness = nn.Conv2d(depth, 2 * ANCHORS_PER_CELL, 1)
        self.offsets = nn.Conv2d(depth, 4 * ANCHORS_PER_CELL, 1)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, A) of being an object, and offsets (B, A, 4), of a map (B, C, H, W)."""
        spread = self.act(self.conv(feature))
        both = self.objectness(spread).permute(0, 2, 3, 1).reshape(feature.shape[0], -1, 2)
        offsets = self.offsets(spread).permute(0, 2, 3, 1).reshape(feature.shape[0], -1, 4)
        return both[..., 1] - both[..., 0], offsets


def propose(
    logits: Tensor, offsets: Tensor, anchors: Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """The best regions of each image, padded to a fixed number.

    Args:
        logits: (B, A) logits of being an object.
        offsets: (B, A, 4) offsets from the anchors.
        anchors: (A, 4) cx cy w h.
        number: Number of regions.

    Returns:
        Regions (B, number, 4) relative x1 y1 x2 y2, best first, and which are real (B, number).
    """
    logits, offsets = logits.detach().float(), offsets.detach().float()
    best, index = logits.topk(min(max(CANDIDATES, 5 * number), logits.shape[1]), dim=1)
    boxes = decode(pick(offsets, index), rows_at(anchors, index)).clamp(0, 1)
    large = (boxes[..., 2:] - boxes[..., :2]).amin(-1) >= MIN_SIDE
    # Regions that are too small go to the end, so that those taking part remain a prefix.
    order = first_of(large, large.shape[1])
    boxes = pick(boxes, order)
    scores = pick(torch.where(large, best, -torch.inf), order)
    keep = suppress(boxes, scores, -torch.inf, NMS_IOU, number)
    if keep.shape[1] < number:
        missing = number - keep.shape[1]
        keep = functional.pad(keep, (0, missing))
        boxes = functional.pad(boxes, (0, 0, 0, missing))
    first = first_of(keep, number)
    # Only sums and products of numbers, which every runtime has.
    real = pick(keep.float(), first)
    return pick(boxes, first) * real[..., None], real > 0


def rpn_loss(
    logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    targets: list[dict[str, Tensor]],
    spec: TwoStageLossSpec,
) -> dict[str, Tensor]:
    """Objectness and box loss (``rpn_class``, ``rpn_box``) of sampled anchors, by their number.

    Args:
        logits: (B, A) logits of being an object.
        offsets: (B, A, 4) offsets from the anchors.
        anchors: (A, 4) cx cy w h.
        targets: Targets as a detector takes them.
        spec: Objective.
    """
    rule = Rule(spec.rpn_positive_iou, spec.rpn_negative_iou, "ties")
    matches = match(targets, anchors, rule)
    chosen = sample(matches.labels, spec.rpn_samples, 0.5)
    objects = chosen & (matches.labels > 0)
    count = shared_count(chosen.sum())
    truth = objects[chosen].float()
    objectness = functional.binary_cross_entropy_with_logits(
        logits[chosen].float(), truth, reduction="sum"
    )
    box = functional.smooth_l1_loss(
        offsets[objects].float(),
        matches.offsets[objects],
        reduction="sum",
        beta=spec.smooth_l1_beta,
    )
    return {"rpn_class": objectness / count, "rpn_box": spec.rpn_box_weight * box / count}


def add_true_boxes(
    regions: Tensor, real: Tensor, targets: list[dict[str, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Append the true boxes to the proposals, so that the second stage soon sees objects.

    Regions (B, P, 4) x1 y1 x2 y2 and ``real`` (B, P) grow by N, the largest number of boxes in an
    image; crowds are left out.
    """
    true = [target["boxes"][~target["iscrowd"]] for target in targets]
    boxes = nn.utils.rnn.pad_sequence(true, batch_first=True)
    there = [torch.ones(len(one), dtype=torch.bool, device=regions.device) for one in true]
    mask = nn.utils.rnn.pad_sequence(there, batch_first=True)
    return torch.cat((regions, boxes.to(regions)), dim=1), torch.cat((real, mask), dim=1)


def as_anchors(regions: Tensor) -> Tensor:
    """Regions x1 y1 x2 y2 as anchors cx cy w h; padding gets a non-zero side, for division."""
    anchors = box_convert(regions, "xyxy", "cxcywh")
    return torch.cat((anchors[..., :2], anchors[..., 2:].clamp(min=MIN_SIDE)), dim=-1)
