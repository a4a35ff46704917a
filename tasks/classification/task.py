"""Training and evaluation steps of a classifier."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from datasets.types import LabelBatch
from tasks.classification.evaluator import LabelEvaluator, Score
from tasks.classification.model import Classifier
from tasks.distillation.teaching import Teaching
from tasks.fitting.base import Task
from tasks.fitting.spec import FitSpec


class ClassificationTask(Task):
    """Classifier with top-1 accuracy as its measure.

    Args:
        model: ``model(images, targets)`` gives losses, ``model(images)`` logits.
        fit: How to train it.
        seed: Of everything random.
        evaluator: Fresh evaluator of the validation split for each evaluation.
        teaching: What it learns from besides labels.

    Attributes:
        score: The last evaluation.
    """

    monitor = "top1"

    def __init__(
        self,
        model: Classifier,
        fit: FitSpec,
        seed: int,
        evaluator: LabelEvaluator,
        teaching: Teaching | None = None,
    ) -> None:
        super().__init__(model, fit, seed)
        self._teaching = teaching
        self._empty = evaluator
        self._evaluator = evaluator.fresh()
        self.score: Score | None = None

    def on_after_batch_transfer(self, batch: LabelBatch, dataloader_idx: int) -> LabelBatch:
        """Shrink training images to the resolution of this step."""
        model = cast("Classifier", self.model)
        if self.trainer.training and model.loss.progressive < 1:
            size = resolution_at(
                self.global_step / self.total_steps,
                start=model.loss.progressive,
                full=model.spec.size,
                least=model.body.min_size,
            )
            if size < batch["images"].shape[-1]:
                batch["images"] = functional.interpolate(
                    batch["images"].float(), size=size, mode="bilinear", antialias=True
                )
        return super().on_after_batch_transfer(batch, dataloader_idx)  # type: ignore[no-any-return]

    def losses(self, batch: LabelBatch) -> dict[str, Tensor]:
        """The model's losses on a batch, with the teacher's if there is one."""
        if self._teaching is None:
            return super().losses(batch)
        lesson = self._teaching.lesson(self.current_epoch, batch["image_ids"])
        losses: dict[str, Tensor] = self.model(batch["images"], batch["targets"], lesson)
        return losses

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep who the teacher is, but nothing of it."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["teacher"] = self._teaching and self._teaching.fingerprint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the teacher.

        Raises:
            InputError: If it is another now: the run would not be the same.
        """
        super().on_load_checkpoint(checkpoint)
        if self._teaching is not None:
            self._teaching.refuse_other(checkpoint.get("teacher"))

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


def resolution_at(progress: float, *, start: float, full: int, least: int) -> int:
    """Side of the training images, in pixels, at a point of the run.

    It grows linearly over the first three quarters, in steps of 8 pixels (progressive resizing,
    as in EfficientNetV2).

    Args:
        progress: Share of the run that is over, 0..1.
        start: Share of the resolution at the beginning, in (0, 1].
        full: Resolution at the end, in pixels.
        least: That the body takes, in pixels.
    """
    share = min(1.0, start + (1 - start) * progress / 0.75)
    return full if share == 1 else min(full, max(least, round(full * share / 8) * 8))
