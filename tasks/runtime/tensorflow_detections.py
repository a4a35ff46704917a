"""Detections as TensorFlow's own detectors give them, read as this suite's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DETECTIONS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""Outputs of the operator TFLite_Detection_PostProcess, in their order: (1, D, 4) y1 x1 y2 x2 in
shares of the square, (1, D) from 0, (1, D) best first, and (1,); all in float32."""
READ_AS = ("boxes", "scores", "labels")


def read_detections(found: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The four outputs as ``READ_AS``: (1, D, 4) x1 y1 x2 y2 in 0..1, (1, D), and (1, D) from 1.

    Rows after the last detection are padding: label 0.
    """
    boxes, classes, scores, count = found
    real = np.arange(scores.shape[1]) < count[0]
    placed = boxes[..., [1, 0, 3, 2]].clip(0, 1) * real[:, None]
    labels = (classes.astype(np.int64) + 1) * real
    return [placed, scores * real, labels]
