"""Training and evaluation steps of a network, for any application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tasks.application import Evaluator
from tasks.distillation.target_source import TargetSource
from tasks.fitting.base import Task
from tasks.fitting.spec import FitSpec
from tasks.predictor import Model, exact_outputs


class NetworkTask(Task):
    """One network, scored by its application's evaluator.

    Args:
        model: Model with the network to train: ``network(images, targets)`` returns losses.
        fit: How to train it.
        seed: Seed of all random numbers.
        evaluator: Evaluator of the validation part; each evaluation uses a fresh one.
        monitor: Metric by which the best weights are chosen, higher is better; None keeps those
            of the last evaluation.
        targets: Function from a batch on the device to what the network needs besides the images.
        target_source: Source of teacher targets, if there is a teacher.

    Attributes:
        score: The last evaluation.
    """

    def __init__(
        self,
        model: Model,
        fit: FitSpec,
        seed: int,
        evaluator: Evaluator,
        *,
        monitor: str | None,
        targets: Callable[[Any], Any],
        target_source: TargetSource | None = None,
    ) -> None:
        assert model.network is not None
        super().__init__(model.network, fit, seed)
        self.monitor = monitor
        self._application, self._card = model.application, model.card
        self._targets, self._target_source = targets, target_source
        self._evaluator = evaluator.fresh()
        self.score: Any = None

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The network's losses on a batch, with the teacher's if there is one."""
        targets = self._targets(batch)
        losses: dict[str, Tensor]
        if self._target_source is None:
            losses = self.model(batch["images"], targets)
        else:
            taught = self._target_source.teacher_targets(self.current_epoch, batch["image_ids"])
            losses = self.model(batch["images"], targets, taught)
        return losses

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the identity of the teacher, but nothing else about it."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["teacher"] = self._target_source and self._target_source.fingerprint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the teacher. Raises InputError if it is another one now."""
        super().on_load_checkpoint(checkpoint)
        if self._target_source is not None:
            self._target_source.refuse_other(checkpoint.get("teacher"))

    def on_validation_epoch_start(self) -> None:
        """Discard the answers of the previous evaluation."""
        self._evaluator = self._evaluator.fresh()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Collect the answers to a batch, in float32: the metrics are those of the saved file."""
        with torch.autocast(self.device.type, enabled=False):
            outputs = exact_outputs(
                self._application, self.model, self._card, batch["images"], batch.get("sizes")
            )
        self._evaluator.update(batch["image_ids"], outputs)

    def on_validation_epoch_end(self) -> None:
        """Compute metrics of what all processes collected, and log them."""
        self._evaluator.gather()
        if self.trainer.is_global_zero:
            self.score = self._evaluator.compute()
        metrics: Any = self.trainer.strategy.broadcast(self.score and self.score["metrics"])
        self.log_dict(validation_names(metrics), rank_zero_only=True)


def validation_names(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics by the names that they are logged under: the training has its own ``loss``."""
    return {"val_loss" if name == "loss" else name: value for name, value in metrics.items()}
