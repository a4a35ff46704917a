"""How a head is taught and measured, as its own application does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.application import Evaluator, PhotoApplication
from tasks.predictor import exact_outputs
from tasks.runtime.session import Answer as Outputs
from tasks.weights.card import Card


@dataclass(frozen=True)
class Branch:
    """How a head is taught and measured."""

    application: PhotoApplication[Any]  # whose metric tells how good the head is
    card: Card
    evaluator: Evaluator  # of the validation part
    targets: Callable[[Any], Any]  # from a batch on the device to what the model wants

    def examine(self, model: Any, batch: Any) -> tuple[list[int], list[Outputs]]:
        """What the evaluator takes: image ids and named outputs of a batch.

        Args:
            model: Of the head, in evaluation mode.
            batch: On its device.
        """
        outputs = exact_outputs(
            self.application, model, self.card, batch["images"], batch.get("sizes")
        )
        return batch["image_ids"], outputs

    def share(self, metrics: dict[str, float]) -> float:
        """How good the head is, in 0..1.

        Args:
            metrics: Of an evaluation.
        """
        metric = self.application.metric
        return metrics[metric.name] / metric.best
