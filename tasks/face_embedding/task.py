"""Training and evaluation steps of an embedding network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datasets.errors import InputError
from datasets.types import LabelBatch
from tasks.distillation.teacher import is_same
from tasks.distillation.teaching import Teaching
from tasks.face_embedding.evaluator import FaceEvaluator
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.protocols import Score
from tasks.fitting.base import Task
from tasks.fitting.spec import FitSpec


class FaceEmbeddingTask(Task):
    """Embedding network; its measure is the area under the ROC of pairs that choose the weights.

    Where all pairs are tested none may choose, and the weights of the last epoch are kept.

    Args:
        model: ``model(images, targets, lesson)`` gives losses, ``model(images)`` embeddings.
        fit: How to train it.
        seed: Of everything random.
        evaluator: Fresh evaluator of the validation faces for each evaluation.
        teaching: What it learns from besides identities.

    Attributes:
        score: The last evaluation.
    """

    def __init__(
        self,
        model: FaceEmbedder,
        fit: FitSpec,
        seed: int,
        evaluator: FaceEvaluator,
        teaching: Teaching | None = None,
    ) -> None:
        super().__init__(model, fit, seed)
        self._teaching = teaching
        self._evaluator = evaluator.fresh()
        self.monitor = "selection" if evaluator.chooses else None
        self.score: Score | None = None

    def losses(self, batch: LabelBatch) -> dict[str, Tensor]:
        """The model's losses on a batch, with the teacher's if there is one."""
        lesson = None
        if self._teaching is not None:
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
        if self._teaching and not is_same(checkpoint.get("teacher"), self._teaching.fingerprint):
            raise InputError(
                f"--teacher {self._teaching.name} has other weights than when the run began; go "
                "on with the same ones"
            )

    def on_validation_epoch_start(self) -> None:
        """Forget the embeddings of the evaluation before."""
        self._evaluator = self._evaluator.fresh()

    def validation_step(self, batch: LabelBatch, batch_idx: int) -> None:
        """Collect the embeddings of a batch, in float32: the figures are those of the file."""
        with torch.autocast(self.device.type, enabled=False):
            embeddings = self.model(batch["images"])
        self._evaluator.update(batch["image_ids"], embeddings)

    def on_validation_epoch_end(self) -> None:
        """Score what all processes collected, and log it."""
        self._evaluator.gather()
        if self.trainer.is_global_zero:
            self.score = self._evaluator.compute()
        metrics: Any = self.trainer.strategy.broadcast(self.score and self.score["metrics"])
        self.log_dict(metrics, rank_zero_only=True)
