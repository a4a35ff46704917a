"""The classifier and its weights files: photos in, one logit per class out, on any body."""

from __future__ import annotations

from torch import Tensor

from backbone.flavour import Flavour
from datasets.errors import InputError
from tasks.body_network import LastLayerNetwork
from tasks.body_spec import ClassifierSpec
from tasks.classification.losses import class_loss
from tasks.classification.mix import mix
from tasks.classification.spec import ClassLossSpec
from tasks.distillation.target_source import TeacherTargets


class Classifier(LastLayerNetwork):
    """Normalisation, body, head and loss.

    Args:
        spec: Architecture.
        num_classes: Columns of the answer.
        flavour: The body's default where None; its input size is replaced by the spec's.
        loss: Training objective.

    Raises:
        InputError: If there is no class, or the body cannot be built so.
    """

    def __init__(
        self,
        spec: ClassifierSpec,
        num_classes: int,
        flavour: Flavour | None = None,
        loss: ClassLossSpec | None = None,
    ) -> None:
        if num_classes < 1:
            raise InputError(f"{num_classes} classes: a classifier needs at least one")
        loss = loss or ClassLossSpec()
        super().__init__(spec, num_classes, flavour, loss.dropout)
        self.loss, self.num_classes = loss, num_classes

    def forward(
        self,
        images: Tensor,
        targets: Tensor | None = None,
        taught: TeacherTargets | None = None,
    ) -> dict[str, Tensor] | Tensor:
        """Losses in training, logits in evaluation.

        Args:
            images: (B, 3, S, S) RGB 0..255.
            targets: (B,) int64 column of each image, from 0. Needed in training.
            taught: What a teacher says of the images, which it sees mixed as this network does.
        """
        if not self.training:
            answers: Tensor = self.raw(images)
            return answers
        assert targets is not None, "training needs targets"
        images, shares = mix(images, targets, self.num_classes, self.loss)
        logits = self.raw(images).float()
        losses = {"class": class_loss(logits, shares, self.loss)}
        return losses if taught is None else taught.join(losses, images, logits)
