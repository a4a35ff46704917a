"""A small Faster R-CNN and its ground truth, for several test files."""

import torch
from torch import Tensor, nn

from datasets.types import ClassMap
from tasks.detection.faster_rcnn import FasterRCNN
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec, TwoStageLossSpec

THREE = ClassMap((3, 7, 90), ("cup", "cat", "kite"))
SIZE = 256  # A power of two: relative boxes and pixels then round alike.
SPEC = DetectorSpec(framework="faster_rcnn_300", alpha=0.25, size=SIZE)
# torchvision's objective, over every anchor and proposal, so that no chance is left.
ALL = TwoStageLossSpec(
    rpn_samples=10**6,
    box_samples=10**6,
    rpn_box_weight=1.0,
    second_box_weight=1.0,
    smooth_l1_beta=1 / 9,
)


def build(spec: DetectorSpec = SPEC, classes: ClassMap = THREE, **options: object) -> FasterRCNN:
    torch.manual_seed(0)
    model = build_detector(spec, classes, **options)
    assert isinstance(model, FasterRCNN)
    return model


def spread(model: FasterRCNN) -> FasterRCNN:
    """Random weights give nearly equal scores; larger ones give something to sort."""
    for layer in (model.rpn.objectness, model.rpn.offsets, model.class_predictor):
        nn.init.normal_(layer.weight, std=0.5)
    nn.init.normal_(model.box_predictor.weight, std=0.1)
    return model


def targets_of(*images: list[tuple[tuple[float, ...], int]]) -> list[dict[str, Tensor]]:
    """Per image (x1 y1 x2 y2 in 0..1, label)."""
    return [
        {
            "boxes": torch.tensor([box for box, _ in rows]).reshape(-1, 4),
            "labels": torch.tensor([label for _, label in rows], dtype=torch.int64),
            "iscrowd": torch.zeros(len(rows), dtype=torch.bool),
        }
        for rows in images
    ]


TARGETS = targets_of(
    [((0.1, 0.1, 0.5, 0.6), 1), ((0.4, 0.3, 0.9, 0.9), 3)], [((0.2, 0.5, 0.45, 0.8), 2)]
)


def random_boxes(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.rand(2, count, 2, generator=generator).sort(dim=0).values
    return torch.cat((low, high + 1e-3), dim=1).clamp(max=1)
