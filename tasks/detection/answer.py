"""Running a trained detector, over a loader or over pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.layers import fold_batchnorm
from datasets.errors import InputError
from datasets.types import ClassMap, DetectionBatch, PhotoBatch
from tasks.detection.evaluator import ImageResult, to_original
from tasks.detection.model import Detector
from tasks.detection.reference_runtime import LiteRtDetector
from tasks.detection.spec import DetectorSpec, PostSpec
from tasks.fitting.spec import flag_of
from tasks.predictor import exported_answers, ready_batches
from tasks.runtime.exported import Exported
from tasks.runtime.session import Answer
from tasks.weights.file import spec_of


def detect(
    model: Detector | LiteRtDetector | ExportedDetector,
    loader: Iterable[DetectionBatch] | Iterable[PhotoBatch],
    device: str,
    label: str,
) -> Iterator[list[ImageResult]]:
    """Yield the detections of each batch, in original pixels.

    Args:
        model: In evaluation mode.
        loader: Of batches; for an export, of photos as they are.
        device: To compute on.
        label: Of the progress bar.
    """
    if isinstance(model, ExportedDetector):
        photos = cast("Iterable[PhotoBatch]", loader)
        for image_ids, answers in exported_answers(model.exported, photos, label):
            yield model.results(answers, image_ids)
        return
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    keep_aspect = model.spec.keep_aspect
    for batch, images in ready_batches(cast("Iterable[DetectionBatch]", loader), device, label):
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


class ExportedDetector:
    """An export in the place of a :class:`Predictor`, or of a model to evaluate.

    Args:
        exported: Of a detector.
        post: What is asked for. A score threshold above the export's own is applied to what it
            finds; everything else was fixed when it was made.

    Attributes:
        exported: The same.
        spec: Of the detector.
        classes: Its classes.

    Raises:
        InputError: If something else is asked for.
    """

    def __init__(self, exported: Exported, post: PostSpec) -> None:
        self.exported, self.classes = exported, exported.card.classes
        self.spec = spec_of(exported.card, DetectorSpec, exported.path)
        own, usual = PostSpec(**exported.facts["post"]), PostSpec()
        for name, value in vars(post).items():
            known = (getattr(own, name), getattr(usual, name))
            if name != "score_threshold" and value not in known:
                flag = flag_of(name)
                raise InputError(
                    f"--{flag} {value}: {exported.path} was made with {getattr(own, name)}; "
                    f"export it again with --{flag} {value}"
                )
        self._least = post.score_threshold

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageResult]:
        """Detections of some (H, W, 3) RGB pictures, in their own pixels."""
        return self.results(self.exported(images), range(len(images)))

    def results(self, answers: Sequence[Answer], image_ids: Sequence[int]) -> list[ImageResult]:
        """Detections as evaluators take them; weak ones do not change what NMS left of others."""
        found: list[ImageResult] = []
        for image_id, answer in zip(image_ids, answers, strict=True):
            strong = answer["scores"] > self._least
            found.append(
                {
                    "image_id": image_id,
                    "boxes": answer["boxes"][strong].astype(np.float64),
                    "scores": answer["scores"][strong].astype(np.float64),
                    "labels": answer["labels"][strong],
                }
            )
        return found
