"""Training and evaluation steps of a classifier."""

from __future__ import annotations

from typing import Any

import torch

from datasets.types import LabelBatch
from tasks.base import Task
from tasks.classification.evaluator import LabelEvaluator, Score
from tasks.classification.model import Classifier
from tasks.spec import FitSpec


class ClassificationTask(Task):
    """Classifier with top-1 accuracy as its measure.

    Args:
        model: ``model(images, targets)`` gives losses, ``model(images)`` logits.
        fit: How to train it.
        seed: Of everything random.
        evaluator: Fresh evaluator of the validation split for each evaluation.

    Attributes:
        score: The last evaluation.
    """

    monitor = "top1"

    def __init__(
        self, model: Classifier, fit: FitSpec, seed: int, evaluator: LabelEvaluator
    ) -> None:
        super().__init__(model, fit, seed)
        self._empty = evaluator
        self._evaluator = evaluator.fresh()
        self.score: Score | None = None

    def on_validation_epoch_start(self) -> None:
        """Forget the answers of the evaluation before."""
        self._evaluator = self._empty.fresh()

    def validation_step(self, batch: LabelBatch, batch_idx: int) -> None:
        """Collect the logits of a batch, in float32: the figures are those of the file."""
        with torch.autocast(self.device.type, enabled=False):
            logits = self.model(batch["images"])
        self._evaluator.update(batch["image_ids"], logits)

    def on_validation_epoch_end(self) -> None:
        """Score what all processes collected, and log it."""
        self._evaluator.gather()
        if self.trainer.is_global_zero:
            self.score = self._evaluator.compute()
        metrics: Any = self.trainer.strategy.broadcast(self.score and self.score["metrics"])
        named = {"val_loss" if name == "loss" else name: value for name, value in metrics.items()}
        self.log_dict(named, rank_zero_only=True)
