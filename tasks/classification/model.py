"""The classifier and its weights files: photos in, one logit per class out, on any body."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from backbone.bodies import build_body, default_flavour
from backbone.flavour import Flavour
from backbone.layers import Normalize
from datasets.errors import InputError
from tasks.body_network import BodyNetwork
from tasks.classification.losses import class_loss
from tasks.classification.mix import mix
from tasks.classification.spec import ClassifierSpec, ClassLossSpec
from tasks.distillation.teaching import Lesson


class Classifier(BodyNetwork):
    """Normalisation, body, head and loss.

    Args:
        spec: Architecture.
        num_classes: Columns of the answer.
        flavour: Of the body; its input size is ``spec.size``.
        loss: Training objective.


    Raises:
        InputError: If there is no class, or the body cannot be built so.
    """

    def __init__(
        self,
        spec: ClassifierSpec,
        num_classes: int,
        flavour: Flavour,
        loss: ClassLossSpec | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss or ClassLossSpec()
        if num_classes < 1:
            raise InputError(f"{num_classes} classes: a classifier needs at least one")
        self.spec, self.num_classes = spec, num_classes
        self.normalize = Normalize(flavour.input)
        self.body = build_body(
            spec.backbone,
            alpha=spec.alpha,
            variant=spec.variant,
            stem_stride=spec.stem_stride,
            flavour=flavour,
        )
        if spec.size < self.body.min_size:
            raise InputError(
                f"--size {spec.size} is too small for {spec.backbone}: {self.body.min_size} "
                "pixels or more"
            )
        self.head = self.body.make_classifier(num_classes, self.loss.dropout)
        self.last_stride = max(self.body.channels)

    def from_features(self, features: dict[int, Tensor]) -> Tensor:
        """Logits (B, num_classes) from features of the body, by stride."""
        logits: Tensor = self.head(features[self.last_stride])
        return logits

    def forward(
        self, images: Tensor, targets: Tensor | None = None, lesson: Lesson | None = None
    ) -> dict[str, Tensor] | Tensor:
        """Losses in training, logits in evaluation.

        Args:
            images: (B, 3, S, S) RGB 0..255.
            targets: (B,) int64 column of each image, from 0. Needed in training.
            lesson: What a teacher says of the images, which it sees mixed as this network does.
        """
        if not self.training:
            answers: Tensor = self.raw(images)
            return answers
        assert targets is not None, "training needs targets"
        images, shares = mix(images, targets, self.num_classes, self.loss)
        logits = self.raw(images).float()
        losses = {"class": class_loss(logits, shares, self.loss)}
        return losses if lesson is None else lesson.join(losses, images, logits)


def build_classifier(
    spec: ClassifierSpec,
    num_classes: int,
    flavour: Flavour | None = None,
    loss: ClassLossSpec | None = None,
) -> Classifier:
    """A classifier with fresh weights.

    Args:
        spec: Architecture.
        num_classes: Columns of the answer.
        flavour: The body's default where None; its input size is replaced by the spec's.
        loss: Training objective.

    Raises:
        InputError: If there is no class, or the body cannot be built so.
    """
    flavour = flavour or default_flavour(spec.backbone)
    flavour = replace(flavour, input=replace(flavour.input, size=spec.size))
    return Classifier(spec, num_classes, flavour, loss)
