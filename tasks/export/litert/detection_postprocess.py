"""A detector's end as TensorFlow's own files have it: one operator that decodes and suppresses.

Android's and MediaPipe's object detectors take files that end in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flatbuffers import flexbuffers

from tasks.export.litert.flatbuffer import Array
from tasks.export.litert.lowering import Lowering, Value
from tasks.runtime.tensorflow_detections import DETECTIONS

OPERATOR = "TFLite_Detection_PostProcess"
RAW = ("offsets", "class_scores")
"""Tensors of the ONNX file: (1, A, 4) dy dx dh dw, and (1, A, C) in 0..1, without background."""


@dataclass(frozen=True)
class PostProcess:
    """How raw outputs become detections.

    Attributes:
        anchors: (A, 4) cy cx h w, relative to the square, float32.
        scales: Scales of the offsets y, x, h and w.
        score_threshold: Lowest score that is reported.
        max_iou: Highest permitted IoU; of two boxes of one class that overlap by more, the weaker
            is dropped.
        detections: Most that are reported.
    """

    anchors: Array
    scales: tuple[float, float, float, float]
    score_threshold: float
    max_iou: float
    detections: int


def append_postprocess(low: Lowering, told: PostProcess) -> dict[str, int]:
    """Write the operator after a network's raw outputs; its own by name."""
    offsets, scores = (low.bring(name) for name in RAW)
    anchors = told.anchors.astype(np.float32)
    table = low.buffer.tensor("anchors", anchors.shape, "float32", data=anchors)
    most = told.detections
    shapes = ((1, most, 4), (1, most), (1, most), (1,))
    made = [
        low.buffer.tensor(name, shape, "float32")
        for name, shape in zip(DETECTIONS, shapes, strict=True)
    ]
    low.buffer.custom(
        OPERATOR, [offsets.tensor, scores.tensor, table], made, _options(scores, told)
    )
    return dict(zip(DETECTIONS, made, strict=True))


def _options(scores: Value, told: PostProcess) -> bytes:
    # The operator reports what scores as much as this; the suite, what scores more.
    least = np.nextafter(np.float32(told.score_threshold), np.float32(2))
    numbers: dict[str, object] = {
        "max_detections": told.detections,
        "max_classes_per_detection": 1,
        "detections_per_class": told.detections,
        "num_classes": scores.shape[2],
        # Each class by itself, as the suite does.
        "use_regular_nms": True,
        "nms_score_threshold": float(least),
        "nms_iou_threshold": told.max_iou,
    }
    for name, scale in zip("yxhw", told.scales, strict=True):
        numbers[f"{name}_scale"] = scale
    return bytes(flexbuffers.Dumps(numbers))
