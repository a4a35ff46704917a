"""Training and evaluation of a trunk with several heads, each as in its own application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from datasets.types import MixedBatch
from tasks.application import Evaluator, PhotoApplication
from tasks.fitting.base import Task
from tasks.fitting.network_task import validation_names
from tasks.fitting.spec import FitSpec
from tasks.multitask.model import MultiTaskNet
from tasks.predictor import exact_outputs
from tasks.runtime.session import Answer as Outputs
from tasks.weights.card import Card


@dataclass(frozen=True)
class Branch:
    """How a head is trained and evaluated."""

    application: PhotoApplication[Any]  # whose metric tells how good the head is
    card: Card
    evaluator: Evaluator  # of the validation part
    targets: Callable[[Any], Any]  # from a batch on the device to what the model wants

    def examine(self, model: Any, batch: Any) -> tuple[list[int], list[Outputs]]:
        """Image ids and named outputs of a batch on its device, from a head in evaluation mode."""
        outputs = exact_outputs(
            self.application, model, self.card, batch["images"], batch.get("sizes")
        )
        return batch["image_ids"], outputs

    def share(self, metrics: dict[str, float]) -> float:
        """Quality of the head by the metrics of an evaluation, in 0..1."""
        metric = self.application.metric
        return metrics[metric.name] / metric.best


class MultiTask(Task):
    """Heads on one trunk; the metric is the mean of the heads' own, as shares of the best.

    A step has a micro-batch of one or several tasks. Each passes through the trunk separately, so
    that batch norm never mixes images of two tasks, and the gradients of all are added.

    Args:
        model: Trunk, heads and the balance of their losses.
        fit: How to train it.
        seed: Seed of all random numbers.
        branches: Branches of the heads that are trained, by name.
    """

    monitor = "mean"
    model: MultiTaskNet

    def __init__(
        self, model: MultiTaskNet, fit: FitSpec, seed: int, branches: Mapping[str, Branch]
    ) -> None:
        super().__init__(model, fit, seed)
        self._branches = dict(branches)
        self._evaluators: dict[str, Any] = {}

    def on_after_batch_transfer(self, batch: MixedBatch, dataloader_idx: int) -> MixedBatch:
        """Give the images of each part the memory layout of the network."""
        for part in batch["parts"].values():
            super().on_after_batch_transfer(part, dataloader_idx)
        return batch

    def losses(self, batch: MixedBatch) -> dict[str, Tensor]:
        """The balanced loss of each task in a step, by name."""
        found = {}
        for name, part in batch["parts"].items():
            targets = self._branches[name].targets(part)
            losses = self.model.head(name)(part["images"], targets)
            found[name] = torch.stack(list(losses.values())).sum()
        assert self.model.balance is not None, "training needs a balance"
        balanced: dict[str, Tensor] = self.model.balance(found)
        return balanced

    def on_validation_epoch_start(self) -> None:
        """Discard the answers of the previous evaluation."""
        self._evaluators = {name: b.evaluator.fresh() for name, b in self._branches.items()}

    def validation_step(self, batch: MixedBatch, batch_idx: int) -> None:
        """Collect a head's answers, in float32: the metrics are those of the saved file."""
        for name, part in batch["parts"].items():
            with torch.autocast(self.device.type, enabled=False):
                answers = self._branches[name].examine(self.model.head(name), part)
            self._evaluators[name].update(*answers)

    def on_validation_epoch_end(self) -> None:
        """Compute metrics of what all processes collected, and log them as ``head/metric``."""
        for evaluator in self._evaluators.values():
            evaluator.gather()
        metrics: Any = self._measured() if self.trainer.is_global_zero else None
        self.log_dict(self.trainer.strategy.broadcast(metrics), rank_zero_only=True)

    def _measured(self) -> dict[str, float]:
        shares: list[float] = []
        metrics: dict[str, float] = {}
        for name, evaluator in self._evaluators.items():
            found = evaluator.compute()["metrics"]
            shares.append(self._branches[name].share(found))
            named = validation_names(found)
            metrics |= {f"{name}/{metric}": value for metric, value in named.items()}
        return {self.monitor: sum(shares) / len(shares), **metrics}
