"""Running a trained detector, over a loader or over pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.layers import fold_batchnorm
from datasets.types import ClassMap, DetectionBatch
from tasks.detection.evaluator import ImageResult, to_original
from tasks.detection.litert import LiteRtDetector
from tasks.detection.model import Detector
from tasks.inference import ready_batches


def detect(
    model: Detector | LiteRtDetector, loader: Iterable[DetectionBatch], device: str, label: str
) -> Iterator[list[ImageResult]]:
    """Yield the detections of each batch, in original pixels.

    Args:
        model: In evaluation mode.
        loader: Of batches.
        device: To compute on.
        label: Of the progress bar.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    keep_aspect = model.spec.keep_aspect
    for batch, images in ready_batches(loader, device, label):
        with torch.inference_mode():
            detections = model(images)
        yield to_original(detections, batch["image_ids"], batch["sizes"], keep_aspect)


class Predictor:
    """A detector made ready for pictures of any size: folded, on its device.

    Args:
        model: To be copied.
        classes: Its classes.
        device: To compute on.
        fit: Brings a picture to the model's square input.
    """

    def __init__(
        self,
        model: Detector,
        classes: ClassMap,
        device: str,
        fit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    ) -> None:
        self.classes, self.device, self.fit = classes, device, fit
        self.keep_aspect = model.spec.keep_aspect
        self._model = fold_batchnorm(model)
        self._model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageResult]:
        """Detections of some (H, W, 3) RGB pictures, in their own pixels."""
        if not images:
            return []
        squares = [self.fit(image) for image in images]
        batch: Tensor = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).to(self.device)
        with torch.inference_mode():
            detections = self._model(batch)
        sizes = [(image.shape[1], image.shape[0]) for image in images]
        return to_original(detections, range(len(images)), sizes, self.keep_aspect)
