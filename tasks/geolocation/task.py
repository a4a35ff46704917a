"""Training and evaluation steps of a geolocator."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.types import LabelBatch
from tasks.distillation.teaching import Teaching
from tasks.fitting.base import Task
from tasks.fitting.spec import FitSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.evaluator import GeoEvaluator, Score
from tasks.geolocation.model import Geolocator, GeoTargets
from tasks.geolocation.sphere import unit_vectors


class Truth:
    """Where each training photo was taken, to be looked up by its index.

    Args:
        atlas: Partitions of the model.
        lat: (N,) degrees.
        lng: (N,) degrees.
    """

    def __init__(self, atlas: Atlas, lat: NDArray[np.float64], lng: NDArray[np.float64]) -> None:
        self._columns = torch.from_numpy(atlas.columns_at(lat, lng))
        self._units = torch.from_numpy(unit_vectors(lat, lng)).float()

    def of(self, image_ids: list[int], device: torch.device) -> GeoTargets:
        """Targets of some photos."""
        rows = torch.tensor(image_ids)
        return {
            "columns": self._columns[rows].to(device, non_blocking=True),
            "units": self._units[rows].to(device, non_blocking=True),
        }


class GeolocationTask(Task):
    """Geolocator with GeoScore as its measure.

    Args:
        model: ``model(images, targets)`` gives losses, ``model(images)`` logits.
        fit: How to train it.
        seed: Of everything random.
        truth: Of the training photos.
        evaluator: Fresh evaluator of the photos that choose the weights for each evaluation.
        teaching: What it learns from besides positions.

    Attributes:
        score: The last evaluation.
    """

    monitor = "geoscore"

    def __init__(
        self,
        model: Geolocator,
        fit: FitSpec,
        seed: int,
        truth: Truth,
        evaluator: GeoEvaluator,
        teaching: Teaching | None = None,
    ) -> None:
        super().__init__(model, fit, seed)
        self._truth, self._evaluator, self._teaching = truth, evaluator, teaching
        self.score: Score | None = None

    def losses(self, batch: LabelBatch) -> dict[str, Tensor]:
        """The model's losses on a batch, with the teacher's if there is one."""
        targets = self._truth.of(batch["image_ids"], batch["images"].device)
        if self._teaching is None:
            losses: dict[str, Tensor] = self.model(batch["images"], targets)
            return losses
        lesson = self._teaching.lesson(self.current_epoch, batch["image_ids"])
        taught: dict[str, Tensor] = self.model(batch["images"], targets, lesson)
        return taught

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
        self._evaluator = self._evaluator.fresh()

    def validation_step(self, batch: LabelBatch, batch_idx: int) -> None:
        """Collect the answers to a batch, in float32: the figures are those of the file."""
        model = cast("Geolocator", self.model)
        with torch.autocast(self.device.type, enabled=False):
            logits = model.combine(model(batch["images"]))
        self._evaluator.update(batch["image_ids"], logits)

    def on_validation_epoch_end(self) -> None:
        """Measure what all processes collected, and log it."""
        self._evaluator.gather()
        if self.trainer.is_global_zero:
            self.score = self._evaluator.compute()
        metrics: Any = self.trainer.strategy.broadcast(self.score and self.score["metrics"])
        named = {"val_loss" if name == "loss" else name: value for name, value in metrics.items()}
        self.log_dict(named, rank_zero_only=True)
