"""SSD on any body: on MobileNet 1.237 B mult-adds and 6.820 M parameters at 300 (table 13)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from backbone.flavour import Flavour
from backbone.layers import Normalize, init_tf_slim
from datasets.errors import InputError
from tasks.body_network import BodyNetwork
from tasks.detection.anchors import make_anchors
from tasks.detection.losses import ssd_loss
from tasks.detection.matching import Rule, match
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.spec import DetectorSpec, LossSpec, PostSpec
from tasks.detection.ssd_layout import (
    ChannelScale,
    layout_of,
    make_extras,
    make_predictors,
    map_sizes,
    ssd_body,
)

INIT_STD = 0.03
# With focal loss every anchor counts from the first step: start near "background".
FOCAL_PRIOR_BIAS = -4.6


class SSD(BodyNetwork):
    """Body, extra feature maps, predictors, loss and post-processing.

    Args:
        spec: Architecture.
        num_classes: Classes without background; labels run from 1 to it.
        flavour: Of the body and the extra layers; its input size is ``spec.size``.
        loss: Training objective.
        post: From raw outputs to detections.

    Attributes:
        anchors: (A, 4) cx cy w h, relative; 1917 at 300.
        networks: Names of the methods that are network alone, which ``--compile`` compiles.
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
        self.spec, self.num_classes = spec, num_classes
        self.loss, self.post = loss or LossSpec(), post or PostSpec()
        self.normalize = Normalize(flavour.input)
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
        anchors = make_anchors(map_sizes(spec), layout.shapes)
        self.register_buffer("anchors", anchors, persistent=False)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Network without post-processing.

        Args:
            images: (B, 3, S, S) RGB 0..255, any dtype, S the spec's size.

        Returns:
            Class logits (B, A, 1 + C) and box offsets (B, A, 4).
        """
        check_size(images, self.spec)
        return self.from_features(self.body(self.normalize(images)))

    def from_features(self, features: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
        """The same, from the body's features by stride."""
        first, last = (features[stride] for stride in layout_of(self.spec).taps)
        maps = [self.finest(first), last]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = _gather(maps, self.class_predictors, 1 + self.num_classes)
        return logits, _gather(maps, self.box_predictors, 4)

    def network(self, images: Tensor) -> tuple[Tensor, ...]:
        """Every layer that has weights, for the accountant: the same as :meth:`raw`."""
        return self.raw(images)

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


def check_size(images: Tensor, spec: DetectorSpec) -> None:
    """Refuse images of another size than the detector's. Raises InputError naming both."""
    if images.shape[-2:] != (spec.size, spec.size):
        raise InputError(
            f"images of {images.shape[-1]}x{images.shape[-2]} do not fit this detector: "
            f"it takes {spec.size}x{spec.size}"
        )


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
