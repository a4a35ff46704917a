"""Training and evaluation steps of a network of attributes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.types import LabelBatch
from tasks.classification.task import ClassificationTask
from tasks.distillation.teaching import Teaching
from tasks.face_attributes.evaluator import AttributeEvaluator
from tasks.face_attributes.model import AttributeNet
from tasks.fitting.spec import FitSpec


class AttributeTask(ClassificationTask):
    """A classifier whose targets are looked up by image, with mean average precision as measure.

    Args:
        model: ``model(images, targets)`` gives losses, ``model(images)`` logits.
        fit: How to train it.
        seed: Of everything random.
        values: (N, A) int8 attributes of the training photos by image id.
        evaluator: Fresh evaluator of the validation part for each evaluation.
        teaching: What it learns from besides labels.
    """

    monitor = "mean_ap"

    def __init__(
        self,
        model: AttributeNet,
        fit: FitSpec,
        seed: int,
        values: NDArray[np.int8],
        evaluator: AttributeEvaluator,
        teaching: Teaching | None = None,
    ) -> None:
        super().__init__(model, fit, seed, evaluator, teaching)
        self._values = torch.from_numpy(values)

    def losses(self, batch: LabelBatch) -> dict[str, Tensor]:
        """The model's losses on a batch, with the teacher's if there is one."""
        values = self._values[torch.tensor(batch["image_ids"])]
        device = batch["images"].device
        return super().losses({**batch, "targets": values.to(device, non_blocking=True)})
