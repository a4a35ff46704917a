"""SSD on the MobileNet body: 1.237 B mult-adds and 6.820 M parameters at 300 (table 13)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from backbone.flavour import Flavour
from backbone.layers import (
    ConvBNAct,
    Normalize,
    SeparableBlock,
    init_tf_slim,
    scale_channels,
)
from backbone.mobilenet_v1 import MobileNetV1
from tasks.detection.anchors import anchor_shapes, make_anchors
from tasks.detection.boxes import match
from tasks.detection.losses import ssd_loss
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.spec import DetectorSpec, Head, LossSpec, PostSpec

TAPS = (16, 32)
EXTRAS = (512, 256, 256, 128)
INIT_STD = 0.03
# With focal loss every anchor counts from the first step: start near "background".
FOCAL_PRIOR_BIAS = -4.6


class SSD(nn.Module):
    """Body, extra feature maps, predictors, loss and post-processing.

    Args:
        spec: Architecture.
        num_classes: Classes without background; labels run from 1 to it.
        flavour: Of the body and the extra layers; its input size is ``spec.size``.
        loss: Training objective.
        post: From raw outputs to detections.

    Attributes:
        anchors: (A, 4) cx cy w h, relative; 1917 at 300.
    """

    anchors: Tensor

    def __init__(
        self,
        spec: DetectorSpec,
        num_classes: int,
        flavour: Flavour,
        *,
        loss: LossSpec | None = None,
        post: PostSpec | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError("a detector needs at least one class")
        self.spec, self.num_classes = spec, num_classes
        self.loss, self.post = loss or LossSpec(), post or PostSpec()
        self.normalize = Normalize(flavour.input)
        self.body = MobileNetV1(spec.alpha, flavour)
        depths = [self.body.channels[stride] for stride in TAPS]
        widths = [depths[-1], *(scale_channels(d, spec.alpha) for d in EXTRAS)]
        self.extras = nn.ModuleList(
            _extra(before, after, spec.head, flavour) for before, after in pairwise(widths)
        )
        cells = [len(anchor_shapes(level)) for level in range(len(TAPS) + len(EXTRAS))]
        depths += widths[1:]
        self.box_predictors = _predictors(depths, [4 * n for n in cells], spec.head, flavour)
        outputs = [(1 + num_classes) * n for n in cells]
        self.class_predictors = _predictors(depths, outputs, spec.head, flavour)
        for part in (self.extras, self.box_predictors, self.class_predictors):
            init_tf_slim(part, INIT_STD)
        if self.loss.loss == "focal":
            for predictor in self.class_predictors:
                bias = _last(predictor).bias
                assert bias is not None
                nn.init.constant_(bias, FOCAL_PRIOR_BIAS)
                nn.init.constant_(bias.view(-1, 1 + num_classes)[:, 0], -FOCAL_PRIOR_BIAS)
        self.register_buffer("anchors", make_anchors(map_sizes(spec.size)), persistent=False)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Network without post-processing.

        Args:
            images: (B, 3, S, S) RGB 0..255, any dtype, S the spec's size.

        Returns:
            Class logits (B, A, 1 + C) and box offsets (B, A, 4).
        """
        if images.shape[-2:] != (self.spec.size, self.spec.size):
            raise ValueError(
                f"images of {images.shape[-1]}x{images.shape[-2]} do not fit this detector: "
                f"it takes {self.spec.size}x{self.spec.size}"
            )
        features = self.body(self.normalize(images))
        maps = [features[stride] for stride in TAPS]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = _gather(maps, self.class_predictors, 1 + self.num_classes)
        return logits, _gather(maps, self.box_predictors, 4)

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | Detections:
        """Losses in training, detections in evaluation (torchvision's convention).

        Args:
            images: (B, 3, S, S) RGB 0..255.
            targets: Per image relative ``boxes`` (N, 4; x1 y1 x2 y2), ``labels`` (N,) from 1
                and ``iscrowd`` (N,). Needed in training.
        """
        logits, offsets = self.raw(images)
        if not self.training:
            return postprocess(logits, offsets, self.anchors, self.post)
        assert targets is not None, "training needs targets"
        matches = match(targets, self.anchors, self.loss.match_iou)
        return ssd_loss(logits, offsets, matches, self.loss)


def map_sizes(size: int) -> list[tuple[int, int]]:
    """(height, width) of the six feature maps: 19, 10, 5, 3, 2, 1 at 300."""
    sides = [-(-size // stride) for stride in TAPS]
    for _ in EXTRAS:
        sides.append(-(-sides[-1] // 2))
    return [(side, side) for side in sides]


def _extra(before: int, after: int, head: Head, flavour: Flavour) -> nn.Sequential:
    """Halve the map: 1x1 to half the new depth, then 3x3 with stride 2."""
    squeeze = ConvBNAct(before, after // 2, 1, flavour=flavour)
    if head == "ssdlite":
        return nn.Sequential(squeeze, SeparableBlock(after // 2, after, stride=2, flavour=flavour))
    return nn.Sequential(squeeze, ConvBNAct(after // 2, after, 3, stride=2, flavour=flavour))


def _predictors(
    depths: list[int], outputs: list[int], head: Head, flavour: Flavour
) -> nn.ModuleList:
    """One predictor per feature map; the last convolution has a bias and no batch norm."""
    predictors = nn.ModuleList()
    for depth, out in zip(depths, outputs, strict=True):
        last = nn.Conv2d(depth, out, 1)
        if head == "ssdlite":
            spread = ConvBNAct(depth, depth, 3, groups=depth, flavour=flavour)
            predictors.append(nn.Sequential(spread, last))
        else:
            predictors.append(last)
    return predictors


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
