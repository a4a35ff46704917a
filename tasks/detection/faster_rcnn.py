"""Faster R-CNN on any body: on MobileNet 25.224 B mult-adds and 6.066 M parameters at 300.

Paper, table 13. The body up to its last map of stride 16 is the base, on which the first stage
proposes regions; each region is cropped to 14x14 and passes through the rest of the body, the
second stage.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from backbone.bodies import build_body
from backbone.flavour import Flavour
from backbone.layers import init_tf_slim, scale_channels
from tasks.core_operators import is_core
from tasks.detection import rpn
from tasks.detection.anchors import make_anchors, rpn_shapes
from tasks.detection.detector import DetectorNetwork
from tasks.detection.matching import Rule, match, sample
from tasks.detection.postprocess import Detections, postprocess_regions
from tasks.detection.spec import DetectorSpec, TwoStageLossSpec
from tasks.fitting.shared_count import shared_count

STRIDE = 16
CROP = 14
INIT_STD = 0.01
# Number of crops that pass through the second stage together in evaluation: more do not fit a
# CPU's cache.
_CHUNK = 100


class FasterRCNN(DetectorNetwork):
    """Base, region proposals and second stage; twelve anchors for each cell of the map.

    Attributes:
        networks: Names of the methods that only run the network, which ``--compile`` compiles.
    """

    objective = TwoStageLossSpec
    networks = ("first_stage", "second_stage")

    def add_layers(self, flavour: Flavour) -> None:
        """Add base, region proposals and second stage with fresh weights."""
        spec, num_classes = self.spec, self.num_classes
        self.body = build_body(spec.backbone, alpha=spec.alpha, flavour=flavour)
        depth = scale_channels(rpn.DEPTH, spec.alpha)
        self.rpn = rpn.RegionProposals(self.body.channels[STRIDE], depth, flavour.activation)
        self.neck, width = self.body.make_neck()
        self.class_predictor = nn.Linear(width, 1 + num_classes)
        self.box_predictor = nn.Linear(width, 4 * num_classes)
        for part in (self.rpn, self.class_predictor, self.box_predictor):
            init_tf_slim(part, INIT_STD)
        # The two halves share the body's layers; a tuple does not register them a second time.
        self._halves = self.body.split(STRIDE)
        self.extent = extent_of(spec)

    @staticmethod
    def anchors_of(spec: DetectorSpec) -> Tensor:
        """Anchors (A, 4) of the map of stride 16, whose size VGG16's pools round down."""
        side = spec.size // STRIDE if spec.backbone == "vgg16" else -(-spec.size // STRIDE)
        return make_anchors([(side, side)], [rpn_shapes(spec.size)], extent_of(spec))

    def first_stage(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The base's map (B, C, H, W), objectness (B, A) and offsets (B, A, 4) of all anchors."""
        self.refuse_other_size(images)
        feature = self._halves[0](self.normalize(images))
        return (feature, *self.rpn(feature))

    def second_stage(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (K, 1 + C) and per-class offsets (K, C, 4) of crops (K, D, 14, 14)."""
        if self.spec.roi_pool:
            crops = functional.max_pool2d(crops, 2)
        features = self.neck(self._halves[1](crops))
        offsets = self.box_predictor(features).view(-1, self.num_classes, 4)
        return self.class_predictor(features), offsets

    def raw(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run every layer that has weights, to count the cost; all regions are in one place."""
        feature, *rest = self.first_stage(images)
        boxes = torch.zeros(len(images) * self.spec.proposals, 4, device=images.device)
        owners = torch.zeros(len(boxes), dtype=torch.int64, device=images.device)
        return (*rest, *self.second_stage(crop(feature, boxes, owners, CROP, self.extent)))

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | Detections:
        """Losses in training, detections in evaluation."""
        feature, objectness, offsets = self.first_stage(images)
        regions, real = rpn.propose(objectness, offsets, self.anchors, self.spec.proposals)
        if not self.training:
            return self.detect(feature, regions, real)
        assert targets is not None, "training needs targets"
        losses = rpn.rpn_loss(objectness, offsets, self.anchors, targets, self.loss)
        regions, real = rpn.add_true_boxes(regions, real, targets)
        return losses | self._second_loss(feature, regions, real, targets)

    def detect(self, feature: Tensor, regions: Tensor, real: Tensor) -> Detections:
        """Detections of the second stage from proposals (B, P, 4) relative x1 y1 x2 y2, after NMS.

        ``real`` (B, P) is False where a region is only padding.
        """
        count = regions.shape[1]
        number = torch.arange(regions.shape[0], device=regions.device)
        owners = number[:, None].expand(-1, count).flatten()
        boxes = regions.flatten(0, 1)
        # A graph that is exported for any number of images cannot be cut into a variable number of
        # parts.
        spans = [slice(None)]
        if not torch.compiler.is_exporting():
            spans = [slice(k, k + _CHUNK) for k in range(0, len(boxes), _CHUNK)]
        parts = [
            self.second_stage(crop(feature, boxes[span], owners[span], CROP, self.extent))
            for span in spans
        ]
        logits, offsets = (torch.cat(part).float() for part in zip(*parts, strict=True))
        scores = logits.softmax(-1)[:, 1:].view(*real.shape, -1) * real[..., None]
        offsets = offsets.view(*real.shape, self.num_classes, 4)
        return postprocess_regions(scores, offsets, rpn.as_anchors(regions), self.post)

    def _second_loss(
        self, feature: Tensor, regions: Tensor, real: Tensor, targets: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Class and box loss of a sampled set of proposals, divided by their number."""
        spec = self.loss
        rule = Rule(spec.box_iou, spec.box_iou, "none")
        matches = match(targets, rpn.as_anchors(regions), rule)
        labels = torch.where(real, matches.labels, -1)
        chosen = sample(labels, spec.box_samples, spec.box_positive_share)
        images = chosen.nonzero()[:, 0]
        crops = crop(feature, regions[chosen], images, CROP, self.extent)
        logits, offsets = self.second_stage(crops)
        truth, wanted = labels[chosen], matches.offsets[chosen]
        objects = truth > 0
        own = (truth[objects] - 1)[:, None, None].expand(-1, 1, 4)
        found = offsets[objects].gather(1, own)[:, 0]
        count = shared_count(torch.tensor(len(truth), device=truth.device))
        box = functional.smooth_l1_loss(
            found.float(), wanted[objects], reduction="sum", beta=spec.smooth_l1_beta
        )
        return {
            "class": functional.cross_entropy(logits.float(), truth, reduction="sum") / count,
            "box": spec.second_box_weight * box / count,
        }

    def class_rows(self) -> Iterator[tuple[str, int, bool]]:
        """Tensors with a row per class: (name, groups of rows, whether background has one)."""
        for kind in ("weight", "bias"):
            yield f"class_predictor.{kind}", 1, True
            yield f"box_predictor.{kind}", 1, False


def extent_of(spec: DetectorSpec) -> float | None:
    """Number of cells of the map that would span the image, if that is not an integer."""
    return spec.size / STRIDE if spec.backbone == "vgg16" else None


def crop(
    feature: Tensor, boxes: Tensor, images: Tensor, size: int, extent: float | None = None
) -> Tensor:
    """Sample the map once at the centre of each of size x size bins of a box, bilinearly.

    The result equals torchvision's ``roi_align(sampling_ratio=1, aligned=True)``, whose gradient
    takes many times as long on CPUs (``make benchmark`` measures it): it works pixel by pixel,
    this one by whole rows of channels.

    Args:
        feature: (B, C, H, W), H and W at least 2.
        boxes: (K, 4) relative x1 y1 x2 y2.
        images: (K,) int64 index of the image that each box belongs to.
        size: Number of bins along each side.
        extent: Number of cells, as in :func:`~tasks.detection.anchors.make_anchors`.

    Returns:
        (K, C, size, size), channels last in memory, in float32.
    """
    if torch.compiler.is_exporting() and not is_core():  # ONNX has one for the other one.
        side = torch.tensor([extent or one for one in feature.shape[:1:-1]] * 2)
        placed = torch.cat((images[:, None].to(boxes.dtype), boxes * side), dim=1)
        cut: Tensor = roi_align(feature.float(), placed, size, sampling_ratio=1, aligned=True)
        return cut
    count, channels, height, width = feature.shape
    left, across = _places(boxes[:, 0], boxes[:, 2], size, width, extent)
    top, down = _places(boxes[:, 1], boxes[:, 3], size, height, extent)
    corner = (images[:, None] * height + top)[:, :, None] * width + left[:, None, :]
    index = torch.stack((corner, corner + 1, corner + width, corner + width + 1), dim=-1)
    rows = torch.stack((1 - down, down), dim=-1)[:, :, None, :, None]
    columns = torch.stack((1 - across, across), dim=-1)[:, None, :, None, :]
    weights = (rows * columns).reshape(-1, 4)
    table = feature.float().permute(0, 2, 3, 1).reshape(count * height * width, channels)
    if is_core():
        corners, shares = index.reshape(-1, 4), weights[..., None]
        picked = [table.index_select(0, corners[:, k]) * shares[:, k] for k in range(4)]
        out = picked[0] + picked[1] + picked[2] + picked[3]
        return out.view(-1, size, size, channels).permute(0, 3, 1, 2)
    out = functional.embedding_bag(
        index.reshape(-1, 4), table, mode="sum", per_sample_weights=weights
    )
    return out.view(-1, size, size, channels).permute(0, 3, 1, 2)


def _places(
    low: Tensor, high: Tensor, size: int, cells: int, extent: float | None
) -> tuple[Tensor, Tensor]:
    """For each bin, the cell before its centre (K, size) int64, and how far beyond, 0..1."""
    steps = (torch.arange(size, device=low.device, dtype=low.dtype) + 0.5) / size
    centres = low[:, None] + (high - low)[:, None] * steps
    places = (centres * (extent or cells) - 0.5).clamp(0, cells - 1)
    before = places.floor().clamp(max=cells - 2)
    return before.long(), places - before
