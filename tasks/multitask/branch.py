"""How each kind of head is taught and measured, as its own task does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tasks.classification.evaluator import LabelEvaluator
from tasks.detection.evaluator import CocoEvaluator, to_original
from tasks.face_attributes.evaluator import AttributeEvaluator
from tasks.face_embedding.evaluator import FaceEvaluator
from tasks.geolocation.evaluator import GeoEvaluator
from tasks.geolocation.task import Truth

# Of GeoScore, which no answer exceeds.
_BEST_GEOSCORE = 5000.0


@dataclass(frozen=True)
class Branch:
    """A head's lessons and its exam.

    Attributes:
        evaluator: Of the validation part; it has ``fresh``, ``update``, ``gather``, ``compute``.
        monitor: The metric that tells how good the head is; higher is better.
        targets: From a batch on the device to what the model wants beside the images.
        examine: From model and batch, in evaluation mode, to what ``update`` takes.
        best: Value of the metric that nothing exceeds.
    """

    evaluator: Any
    monitor: str
    targets: Callable[[Any], Any]
    examine: Callable[[Any, Any], tuple[Any, ...]]
    best: float = 1.0


def _targets(batch: Any) -> Any:
    return batch["targets"]


def _logits(model: Any, batch: Any) -> tuple[Any, ...]:
    return batch["image_ids"], model.raw(batch["images"])


def classes_branch(evaluator: LabelEvaluator) -> Branch:
    """Of a classifier: top-1."""
    return Branch(evaluator, "top1", _targets, _logits)


def attributes_branch(evaluator: AttributeEvaluator, values: Tensor) -> Branch:
    """Of a network of attributes: mean average precision.

    Args:
        evaluator: Of the validation part.
        values: (N, A) int8 attributes of the training photos by image id.
    """

    def targets(batch: Any) -> Any:
        return values[torch.tensor(batch["image_ids"])].to(batch["images"].device)

    return Branch(evaluator, "mean_ap", targets, _logits)


def places_branch(evaluator: GeoEvaluator, truth: Truth) -> Branch:
    """Of a geolocator: GeoScore.

    Args:
        evaluator: Of the validation part.
        truth: Of the training photos.
    """

    def targets(batch: Any) -> Any:
        return truth.of(batch["image_ids"], batch["images"].device)

    def examine(model: Any, batch: Any) -> tuple[Any, ...]:
        return batch["image_ids"], model.combine(model.raw(batch["images"]))

    return Branch(evaluator, "geoscore", targets, examine, _BEST_GEOSCORE)


def embedding_branch(evaluator: FaceEvaluator) -> Branch:
    """Of an embedding network: area under the ROC of the pairs that choose weights."""

    def examine(model: Any, batch: Any) -> tuple[Any, ...]:
        return batch["image_ids"], model(batch["images"])

    return Branch(evaluator, "selection", _targets, examine)


def boxes_branch(evaluator: CocoEvaluator) -> Branch:
    """Of a detector: COCO's AP."""

    def examine(model: Any, batch: Any) -> tuple[Any, ...]:
        found = model(batch["images"])
        keep = model.spec.keep_aspect
        return (to_original(found, batch["image_ids"], batch["sizes"], keep),)

    return Branch(evaluator, "AP", _targets, examine)
