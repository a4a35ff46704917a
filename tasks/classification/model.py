"""The classifier: images in, one logit per class out, on any body."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from backbone.body import Body
from backbone.flavour import Flavour
from datasets.types import ClassMap
from tasks.body_network import LastLayerNetwork, Losses
from tasks.body_spec import ClassifierSpec
from tasks.classification.losses import class_loss, class_weights, mix
from tasks.classification.spec import TASK, ClassLossSpec
from tasks.distillation.target_source import TeacherTargets
from tasks.start_network import start_with_classes
from tasks.weights.card import Card


class Classifier(LastLayerNetwork):
    """Normalisation, body, head and loss, as :class:`~tasks.body_network.LastLayerNetwork`.

    Attributes:
        weights: (C,) How much the images of each class count in the loss; None for all the same.
    """

    objective = ClassLossSpec
    loss: ClassLossSpec
    weights: Tensor | None

    def __init__(
        self,
        spec: ClassifierSpec,
        columns: int,
        flavour: Flavour | None = None,
        loss: ClassLossSpec | None = None,
    ) -> None:
        super().__init__(spec, columns, flavour, loss)
        self.register_buffer("weights", None, persistent=False)

    def weigh(self, counts: Tensor) -> None:
        """Have classes count as the objective's ``balance`` says, of (C,) images per class."""
        if self.loss.balance:
            self.weights = class_weights(counts, self.loss.balance)

    def losses(self, images: Tensor, targets: Tensor, taught: TeacherTargets | None) -> Losses:
        """Losses for the column (B,) int64 of each image; a teacher sees the mixed images."""
        images, shares = mix(images, targets, self.columns, self.loss)
        logits = self.raw(images).float()
        losses = {"class": class_loss(logits, shares, self.loss, self.weights)}
        return losses if taught is None else taught.join(losses, images, logits)


def start_classifier(model: Classifier, classes: ClassMap, path: Path) -> tuple[Card, list[str]]:
    """Fill a classifier for fine-tuning; see :func:`~tasks.start_network.start_with_classes`."""
    rows, noun = class_rows(model.body), "the card's classes"
    return start_with_classes(model, classes, path, task=TASK, rows=rows, noun=noun)


def class_rows(body: Body) -> tuple[str, str]:
    """Names of a model's tensors with a row for each class; the rest of a head has none."""
    return f"head.{body.class_layer}.weight", f"head.{body.class_layer}.bias"
