"""Accuracies that TensorFlow's authors published with their weights, beside the paper.

Data only. They are of other trainings than the paper's rows, so they stand apart from those.
"""

from __future__ import annotations

from dataclasses import dataclass

# ImageNet top-1 %, float and 8 bits, by width and resolution: the table in TF-slim's
# ``mobilenet_v1.md``. The 8-bit networks were trained with quantisation in the loop.
TF_SLIM: dict[tuple[float, int], tuple[float, float]] = {
    (1.0, 224): (70.9, 69.7),
    (1.0, 192): (70.0, 69.0),
    (1.0, 160): (68.0, 67.3),
    (1.0, 128): (65.2, 64.0),
    (0.75, 224): (68.4, 67.9),
    (0.75, 192): (67.2, 66.2),
    (0.75, 160): (65.3, 63.9),
    (0.75, 128): (62.1, 59.8),
    (0.5, 224): (63.3, 62.2),
    (0.5, 192): (61.7, 60.4),
    (0.5, 160): (59.1, 57.7),
    (0.5, 128): (56.3, 54.9),
    (0.25, 224): (49.8, 48.2),
    (0.25, 192): (47.7, 45.8),
    (0.25, 160): (45.5, 43.5),
    (0.25, 128): (41.5, 39.9),
}
# COCO mAP %, float and 8 bits, of SSD at 300 pixels, by width: TensorFlow 1's detection model zoo
# (``tf1_detection_zoo.md``, the rows ssd_mobilenet_v1_coco, _0.75_depth_coco, _quantized_coco and
# _0.75_depth_quantized_coco), which rounds to whole numbers and measures on a part of COCO's
# validation photos.
TF_ZOO: dict[tuple[float, int], tuple[float, float]] = {
    (1.0, 300): (21.0, 18.0),
    (0.75, 300): (18.0, 16.0),
}


@dataclass(frozen=True)
class Published:
    """A table of figures by width and resolution.

    Attributes:
        task: Name of the application.
        variant: Of its networks, as the application names it.
        told: Who published them.
        figures: Percent, float and 8 bits, by width multiplier and side in pixels.
    """

    task: str
    variant: str
    told: str
    figures: dict[tuple[float, int], tuple[float, float]]


TF_TABLES = (
    Published("classification", "", "published with TF-slim's weights", TF_SLIM),
    Published("detection", "ssd300", "published in TensorFlow's detection zoo", TF_ZOO),
)
