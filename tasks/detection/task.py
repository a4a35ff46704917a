"""Training and evaluation steps of a detector."""

from __future__ import annotations

from typing import Any

import torch

from datasets.types import DetectionBatch
from tasks.detection.evaluator import CocoEvaluator, Score, to_original
from tasks.detection.model import Detector
from tasks.fitting.base import Task
from tasks.fitting.spec import FitSpec


class DetectionTask(Task):
    """Detector with COCO's mAP as its measure.

    Args:
        model: ``model(images, targets)`` gives losses, ``model(images)`` detections.
        fit: How to train it.
        seed: Of everything random.
        evaluator: Fresh evaluator of the validation split for each evaluation.

    Attributes:
        score: The last evaluation, with per-class figures and curves.
    """

    monitor = "AP"

    def __init__(self, model: Detector, fit: FitSpec, seed: int, evaluator: CocoEvaluator) -> None:
        super().__init__(model, fit, seed)
        self._empty, self.keep_aspect = evaluator, model.spec.keep_aspect
        self._evaluator = evaluator.fresh()
        self.score: Score | None = None

    def on_validation_epoch_start(self) -> None:
        """Forget the detections of the evaluation before."""
        self._evaluator = self._empty.fresh()

    def validation_step(self, batch: DetectionBatch, batch_idx: int) -> None:
        """Collect the detections of a batch, in float32: the figures are those of the file."""
        with torch.autocast(self.device.type, enabled=False):
            detections = self.model(batch["images"])
        found = to_original(detections, batch["image_ids"], batch["sizes"], self.keep_aspect)
        self._evaluator.update(found)

    def on_validation_epoch_end(self) -> None:
        """Score what all processes collected, and log the 12 numbers."""
        self._evaluator.gather()
        if self.trainer.is_global_zero:
            self.score = self._evaluator.compute()
        metrics: Any = self.trainer.strategy.broadcast(self.score and self.score["metrics"])
        self.log_dict(metrics, rank_zero_only=True)
