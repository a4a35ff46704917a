"""The classifier: photos in, one logit per class out, on any body."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from backbone.bodies import build_body, default_flavour
from backbone.flavour import Flavour
from backbone.layers import Normalize
from tasks.classification.spec import ClassifierSpec

# TF-slim keeps .999 of MobileNet's features.
DROPOUT = 0.001


class Classifier(nn.Module):
    """Normalisation, body and head.

    Args:
        spec: Architecture.
        num_classes: Columns of the answer.
        flavour: Of the body; its input size is ``spec.size``.
        dropout: Share of the features that are dropped before the last layer in training.

    Raises:
        ValueError: If there is no class, or the body cannot be built so.
    """

    def __init__(
        self,
        spec: ClassifierSpec,
        num_classes: int,
        flavour: Flavour,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"{num_classes} classes: a classifier needs at least one")
        self.spec, self.num_classes = spec, num_classes
        self.normalize = Normalize(flavour.input)
        self.body = build_body(
            spec.backbone, alpha=spec.alpha, variant=spec.variant, flavour=flavour
        )
        if spec.size < self.body.min_size:
            raise ValueError(
                f"--size {spec.size} is too small for {spec.backbone}: {self.body.min_size} "
                "pixels or more"
            )
        self.head = self.body.make_classifier(num_classes, dropout)
        self.last_stride = max(self.body.channels)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of RGB images (B, 3, H, W), 0..255 of any dtype."""
        logits: Tensor = self.head(self.body(self.normalize(images))[self.last_stride])
        return logits


def build_classifier(
    spec: ClassifierSpec,
    num_classes: int,
    flavour: Flavour | None = None,
    dropout: float = DROPOUT,
) -> Classifier:
    """A classifier with fresh weights.

    Args:
        spec: Architecture.
        num_classes: Columns of the answer.
        flavour: The body's default where None; its input size is replaced by the spec's.
        dropout: Share of the features that are dropped before the last layer in training.

    Raises:
        ValueError: If there is no class, or the body cannot be built so.
    """
    flavour = flavour or default_flavour(spec.backbone)
    flavour = replace(flavour, input=replace(flavour.input, size=spec.size))
    return Classifier(spec, num_classes, flavour, dropout)
