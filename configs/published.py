"""Accuracies that TensorFlow's authors published with their weights.

Data only. They come from other trainings than the paper's rows, so they are kept apart from those.
"""

from __future__ import annotations

from dataclasses import dataclass

# ImageNet top-1 %, float and 8 bits, by width and resolution: the table in TF-slim's
# ``mobilenet_v1.md``. The 8-bit networks were trained with quantisation in the loop.
_SLIM: dict[float, tuple[tuple[float, float], ...]] = {
    1.0: ((70.9, 69.7), (70.0, 69.0), (68.0, 67.3), (65.2, 64.0)),
    0.75: ((68.4, 67.9), (67.2, 66.2), (65.3, 63.9), (62.1, 59.8)),
    0.5: ((63.3, 62.2), (61.7, 60.4), (59.1, 57.7), (56.3, 54.9)),
    0.25: ((49.8, 48.2), (47.7, 45.8), (45.5, 43.5), (41.5, 39.9)),
}
TF_SLIM = {
    (alpha, size): pair
    for alpha, pairs in _SLIM.items()
    for size, pair in zip((224, 192, 160, 128), pairs, strict=True)
}
# COCO mAP %, float and 8 bits, of SSD at 300 pixels, by width: TensorFlow 1's detection model zoo
# (``tf1_detection_zoo.md``, the rows ssd_mobilenet_v1_coco, _0.75_depth_coco, _quantized_coco and
# _0.75_depth_quantized_coco), which rounds to whole numbers and measures on a part of COCO's
# validation images.
TF_ZOO: dict[tuple[float, int], tuple[float, float]] = {
    (1.0, 300): (21.0, 18.0),
    (0.75, 300): (18.0, 16.0),
}


@dataclass(frozen=True)
class Published:
    """A table of figures by width and resolution.

    Attributes:
        task: Name of the application.
        variant: Variant of its networks, as the application names it.
        told: Where the figures were published.
        figures: Percentages, float and 8 bits, by width multiplier and side in pixels.
    """

    task: str
    variant: str
    told: str
    figures: dict[tuple[float, int], tuple[float, float]]


TF_TABLES = (
    Published("classification", "", "published with TF-slim's weights", TF_SLIM),
    Published("detection", "ssd300", "published in TensorFlow's detection zoo", TF_ZOO),
)
