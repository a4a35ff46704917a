"""What networks of all applications have in common: a body, and something on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from backbone.bodies import build_body, default_flavour
from backbone.body import Body
from backbone.flavour import Flavour
from backbone.layers import Normalize
from datasets.errors import InputError

if TYPE_CHECKING:
    from tasks.body_spec import ClassifierSpec


class BodyNetwork(nn.Module):
    """Normalisation, body and head; such a network can stand on a trunk that it shares.

    Attributes:
        networks: Names of the methods that are network alone, which ``--compile`` compiles.
        normalize: From RGB 0..255 to what the body takes.
        body: Its own body, or a trunk.
        spec: Its architecture, with ``size``, the side of its input in pixels.
    """

    networks: tuple[str, ...] = ("raw",)
    normalize: nn.Module
    body: Body
    spec: Any

    def raw(self, images: Tensor) -> Any:
        """Raw outputs for images (B, 3, S, S), RGB 0..255 of any dtype."""
        return self.from_features(self.body(self.normalize(images)))

    def from_features(self, features: dict[int, Tensor]) -> Any:
        """Raw outputs from features of the body, by stride."""
        raise NotImplementedError


class LastLayerNetwork(BodyNetwork):
    """A body with the classifier of its architecture on its last map, whatever its columns mean.

    Args:
        spec: Architecture.
        columns: Columns of the last layer.
        flavour: The body's default where None; its input size is replaced by the spec's.
        dropout: Share of the features that are dropped before the last layer in training.

    Attributes:
        last_stride: Stride of the map that the head takes.

    Raises:
        InputError: If the body cannot be built so.
    """

    def __init__(
        self, spec: ClassifierSpec, columns: int, flavour: Flavour | None, dropout: float
    ) -> None:
        super().__init__()
        self.spec, flavour = spec, flavour_for(spec, flavour)
        self.normalize = Normalize(flavour.input)
        self.body = body_of(spec, flavour)
        if spec.size < self.body.min_size:
            raise InputError(
                f"--size {spec.size} is too small for {spec.backbone}: {self.body.min_size} "
                "pixels or more"
            )
        self.head = self.body.make_classifier(columns, dropout)
        self.last_stride = max(self.body.channels)

    def from_features(self, features: dict[int, Tensor]) -> Tensor:
        """Raw outputs (B, columns) from features of the body, by stride."""
        raw: Tensor = self.head(features[self.last_stride])
        return raw


def body_of(spec: ClassifierSpec, flavour: Flavour) -> Body:
    """A fresh body of an architecture. Raises InputError if it cannot be built so."""
    return build_body(
        spec.backbone,
        alpha=spec.alpha,
        variant=spec.variant,
        stem_stride=spec.stem_stride,
        flavour=flavour,
    )


def flavour_for(spec: ClassifierSpec, flavour: Flavour | None) -> Flavour:
    """A flavour whose input has the size of an architecture.

    Args:
        spec: Architecture.
        flavour: Flavour to take; the default of the body where None.
    """
    return (flavour or default_flavour(spec.backbone)).sized(spec.size)
