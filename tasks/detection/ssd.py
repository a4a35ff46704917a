"""SSD on any body: on MobileNet 1.237 B mult-adds and 6.820 M parameters at 300 (table 13)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from backbone.flavour import Flavour
from backbone.layers import init_tf_slim
from tasks.body_network import BodyNetwork
from tasks.detection.anchors import make_anchors
from tasks.detection.detector import DetectorNetwork
from tasks.detection.matching import Matches, Rule, match
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.spec import DetectorSpec, LossSpec
from tasks.detection.ssd_layout import (
    ChannelScale,
    layout_of,
    make_extras,
    make_predictors,
    map_sizes,
    ssd_body,
)
from tasks.fitting.shared_count import shared_count

INIT_STD = 0.03
# With focal loss every anchor counts from the first step: begin near "background".
FOCAL_PRIOR_BIAS = -4.6


class SSD(DetectorNetwork, BodyNetwork):
    """Body, extra feature maps and predictors; 1917 anchors at 300."""

    objective = LossSpec

    def add_layers(self, flavour: Flavour) -> None:
        """Add body, extra feature maps and predictors with fresh weights."""
        spec, num_classes = self.spec, self.num_classes
        self.body = ssd_body(spec, flavour)
        layout = layout_of(spec)
        depths = [self.body.channels[stride] for stride in layout.taps]
        self.finest = ChannelScale(depths[0]) if spec.backbone == "vgg16" else nn.Identity()
        self.extras, added = make_extras(spec, depths[-1], flavour)
        depths += added
        cells = [len(level) for level in layout.shapes]
        self.box_predictors = make_predictors(spec, depths, [4 * n for n in cells], flavour)
        outputs = [(1 + num_classes) * n for n in cells]
        self.class_predictors = make_predictors(spec, depths, outputs, flavour)
        for part in (self.extras, self.box_predictors, self.class_predictors):
            init_tf_slim(part, INIT_STD)
        if self.loss.loss == "focal":
            for predictor in self.class_predictors:
                bias = _last(predictor).bias
                assert bias is not None
                nn.init.constant_(bias, FOCAL_PRIOR_BIAS)
                nn.init.constant_(bias.view(-1, 1 + num_classes)[:, 0], -FOCAL_PRIOR_BIAS)

    @staticmethod
    def anchors_of(spec: DetectorSpec) -> Tensor:
        """Anchors (A, 4) of all maps."""
        return make_anchors(map_sizes(spec), layout_of(spec).shapes)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, A, 1 + C) and box offsets (B, A, 4) of RGB images, 0..255."""
        self.refuse_other_size(images)
        return self.from_features(self.body(self.normalize(images)))

    def from_features(self, features: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Raw outputs, from the body's features by stride."""
        first, last = (features[stride] for stride in layout_of(self.spec).taps)
        maps = [self.finest(first), last]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = _gather(maps, self.class_predictors, 1 + self.num_classes)
        return logits, _gather(maps, self.box_predictors, 4)

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | Detections:
        """Losses in training, detections in evaluation."""
        logits, offsets = self.raw(images)
        if not self.training:
            return postprocess(logits, offsets, self.anchors, self.post)
        assert targets is not None, "training needs targets"
        overlap = self.loss.match_iou
        matches = match(targets, self.anchors, Rule(overlap, overlap, "one"))
        return ssd_loss(logits, offsets, matches, self.loss)

    def class_rows(self) -> Iterator[tuple[str, int, bool]]:
        """Tensors whose rows are classes: (name, groups of rows, whether background has one)."""
        for level, predictor in enumerate(self.class_predictors):
            groups = _last(predictor).out_channels // (1 + self.num_classes)
            inner = "1." if isinstance(predictor, nn.Sequential) else ""
            for kind in ("weight", "bias"):
                yield f"class_predictors.{level}.{inner}{kind}", groups, True


def _last(predictor: nn.Module) -> nn.Conv2d:
    conv = predictor[-1] if isinstance(predictor, nn.Sequential) else predictor
    assert isinstance(conv, nn.Conv2d)
    return conv


def _gather(maps: list[Tensor], predictors: nn.ModuleList, columns: int) -> Tensor:
    """Concatenate the predictions of all maps in the anchors' order: (B, A, columns)."""
    parts = []
    for feature, predictor in zip(maps, predictors, strict=True):
        out = predictor(feature).permute(0, 2, 3, 1)
        parts.append(out.reshape(out.shape[0], -1, columns))
    return torch.cat(parts, dim=1)


def ssd_loss(
    logits: Tensor, offsets: Tensor, matches: Matches, spec: LossSpec
) -> dict[str, Tensor]:
    """Class and box loss, each divided by the number of matched anchors of the batch, float32.

    The matches of all processes are counted.

    Args:
        logits: (B, A, 1 + C) raw class scores, column 0 for background.
        offsets: (B, A, 4) predicted offsets.
        matches: Targets of the anchors.
        spec: Kind of class loss and its numbers.
    """
    logits, offsets = logits.float(), offsets.float()
    labels = matches.labels
    positive = labels > 0
    count = shared_count(positive.sum())
    truth = functional.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    focal = spec.loss == "focal"
    if focal:
        each = sigmoid_focal_loss(logits, truth, spec.focal_alpha, spec.focal_gamma)
    else:
        each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    loss = each.sum(-1)
    counted = labels >= 0 if focal else positive | hard_negatives(loss.detach(), labels, spec)
    box = functional.smooth_l1_loss(offsets[positive], matches.offsets[positive], reduction="sum")
    return {"class": loss[counted].sum() / count, "box": spec.box_weight * box / count}


def hard_negatives(loss: Tensor, labels: Tensor, spec: LossSpec) -> Tensor:
    """The background anchors with the largest loss, a fixed multiple of each image's matches.

    Args:
        loss: (B, A) losses.
        labels: (B, A) labels: 0 for background, -1 for ignored.
        spec: Numbers of negatives.

    Returns:
        Mask (B, A).
    """
    negative = labels == 0
    wanted = ((labels > 0).sum(1) * spec.negatives_per_positive).clamp(min=spec.min_negatives)
    ranked = torch.where(negative, loss, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(loss.shape[1], device=loss.device).expand_as(ranked)
    chosen = torch.zeros_like(negative).scatter_(1, ranked, rank < wanted[:, None])
    return chosen & negative
